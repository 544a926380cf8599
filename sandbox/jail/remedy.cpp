#include "sandbox/jail/remedy.hpp"

#include <array>
#include <cerrno>

namespace assay::sandbox {
namespace {

using Remedies = std::vector<std::string>;

constexpr std::string_view kDockerFree =
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
    "--security-opt systempaths=unconfined";
constexpr std::string_view kPodFree =
    "seccompProfile: {type: Unconfined}, appArmorProfile: {type: Unconfined}, procMount: Unmasked "
    "(with hostUsers: false in the pod's spec)";

bool in_docker(const Platform& platform) {  // podman has the same options
  return platform.container == Container::docker || platform.container == Container::podman ||
         platform.container == Container::other;
}

std::string docker_run(const Platform& platform, std::string_view options) {
  return std::string(platform.container == Container::podman ? "podman" : "docker") + " run " +
         std::string(options);
}

Remedies of_privileges(const Platform& platform) {
  if (platform.container == Container::kubernetes)
    return {"in the container's securityContext: runAsUser: 0, capabilities: {add: [SYS_ADMIN]}, " +
            std::string(kPodFree)};
  if (in_docker(platform))
    return {docker_run(platform, "--user root --cap-add SYS_ADMIN " + std::string(kDockerFree))};
  if (platform.root)
    return {
        "this root lacks capabilities: give it CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL "
        "and CAP_DAC_OVERRIDE (CapabilityBoundingSet= of a unit), and no RestrictNamespaces="};
  return {"run as root; each jail then has a user of its own and needs no user namespace"};
}

Remedies of_powerless_root(const Platform& platform) {
  std::string how = "run as another user than root, who has no privileges to drop";
  if (platform.container == Container::kubernetes)
    how += ": runAsUser: 1000 in the container's securityContext";
  else if (in_docker(platform))
    how += ": " + docker_run(platform, "--user 1000");
  return {how, "or give this root CAP_SETUID, CAP_SETGID and CAP_SETPCAP"};
}

Remedies of_user_namespaces(const Platform& platform, const std::string& spawner) {
  Remedies found;
  const bool inside = platform.container != Container::none;
  const std::string where = inside ? "on the container's host: " : "";
  if (platform.max_user_namespaces == 0)
    found.push_back(
        where +
        "sysctl -w user.max_user_namespaces=15000, and the same in /etc/sysctl.d/ (on RHEL the STIG "
        "sets it to 0: RHEL-08-040284, RHEL-09-213105, with an exception for what needs them)");
  if (platform.unprivileged_userns_clone == 0)
    found.push_back(where + "sysctl -w kernel.unprivileged_userns_clone=1, and the same in /etc/sysctl.d/");
  if (platform.apparmor_restrict_unprivileged_userns == 1 && !inside)
    found.push_back(
        "AppArmor forbids them to programs without a profile. Put this into "
        "/etc/apparmor.d/assay-spawner and load it with apparmor_parser -r:\n"
        "  abi <abi/4.0>,\n"
        "  include <tunables/global>\n"
        "  profile assay-spawner " +
        spawner + " flags=(unconfined) {\n    userns,\n  }");
  if (platform.container == Container::kubernetes)
    found.push_back("in the container's securityContext: " + std::string(kPodFree));
  else if (in_docker(platform))
    found.push_back(docker_run(platform, kDockerFree));
  if (!found.empty()) return found;
  switch (platform.distribution) {
    case Distribution::debian:
      found.push_back("sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000");
      break;
    case Distribution::ubuntu:
      found.push_back("sysctl user.max_user_namespaces=15000; with AppArmor, a profile for " + spawner +
                      " that allows userns");
      break;
    case Distribution::rhel:
      found.push_back(
          "sysctl user.max_user_namespaces=15000; under SELinux the domain needs the permission "
          "user_namespace create (ausearch -m avc shows the refusal)");
      break;
    case Distribution::other:
      found.push_back("sysctl user.max_user_namespaces=15000, if the kernel is built with CONFIG_USER_NS");
      break;
  }
  found.emplace_back("a unit must not set RestrictNamespaces=, and no process can make one inside a chroot");
  return found;
}

Remedies of_mounts(const Platform& platform) {
  if (platform.container == Container::kubernetes)
    return {"in the container's securityContext: " + std::string(kPodFree)};
  if (in_docker(platform)) return {docker_run(platform, kDockerFree)};
  return {
      "a unit must not take @mount away by SystemCallFilter=, and no process can make a root inside a "
      "chroot"};
}

Remedies of_landlock(const Platform& platform) {
  Remedies found;
  if (platform.container != Container::none)
    found.emplace_back(
        "the seccomp profile of the container must allow landlock_create_ruleset, landlock_add_rule "
        "and landlock_restrict_self; a recent container manager's does");
  const std::string where = platform.container != Container::none ? "the host needs " : "";
  found.push_back(where +
                  "Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and landlock in the list "
                  "/sys/kernel/security/lsm");
  if (platform.distribution == Distribution::rhel)
    found.emplace_back(
        "grubby --update-kernel=ALL --args=lsm=landlock,… with the present list behind, then boot");
  else
    found.emplace_back(
        "lsm=landlock,… with the present list behind in GRUB_CMDLINE_LINUX of /etc/default/grub, "
        "update-grub, then boot");
  return found;
}

Remedies of_groups(const Platform& platform) {
  if (platform.container == Container::kubernetes)
    return {
        "securityContext: {privileged: true} gives the container a tree of its own; without, the limits of "
        "single processes hold, and the pod's own"};
  if (in_docker(platform))
    return {docker_run(platform, "--privileged --cgroupns=private") +
            " gives the container a tree of its own; without, the limits of single processes hold"};
  return {
      "Delegate=memory pids in the unit of the service; to try it by hand: "
      "systemd-run --pipe -p Delegate=yes assay doctor",
      "groups of version 1 can only be used by root; systemd.unified_cgroup_hierarchy=1 on the kernel's "
      "command line gives version 2"};
}

Remedies of_interpreter(const Platform& platform, std::string_view package, std::string_view places) {
  std::string how;
  switch (platform.distribution) {
    case Distribution::debian:
    case Distribution::ubuntu:
      how = "apt install ";
      break;
    case Distribution::rhel:
      how = "dnf install ";
      break;
    case Distribution::other:
      how = "install ";
      break;
  }
  how += package;
  if (platform.container != Container::none) how += " in the container's image";
  return {how + "; jails see " + std::string(places) + " and nothing in home directories"};
}

}  // namespace

std::string_view to_string(Trouble trouble) {
  constexpr std::array<std::string_view, kTroubles> kNames = {
      "privileges", "root without privileges", "user namespaces", "mounts",         "kernel", "seccomp",
      "Landlock",   "an old Landlock",         "control groups",  "a host program", "python", "node"};
  return kNames[static_cast<size_t>(trouble)];
}

std::optional<Trouble> trouble_of(Mode mode, Step step, int error, const Platform& platform) {
  if (step == Step::none) return std::nullopt;
  if (step == Step::lock_down) {
    const bool landlock = mode == Mode::nons && (error == ENOSYS || error == EOPNOTSUPP);
    return landlock ? Trouble::landlock : Trouble::seccomp;
  }
  if (error == ENOSYS) return Trouble::kernel;
  if (mode == Mode::nons && step == Step::clone) return std::nullopt;
  // AppArmor lets the namespace be made, and takes every right in it.
  if (mode == Mode::userns && platform.apparmor_restrict_unprivileged_userns == 1 &&
      (error == EPERM || error == EACCES) && step != Step::execute)
    return Trouble::user_namespaces;
  switch (step) {
    case Step::clone:
      return mode == Mode::full ? Trouble::privileges : Trouble::user_namespaces;
    case Step::user_map:
    case Step::wait_for_map:
      return Trouble::user_namespaces;
    case Step::make_group:
    case Step::enter_group:
      return Trouble::groups;
    case Step::hostname:
    case Step::private_mounts:
    case Step::make_root:
    case Step::fill_root:
    case Step::mirror_host:
    case Step::make_devices:
    case Step::mount_scratch:
    case Step::mount_proc:
    case Step::mount_folders:
    case Step::enter_root:
      return mode == Mode::full ? Trouble::privileges : Trouble::mounts;
    case Step::drop_bounding:
    case Step::drop_groups:
    case Step::change_group:
    case Step::change_user:
    case Step::drop_capabilities:
      return mode == Mode::nons ? Trouble::powerless_root : Trouble::privileges;
    case Step::execute:
      return Trouble::host_program;
    default:
      return std::nullopt;
  }
}

std::vector<std::string> remedies(Trouble trouble, const Platform& platform, const std::string& spawner) {
  switch (trouble) {
    case Trouble::privileges:
      return of_privileges(platform);
    case Trouble::powerless_root:
      return of_powerless_root(platform);
    case Trouble::user_namespaces:
      return of_user_namespaces(platform, spawner);
    case Trouble::mounts:
      return of_mounts(platform);
    case Trouble::kernel:
      return {
          "Linux 5.14 or newer; inside a container also a container manager new enough to let clone3 and "
          "mount_setattr through"};
    case Trouble::seccomp:
      return {"a kernel with CONFIG_SECCOMP_FILTER, and nothing around this process that forbids seccomp(2)"};
    case Trouble::landlock:
      return of_landlock(platform);
    case Trouble::old_landlock:
      return {"Linux 6.12 or newer keeps signals and abstract sockets inside; it matters in mode nons only"};
    case Trouble::groups:
      return of_groups(platform);
    case Trouble::host_program:
      return {"the programs beside " + spawner +
              " must be executable by this user and on a file system without noexec"};
    case Trouble::python:
      return of_interpreter(platform, "python3", "/usr/bin/python3");
    case Trouble::node:
      return of_interpreter(platform, "nodejs", "/usr/local/bin/node and /usr/bin/node");
  }
  return {};
}

}  // namespace assay::sandbox
