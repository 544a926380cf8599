// How much of the jail this host gives (design: full, userns, nons), found by trying and stated in every
// run's record.
#pragma once

#include <optional>
#include <string_view>

namespace assay::sandbox {

enum class Mode {
  full,    ///< root: all namespaces, a uid of its own, Landlock, seccomp, rlimits
  userns,  ///< the same made by an unprivileged user in a user namespace
  nons,    ///< no namespaces: no_new_privs, Landlock, strict seccomp, rlimits
};

std::string_view to_string(Mode mode);
std::optional<Mode> mode_from(std::string_view name);

}  // namespace assay::sandbox
