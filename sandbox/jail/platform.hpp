// The machine as far as it decides what evaluators can be jailed with: read from the files that tell, for
// people who want to know why a layer does not work.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace assay::sandbox {

enum class Distribution { debian, ubuntu, rhel, other };
std::string_view to_string(Distribution distribution);
/// From the text of /etc/os-release; those that derive from one count as it.
Distribution distribution_from(std::string_view os_release);

enum class Container { none, docker, podman, kubernetes, other };
std::string_view to_string(Container container);

struct Platform {
  std::string kernel;        ///< its release
  std::string architecture;  ///< as uname has it
  bool root = false;
  Distribution distribution = Distribution::other;  ///< of the container's image, inside a container
  Container container = Container::none;
  // The switches of user namespaces; nullopt where a kernel has no such switch.
  std::optional<long> max_user_namespaces;
  std::optional<long> unprivileged_userns_clone;              ///< Debian's
  std::optional<long> apparmor_restrict_unprivileged_userns;  ///< Ubuntu's
};

Platform this_platform();

}  // namespace assay::sandbox
