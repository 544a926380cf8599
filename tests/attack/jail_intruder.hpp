// What jail_intruder.cpp can try, and how it is told.
#pragma once

#include <cstdint>

namespace assay::sandbox {

// clang-format off: it never settles on a layout for a list like this one.
#define ASSAY_INTRUSIONS(X) \
  X(nothing) X(open_passwd) X(open_proc) X(list_root) X(make_file) X(socket_inet) X(socket_unix) \
  X(fork_child) X(thread) X(execute) X(signal_others) X(trace) X(mount_proc) X(chroot_up) X(become_root) \
  X(raise_limit) X(more_memory) X(executable_memory) X(new_user_namespace) X(keyring) X(message_queue) \
  X(shared_memory) X(bpf) X(io_uring) X(descriptor_from_nowhere) X(other_personality) X(set_host_name) \
  X(read_stdin) X(write_stdout) X(int80) X(exit_quietly) X(crash) X(abort_loudly)
// clang-format on

enum class Intrusion : uint32_t {
#define X(name) name,
  ASSAY_INTRUSIONS(X)
#undef X
};

struct IntrusionOrder {
  Intrusion what;
  bool landlock;  ///< as every host does before it reads anything
  bool filter;
};

struct IntrusionReport {
  int32_t error;         ///< errno of the attempt; 0: it worked
  uint64_t descriptors;  ///< bit n: descriptor n was open at the start
  uint32_t uid, gid;
  uint32_t capabilities;  ///< 1: some are left, in any set
  uint32_t no_new_privs;
  uint32_t environment;  ///< number of variables
  uint32_t pid;
  uint32_t groups;
};

}  // namespace assay::sandbox
