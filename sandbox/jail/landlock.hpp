// Landlock with an empty ruleset: a process that restricts itself so can open nothing and connect to nothing.
#pragma once

namespace assay::sandbox {

/// Denies this process every access that the running kernel's Landlock knows of. 0 or an errno (ENOSYS,
/// EOPNOTSUPP: the kernel has none). Needs no_new_privs and one free descriptor.
int deny_all_with_landlock() noexcept;

}  // namespace assay::sandbox
