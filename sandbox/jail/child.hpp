// What runs between clone3 and execveat.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "sandbox/jail/mode.hpp"
#include "sandbox/jail/root.hpp"
#include "sandbox/jail/step.hpp"

namespace assay::sandbox {

struct Rlimit {
  int resource;
  rlim_t value;  ///< soft and hard
};

/// Everything the child needs, decided by the spawner before it clones: the child computes nothing and
/// allocates nothing. Descriptors are all >= kFirstPlanFd, so that placing one never overwrites another.
struct ChildPlan {
  Mode mode = Mode::nons;
  bool privileged = false;   ///< capabilities to drop and users to change to
  bool drop_groups = false;  ///< not where the kernel forbids it (an unprivileged user namespace)
  uid_t uid = 0;
  gid_t gid = 0;
  int null_fd = -1;
  int protocol_fd = -1;
  int host_fd = -1;
  int error_fd = -1;
  const int* entrance_fds = nullptr;  ///< of the control groups to enter (cgroup.hpp)
  size_t entrance_count = 0;
  const int* group_fds = nullptr;  ///< what the host may read of its groups; they become kGroupFds
  size_t group_fd_count = 0;
  int go_fd = -1;       ///< userns: end of file says that the user map is written
  int library_fd = -1;  ///< nons: becomes kLibraryFd
  int network_fd = -1;  ///< the network namespace to enter; else the clone has made one
  int mounts_fd = -1;   ///< a mount namespace with the root in it, to take a copy of; else the root is made
  char* const* argv = nullptr;
  const RootEntry* root = nullptr;  ///< what the root holds; none: nothing, and no /proc or /tmp either
  size_t root_count = 0;
  const JailAccess* access = nullptr;  ///< none: to nothing
  char scratch_bytes[24] = {};         ///< decimal, for the mount; empty: no scratch directory and no /proc
  char scratch_inodes[24] = {};
  const Rlimit* rlimits = nullptr;
  size_t rlimit_count = 0;
};

inline constexpr int kFirstPlanFd = 16;
inline constexpr int kProtocolFd = 3;

/// What a host gets to read of its control group, in this order from kGroupFd on. A file that a kernel
/// lacks is /dev/null.
enum class GroupFile : uint8_t { oom_kills, refused_processes, peak_memory, cpu };
inline constexpr int kGroupFiles = 4;
inline constexpr int kGroupFd = 4;
/// Of Profile::system without a root of its own: libassay-lock.so, opened by who could reach it.
inline constexpr int kLibraryFd = 14;

/// What the child writes to error_fd before it ends, when a step fails. On success the pipe closes empty.
struct ChildError {
  Step step;
  int32_t error;
};

/// Builds the jail around the calling process and becomes the host. Async-signal-safe.
[[noreturn]] void run_child(const ChildPlan& plan) noexcept;

/// Builds the plan's root and nothing else, for others to take copies of its mount namespace: says that it is
/// there with a ChildError of Step::none, and waits to be killed.
[[noreturn]] void run_root_maker(const ChildPlan& plan) noexcept;

}  // namespace assay::sandbox
