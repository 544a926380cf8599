#include "sandbox/jail/step.hpp"

namespace assay::sandbox {

std::string_view to_string(Step step) {
  switch (step) {
    case Step::none:
      return "nothing";
    case Step::sockets:
      return "making the protocol sockets";
    case Step::error_pipe:
      return "making a pipe";
    case Step::make_group:
      return "making a control group";
    case Step::clone:
      return "clone3 with namespaces";
    case Step::user_map:
      return "writing the user map";
    case Step::answer:
      return "waiting for the child to be ready";
    case Step::enter_network:
      return "entering the network namespace";
    case Step::copy_mounts:
      return "copying the mounts of the root";
    case Step::enter_group:
      return "entering the control group";
    case Step::parent_death:
      return "asking to die with the spawner";
    case Step::wait_for_map:
      return "waiting for the user map";
    case Step::session:
      return "starting a session";
    case Step::descriptors:
      return "placing descriptors";
    case Step::close_descriptors:
      return "closing inherited descriptors";
    case Step::hostname:
      return "setting the host name";
    case Step::private_mounts:
      return "making mounts private";
    case Step::make_root:
      return "making the root";
    case Step::fill_root:
      return "filling the root";
    case Step::mirror_host:
      return "mounting the system's directories read-only";
    case Step::make_devices:
      return "making devices";
    case Step::mount_scratch:
      return "mounting the scratch directory";
    case Step::mount_proc:
      return "mounting /proc";
    case Step::mount_folders:
      return "mounting the folder of packages or of a plugin";
    case Step::listen:
      return "listening on the jail's own loopback";
    case Step::enter_root:
      return "entering the root";
    case Step::drop_bounding:
      return "dropping the bounding set";
    case Step::drop_groups:
      return "dropping groups";
    case Step::change_group:
      return "changing the group";
    case Step::change_user:
      return "changing the user";
    case Step::drop_capabilities:
      return "dropping capabilities";
    case Step::no_new_privileges:
      return "setting no_new_privs";
    case Step::limits:
      return "setting resource limits";
    case Step::execute:
      return "executing the runtime host";
    case Step::lock_down:
      return "the host's own lock-down (Landlock, seccomp)";
  }
  return "an unknown step";
}

}  // namespace assay::sandbox
