#include "sandbox/jail/platform.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace assay::sandbox {
namespace {

std::string content(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<long> number_in(const char* path) {
  std::ifstream file(path);
  long number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

bool exists(const char* path) {
  return access(path, F_OK) == 0;
}

/// By the marks that container managers leave. An image keeps them when a virtual machine boots it, so they
/// count only where the processes have a namespace of their own.
Container find_container() {
  constexpr std::string_view kFirstPidNamespace = "pid:[4026531836]";
  std::error_code unknown;
  if (std::filesystem::read_symlink("/proc/self/ns/pid", unknown) == kFirstPidNamespace)
    return Container::none;
  if (std::getenv("KUBERNETES_SERVICE_HOST") != nullptr || exists("/run/secrets/kubernetes.io"))
    return Container::kubernetes;
  if (exists("/run/.containerenv")) return Container::podman;
  if (exists("/.dockerenv")) return Container::docker;
  return exists("/run/systemd/container") ? Container::other : Container::none;
}

}  // namespace

std::string_view to_string(Distribution distribution) {
  constexpr std::array<std::string_view, 4> kNames = {"debian", "ubuntu", "rhel", "other"};
  return kNames[static_cast<size_t>(distribution)];
}

std::string_view to_string(Container container) {
  constexpr std::array<std::string_view, 5> kNames = {"none", "docker", "podman", "kubernetes", "other"};
  return kNames[static_cast<size_t>(container)];
}

Distribution distribution_from(std::string_view os_release) {
  std::istringstream lines{std::string(os_release)};
  std::string names;  // ID first, then what it is like
  for (std::string line; std::getline(lines, line);) {
    std::erase_if(line, [](char c) { return c == '"' || c == '\'' || c == '\r'; });
    if (line.starts_with("ID=")) names.insert(0, line.substr(3) + ' ');
    if (line.starts_with("ID_LIKE=")) names += line.substr(8);
  }
  std::istringstream words(names);
  for (std::string word; words >> word;) {
    if (word == "ubuntu") return Distribution::ubuntu;
    if (word == "debian") return Distribution::debian;
    if (word == "rhel" || word == "fedora" || word == "centos") return Distribution::rhel;
  }
  return Distribution::other;
}

Platform this_platform() {
  Platform platform;
  utsname names{};
  uname(&names);
  platform.kernel = names.release;
  platform.architecture = names.machine;
  platform.root = geteuid() == 0;
  platform.distribution = distribution_from(content("/etc/os-release"));
  platform.container = find_container();
  platform.max_user_namespaces = number_in("/proc/sys/user/max_user_namespaces");
  platform.unprivileged_userns_clone = number_in("/proc/sys/kernel/unprivileged_userns_clone");
  platform.apparmor_restrict_unprivileged_userns =
      number_in("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
  return platform;
}

}  // namespace assay::sandbox
