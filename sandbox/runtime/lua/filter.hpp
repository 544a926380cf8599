// The seccomp filter of the Lua host.
#pragma once

namespace assay::sandbox::lua {

/// Leaves this process nine system calls (filter.cpp names them); any other ends it with SIGSYS. 0 or an
/// errno. Needs no_new_privs.
int install_filter(int protocol_fd) noexcept;

}  // namespace assay::sandbox::lua
