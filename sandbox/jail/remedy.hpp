// What a person can do about a layer of the sandbox that a machine does not give.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/jail/mode.hpp"
#include "sandbox/jail/platform.hpp"
#include "sandbox/jail/step.hpp"

namespace assay::sandbox {

/// What is wrong, as far as the remedies differ.
enum class Trouble {
  privileges,       ///< not root, or a root without the capabilities
  powerless_root,   ///< one that cannot even become another user
  user_namespaces,  ///< an unprivileged process gets none, or one without rights in it
  mounts,
  kernel,        ///< a system call is missing
  seccomp,       ///< no filter can be loaded
  landlock,      ///< the kernel has none
  old_landlock,  ///< it cannot keep signals and abstract sockets inside
  groups,        ///< no control groups
  host_program,  ///< our own program cannot be executed
  python,        ///< no interpreter
  node,
};
inline constexpr int kTroubles = static_cast<int>(Trouble::node) + 1;
/// As a heading: "user namespaces".
std::string_view to_string(Trouble trouble);

/// What a refused step of a jail comes from; nullopt where nobody can tell.
std::optional<Trouble> trouble_of(Mode mode, Step step, int error, const Platform& platform);

/// What to do on `platform`, a sentence each; never empty. `spawner` is the path of assay-spawner.
std::vector<std::string> remedies(Trouble trouble, const Platform& platform, const std::string& spawner);

}  // namespace assay::sandbox
