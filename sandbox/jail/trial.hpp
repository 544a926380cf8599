// Single layers of the sandbox, tried for real: each in a child process that is killed when it takes too
// long.
#pragma once

#include <string>

#include "sandbox/jail/cgroup.hpp"

namespace assay::sandbox {

struct Trial {
  bool ok = false;
  std::string seen;  ///< what happened, for people: of a failure the call
  int error = 0;     ///< its errno, if it has one
};

Trial try_no_new_privileges();
/// Loads a filter and makes the call that it forbids.
Trial try_seccomp();
/// Restricts a process and has it open a file.
Trial try_landlock();

// Each makes a group and removes it again; `groups` must have a kind.

/// Touches more memory than a group of 64 MiB allows.
Trial try_memory_limit(CgroupTree& groups);
/// Starts more processes than a group allows.
Trial try_process_limit(CgroupTree& groups);
/// Ends the processes of a group by cgroup.kill; version 2 only.
Trial try_group_kill(CgroupTree& groups);

}  // namespace assay::sandbox
