// Making one jail, as the spawner does it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

#include "core/fd.hpp"
#include "sandbox/jail/cgroup.hpp"
#include "sandbox/jail/child.hpp"
#include "sandbox/jail/mode.hpp"
#include "sandbox/jail/root.hpp"
#include "sandbox/jail/step.hpp"

namespace assay::sandbox {

struct JailSpec {
  Mode mode = Mode::nons;
  uint32_t slot = 0;  ///< below kJailLimit; gives the jail its own user, never shared by two living jails
  int host_fd = -1;   ///< the static executable; borrowed
  int null_fd = -1;   ///< /dev/null; borrowed
  Profile profile = Profile::sealed;
  JailLimits limits;
  JailAccess access;
  const Group* group = nullptr;  ///< of limits.memory_bytes; borrowed until make_jail returns
  int network_fd = -1;  ///< Mode::full: the Jail::network of one that has ended; borrowed; -1: a new one
  int mounts_fd = -1;   ///< Mode::full: make_root_mounts() of the profile; borrowed; -1: a root is made
  bool probe = false;   ///< the host locks itself down and exits 0
};

struct Jail {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd protocol;  ///< our end
  UniqueFd network;   ///< Mode::full: the network namespace, when it is a new one
  UniqueFd listener;  ///< JailAccess::proxy: listens on 127.0.0.1:kProxyPort of the jail
};

/// A jail whose host is running, or the step that failed; whatever was started is then gone. Blocks for a
/// millisecond or two, and for kJailDeadline at most.
struct JailResult {
  Jail jail;
  ChildError failure{Step::none, 0};
};
JailResult make_jail(const JailSpec& spec);

/// A mount namespace that holds the root of `profile` and no other mount, for jails of Mode::full to take
/// copies of: a jail that starts from the mounts of this machine has to copy them all and to make and fill a
/// root, and the kernel has to take all that apart again. None when that fails: then a jail that makes its
/// own root fails too, and says why.
UniqueFd make_root_mounts(Profile profile);

/// Builds a whole jail in `mode`, host and all, and waits for it to end well.
ChildError probe_mode(const JailSpec& spec);

/// How a child ended and what it used.
struct Ending {
  bool signalled = false;
  int status = 0;
  uint64_t cpu_us = 0;
  uint64_t peak_rss_bytes = 0;
};
/// Waits for the end of the child and reaps it.
Ending reap(int pidfd);
void kill_child(int pidfd);
/// Kills and reaps every child of this process, a subreaper, that is not one of `known`, and what they leave
/// in turn: without a process namespace that is what a jail's end may leave behind.
void end_orphans(std::span<const pid_t> known);

}  // namespace assay::sandbox
