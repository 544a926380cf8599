#include "sandbox/jail/remedy.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace assay::sandbox;
using Catch::Contains;

namespace {

constexpr const char* kSpawner = "/opt/assay/libexec/assay/assay-spawner";

std::string advice(Trouble trouble, const Platform& platform) {
  std::string text;
  for (const auto& remedy : remedies(trouble, platform, kSpawner)) text += remedy + "\n";
  return text;
}

Platform machine(Distribution distribution, Container container = Container::none) {
  return {.kernel = "6.1",
          .architecture = "x86_64",
          .distribution = distribution,
          .container = container,
          .max_user_namespaces = 15'000};
}

}  // namespace

TEST_CASE("remedy: a distribution is known by os-release, as what it derives from too", "[sandbox][doctor]") {
  CHECK(distribution_from("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n") == Distribution::debian);
  CHECK(distribution_from("ID=ubuntu\nID_LIKE=debian\n") == Distribution::ubuntu);
  CHECK(distribution_from("ID_LIKE=debian\nID=ubuntu\n") == Distribution::ubuntu);
  CHECK(distribution_from("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n") == Distribution::ubuntu);
  CHECK(distribution_from("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n") == Distribution::rhel);
  CHECK(distribution_from("ID='rhel'\nID_LIKE=fedora\n") == Distribution::rhel);
  CHECK(distribution_from("ID=alpine\n") == Distribution::other);
  CHECK(distribution_from("VERSION_ID=debian\n") == Distribution::other);
  CHECK(distribution_from("") == Distribution::other);
}

TEST_CASE("remedy: a refused step is traced to what it comes from", "[sandbox][doctor]") {
  const Platform debian = machine(Distribution::debian);
  CHECK_FALSE(trouble_of(Mode::full, Step::none, 0, debian));
  CHECK(trouble_of(Mode::full, Step::clone, EPERM, debian) == Trouble::privileges);
  CHECK(trouble_of(Mode::userns, Step::clone, EPERM, debian) == Trouble::user_namespaces);
  CHECK(trouble_of(Mode::userns, Step::clone, ENOSPC, debian) == Trouble::user_namespaces);
  CHECK(trouble_of(Mode::userns, Step::user_map, EPERM, debian) == Trouble::user_namespaces);
  CHECK_FALSE(trouble_of(Mode::nons, Step::clone, EAGAIN, debian));
  CHECK(trouble_of(Mode::nons, Step::clone, ENOSYS, debian) == Trouble::kernel);
  CHECK(trouble_of(Mode::userns, Step::private_mounts, EPERM, debian) == Trouble::mounts);
  CHECK(trouble_of(Mode::full, Step::private_mounts, EPERM, debian) == Trouble::privileges);
  CHECK(trouble_of(Mode::userns, Step::mount_proc, EINVAL, debian) == Trouble::mounts);
  CHECK(trouble_of(Mode::nons, Step::lock_down, EOPNOTSUPP, debian) == Trouble::landlock);
  CHECK(trouble_of(Mode::nons, Step::lock_down, ENOSYS, debian) == Trouble::landlock);
  CHECK(trouble_of(Mode::full, Step::lock_down, EINVAL, debian) == Trouble::seccomp);
  CHECK(trouble_of(Mode::full, Step::drop_groups, EPERM, debian) == Trouble::privileges);
  CHECK(trouble_of(Mode::nons, Step::drop_groups, EPERM, debian) == Trouble::powerless_root);
  CHECK(trouble_of(Mode::full, Step::execute, EACCES, debian) == Trouble::host_program);
  CHECK(trouble_of(Mode::full, Step::enter_group, EACCES, debian) == Trouble::groups);

  // AppArmor lets the namespace be made and refuses what follows.
  Platform ubuntu = machine(Distribution::ubuntu);
  ubuntu.apparmor_restrict_unprivileged_userns = 1;
  CHECK(trouble_of(Mode::userns, Step::hostname, EPERM, ubuntu) == Trouble::user_namespaces);
  CHECK(trouble_of(Mode::userns, Step::mount_proc, EACCES, ubuntu) == Trouble::user_namespaces);
  CHECK(trouble_of(Mode::userns, Step::execute, EACCES, ubuntu) == Trouble::host_program);
  CHECK(trouble_of(Mode::full, Step::mount_proc, EPERM, ubuntu) == Trouble::privileges);
}

TEST_CASE("remedy: each names what turns it on here", "[sandbox][doctor]") {
  const Platform debian = machine(Distribution::debian), ubuntu = machine(Distribution::ubuntu),
                 rhel = machine(Distribution::rhel),
                 docker = machine(Distribution::debian, Container::docker),
                 podman = machine(Distribution::rhel, Container::podman),
                 kubernetes = machine(Distribution::debian, Container::kubernetes);

  CHECK_THAT(advice(Trouble::user_namespaces, debian), Contains("kernel.unprivileged_userns_clone=1"));
  CHECK_THAT(advice(Trouble::user_namespaces, rhel), Contains("user.max_user_namespaces"));
  CHECK_THAT(advice(Trouble::user_namespaces, docker),
             Contains("docker run --security-opt seccomp=unconfined") && !Contains("sysctl"));
  CHECK_THAT(advice(Trouble::user_namespaces, podman), Contains("podman run"));
  CHECK_THAT(advice(Trouble::user_namespaces, kubernetes), Contains("seccompProfile: {type: Unconfined}"));

  // A switch that is off says more than the name of the distribution.
  Platform off = ubuntu;
  off.apparmor_restrict_unprivileged_userns = 1;
  CHECK_THAT(advice(Trouble::user_namespaces, off), Contains("/etc/apparmor.d/") && Contains(kSpawner) &&
                                                        Contains("userns,") && !Contains("sysctl"));
  off = debian;
  off.unprivileged_userns_clone = 0;
  CHECK_THAT(advice(Trouble::user_namespaces, off),
             Contains("kernel.unprivileged_userns_clone=1") && !Contains("max_user_namespaces"));
  off = rhel;
  off.max_user_namespaces = 0;
  CHECK_THAT(advice(Trouble::user_namespaces, off),
             Contains("STIG") && Contains("user.max_user_namespaces=15000"));
  off.container = Container::docker;
  CHECK_THAT(advice(Trouble::user_namespaces, off), Contains("on the container's host: sysctl"));

  CHECK_THAT(advice(Trouble::privileges, debian), Contains("run as root"));
  CHECK_THAT(advice(Trouble::privileges, docker), Contains("--cap-add SYS_ADMIN"));
  CHECK_THAT(advice(Trouble::privileges, kubernetes), Contains("add: [SYS_ADMIN]"));
  Platform root = debian;
  root.root = true;
  CHECK_THAT(advice(Trouble::privileges, root), Contains("CAP_SYS_ADMIN") && !Contains("run as root"));

  CHECK_THAT(advice(Trouble::powerless_root, docker), Contains("docker run --user 1000"));
  CHECK_THAT(advice(Trouble::powerless_root, kubernetes), Contains("runAsUser: 1000"));

  CHECK_THAT(advice(Trouble::landlock, debian), Contains("/etc/default/grub"));
  CHECK_THAT(advice(Trouble::landlock, rhel), Contains("grubby"));
  CHECK_THAT(advice(Trouble::landlock, docker), Contains("landlock_restrict_self"));
  CHECK_THAT(advice(Trouble::groups, debian), Contains("Delegate="));
  CHECK_THAT(advice(Trouble::groups, docker), Contains("--cgroupns=private"));
  CHECK_THAT(advice(Trouble::groups, kubernetes), Contains("privileged: true"));
  CHECK_THAT(advice(Trouble::python, ubuntu), Contains("apt install python3"));
  CHECK_THAT(advice(Trouble::node, rhel), Contains("dnf install nodejs"));
  CHECK_THAT(advice(Trouble::node, docker), Contains("image"));
}

TEST_CASE("remedy: there is one for every trouble on every platform", "[sandbox][doctor]") {
  for (int trouble = 0; trouble < kTroubles; trouble++)
    for (const auto distribution :
         {Distribution::debian, Distribution::ubuntu, Distribution::rhel, Distribution::other})
      for (const auto container :
           {Container::none, Container::docker, Container::podman, Container::kubernetes, Container::other})
        for (const bool root : {false, true}) {
          CAPTURE(trouble, to_string(distribution), to_string(container), root);
          Platform platform = machine(distribution, container);
          platform.root = root;
          CHECK_FALSE(to_string(static_cast<Trouble>(trouble)).empty());
          CHECK_FALSE(advice(static_cast<Trouble>(trouble), platform).empty());
        }
}
