// The lists follow what CPython, Node, shells and coreutils were seen to call.
#include "sandbox/runtime/process/filter.hpp"

#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <initializer_list>

#include "sandbox/jail/bpf.hpp"

namespace assay::sandbox::process {
namespace {

using Calls = std::initializer_list<uint32_t>;

constexpr uint32_t refuse(int error) {
  return SECCOMP_RET_ERRNO | static_cast<uint32_t>(error);
}

const Calls kAllowed = {
    // reading and writing
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_close,
    SYS_close_range,
    SYS_lseek,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_dup,
    SYS_dup3,
    SYS_sendfile,
    SYS_copy_file_range,
    SYS_splice,
    SYS_ppoll,
    SYS_pselect6,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_pipe2,
    SYS_fsync,
    SYS_fdatasync,
    // memory
    SYS_brk,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_msync,
    // threads
    SYS_futex,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_rseq,
    SYS_sched_yield,
    SYS_gettid,
    SYS_getpid,
    SYS_membarrier,
    // time
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_times,
    SYS_getitimer,
    SYS_setitimer,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    // signals
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigsuspend,
    SYS_rt_sigpending,
    SYS_rt_sigtimedwait,
    SYS_sigaltstack,
    SYS_restart_syscall,
    // files; the mounts and Landlock say which
    SYS_openat,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlinkat,
    SYS_getcwd,
    SYS_chdir,
    SYS_fchdir,
    SYS_getdents64,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_mkdirat,
    SYS_linkat,
    SYS_symlinkat,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_umask,
    // who and where am I
    SYS_getrandom,
    SYS_uname,
    SYS_sysinfo,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getgroups,
    SYS_getppid,
    SYS_getpgid,
    SYS_getsid,
    SYS_getpriority,
    SYS_getrusage,
    SYS_getrlimit,
    SYS_setrlimit,
    SYS_sched_getaffinity,
    SYS_getcpu,
    SYS_capget,
    // the end
    SYS_exit,
    SYS_exit_group,
    SYS_wait4,
    SYS_waitid,
    SYS_execve,
#if defined(__x86_64__)  // calls that later architectures left out
    SYS_stat,
    SYS_lstat,
    SYS_dup2,
    SYS_poll,
    SYS_select,
    SYS_epoll_create,
    SYS_epoll_wait,
    SYS_eventfd,
    SYS_pipe,
    SYS_time,
    SYS_alarm,
    SYS_pause,
    SYS_open,
    SYS_creat,
    SYS_access,
    SYS_readlink,
    SYS_getdents,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
    SYS_rmdir,
    SYS_link,
    SYS_symlink,
    SYS_getpgrp,
#endif
};

/// What Landlock leaves to the file's owner.
const Calls kFileAttributes = {
    SYS_fchmod, SYS_fchmodat, SYS_utimensat, SYS_truncate,
#if defined(__x86_64__)
    SYS_chmod,  SYS_utime,    SYS_utimes,
#endif
};

/// Of a program that starts others.
const Calls kAllowedToCommands = {
    SYS_kill, SYS_tgkill, SYS_tkill, SYS_setpgid, SYS_setsid,
};

/// Of a program that speaks to a server.
const Calls kConnections = {
    SYS_connect,  SYS_sendto,     SYS_recvfrom,   SYS_sendmsg,     SYS_recvmsg,
    SYS_shutdown, SYS_getsockopt, SYS_setsockopt, SYS_getsockname, SYS_getpeername,
};

const Calls kForks = {
#if defined(__x86_64__)
    SYS_fork,
    SYS_vfork,
#endif
};

/// C libraries and runtimes take this for an older kernel and do without.
const Calls kUnknown = {
    SYS_clone3,
    SYS_openat2,
    SYS_pkey_alloc,
    SYS_pkey_free,
    SYS_pkey_mprotect,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    441 /* epoll_pwait2 */,
    449 /* futex_waitv */,
    452 /* fchmodat2 */,
};

const Calls kUnsupported = {
    SYS_getxattr, SYS_lgetxattr, SYS_fgetxattr, SYS_listxattr, SYS_llistxattr, SYS_flistxattr,
};

/// No evaluator has an honest use for these.
const Calls kDeadly = {
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_acct,
    SYS_quotactl,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_clock_adjtime,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_fanotify_init,
    SYS_lookup_dcookie,
    SYS_vhangup,
    SYS_nfsservctl,
#if defined(__x86_64__)
    SYS_kexec_file_load,
    SYS_iopl,
    SYS_ioperm,
    SYS_modify_ldt,
    SYS_uselib,
    SYS_create_module,
#endif
};

constexpr uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE | CLONE_PARENT;

// Values of <asm/ioctls.h>, <linux/fcntl.h> and <asm/prctl.h>, which clash with the C library's headers.
const Calls kIoctls = {0x5401 /* TCGETS */,
                       0x540F /* TIOCGPGRP */,
                       0x5413 /* TIOCGWINSZ */,
                       0x541B /* FIONREAD */,
                       0x5421 /* FIONBIO */,
                       0x5450 /* FIONCLEX */,
                       0x5451 /* FIOCLEX */};
const Calls kFcntls = {0 /* F_DUPFD */,
                       1 /* F_GETFD */,
                       2 /* F_SETFD */,
                       3 /* F_GETFL */,
                       4 /* F_SETFL */,
                       1030 /* F_DUPFD_CLOEXEC */,
                       1032 /* F_GETPIPE_SZ */};
const Calls kPrctls = {PR_SET_NAME,     PR_GET_NAME,      PR_CAPBSET_READ, PR_GET_DUMPABLE,
                       PR_SET_DUMPABLE, PR_SET_PDEATHSIG, PR_SET_VMA,      PR_GET_NO_NEW_PRIVS};
const Calls kItemPrctls = {PR_SET_NAME,     PR_GET_NAME, PR_CAPBSET_READ,
                           PR_GET_DUMPABLE, PR_SET_VMA,  PR_GET_NO_NEW_PRIVS};
const Calls kArchPrctls = {0x1002 /* ARCH_SET_FS */, 0x1003 /* ARCH_GET_FS */};

/// Decides by the number of the call in a few steps: the kernel runs a new filter once for every call there
/// is, to learn which are always allowed, and that was most of what installing it took. Of two decisions
/// about one call the first counts.
class Writer {
 public:
  void give(const Calls& calls, uint32_t action) {
    for (const uint32_t call : calls) decide(call, leaf_of(action));
  }

  /// `call` is allowed when the argument is one of `values`, else `otherwise`.
  void allow_values(uint32_t call, int argument, const Calls& values, uint32_t otherwise) {
    begin_check(call, static_cast<uint8_t>(4 + values.size()));
    checks_.load(BpfProgram::argument(argument));
    checks_.give_for(values, SECCOMP_RET_ALLOW);
    checks_.give(otherwise);
  }

  /// `call` is refused with `action` when the argument has one of `bits`, else allowed.
  void refuse_bits(uint32_t call, int argument, uint32_t bits, uint32_t action) {
    begin_check(call, 4);
    checks_.load(BpfProgram::argument(argument));
    checks_.if_bits(bits, 1);
    checks_.give(action);
    checks_.give(SECCOMP_RET_ALLOW);
  }

  /// `call` is allowed when the argument has all of `bits`, else `otherwise`.
  void allow_bits(uint32_t call, int argument, uint32_t bits, uint32_t otherwise) {
    masked(call, argument, bits, SECCOMP_RET_ALLOW, otherwise);
  }

  /// `call` is refused with `action` when the argument has all of `bits`, else allowed.
  void refuse_all_bits(uint32_t call, int argument, uint32_t bits, uint32_t action) {
    masked(call, argument, bits, action, SECCOMP_RET_ALLOW);
  }

  /// Sockets of TCP over IPv4.
  void allow_tcp(uint32_t socket) {
    begin_check(socket, 13);
    checks_.load(BpfProgram::argument(0));
    checks_.if_not_equal(AF_INET, 1);
    checks_.give(refuse(EAFNOSUPPORT));
    checks_.load(BpfProgram::argument(1));
    checks_.statement(BPF_ALU | BPF_AND | BPF_K, static_cast<uint32_t>(~(SOCK_CLOEXEC | SOCK_NONBLOCK)));
    checks_.if_not_equal(SOCK_STREAM, 1);
    checks_.give(refuse(EAFNOSUPPORT));
    checks_.load(BpfProgram::argument(2));
    checks_.give_for({0, IPPROTO_TCP}, SECCOMP_RET_ALLOW);
    checks_.give(refuse(EAFNOSUPPORT));
  }

  void allow_private_data(uint32_t mmap) {
    begin_check(mmap, 11);
    checks_.load(BpfProgram::argument(2));
    checks_.statement(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC);
    checks_.if_equal(PROT_WRITE | PROT_EXEC, 1);
    checks_.give(refuse(EACCES));
    checks_.load(BpfProgram::argument(3));
    checks_.if_bits(MAP_GROWSDOWN, 1);
    checks_.give(refuse(ENOMEM));
    checks_.statement(BPF_ALU | BPF_AND | BPF_K, MAP_SHARED | MAP_ANONYMOUS);
    checks_.if_equal(MAP_SHARED | MAP_ANONYMOUS, 1);
    checks_.give(refuse(ENOMEM));
    checks_.give(SECCOMP_RET_ALLOW);
  }

  /// All other calls get `action`. Nothing is added after this.
  void end(uint32_t action) {
    const Leaf rest = leaf_of(action);
    for (size_t call = 0; call < kCalls; call++) {
      if (leaves_[call] == Leaf::none) leaves_[call] = rest;
      if (call == 0 || leaves_[call] != leaves_[call - 1]) ranges_[range_count_++] = call;
    }
    program_.begin();
    leaves_at_ = program_.size() + range_count_ - 1;
    choose(0, range_count_);
    for (size_t i = 0; i < action_count_; i++) program_.give(actions_[i]);
    program_.append(checks_);
    program_.give(SECCOMP_RET_KILL_PROCESS);  // not reached: each check decides
  }

  int install() {
    const sock_fprog program = program_.program();
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
  }

 private:
  static constexpr size_t kCalls = 512;  // the last range has whatever is numbered higher
  static constexpr size_t kActions = 16;
  /// What a call leads to: the checks of arguments, or one of actions_ (from `first_action` on).
  enum class Leaf : uint8_t { none, checks, first_action };

  void decide(uint32_t call, Leaf leaf) {
    if (call >= kCalls - 1) __builtin_trap();
    if (leaves_[call] == Leaf::none) leaves_[call] = leaf;
  }

  Leaf leaf_of(uint32_t action) {
    size_t i = 0;
    while (i < action_count_ && actions_[i] != action) i++;
    if (i == kActions) __builtin_trap();
    if (i == action_count_) actions_[action_count_++] = action;
    return static_cast<Leaf>(static_cast<size_t>(Leaf::first_action) + i);
  }

  void begin_check(uint32_t call, uint8_t size) {
    decide(call, Leaf::checks);
    checks_.if_equal(call, size);
  }

  void masked(uint32_t call, int argument, uint32_t bits, uint32_t when_all, uint32_t otherwise) {
    begin_check(call, 5);
    checks_.load(BpfProgram::argument(argument));
    checks_.statement(BPF_ALU | BPF_AND | BPF_K, bits);
    checks_.if_equal(bits, 1);
    checks_.give(when_all);
    checks_.give(otherwise);
  }

  /// Writes the choice between the ranges from `low` to before `high`, of which there are two or more: one
  /// statement, then the choices within its lower and within its upper half. So the choice between n ranges
  /// takes n - 1 statements.
  void choose(size_t low, size_t high) {
    const size_t middle = low + (high - low) / 2, here = program_.size();
    const size_t lower = middle - low == 1 ? place_of(low) : here + 1;
    const size_t upper = high - middle == 1 ? place_of(middle) : here + (middle - low);
    program_.choose(static_cast<uint32_t>(ranges_[middle]), upper - here - 1, lower - here - 1);
    if (middle - low > 1) choose(low, middle);
    if (high - middle > 1) choose(middle, high);
  }

  /// Of what the range leads to: the actions stand behind the choices, the checks behind them.
  size_t place_of(size_t range) const {
    const Leaf leaf = leaves_[ranges_[range]];
    if (leaf == Leaf::checks) return leaves_at_ + action_count_;
    return leaves_at_ + static_cast<size_t>(leaf) - static_cast<size_t>(Leaf::first_action);
  }

  Leaf leaves_[kCalls] = {};
  uint32_t actions_[kActions] = {};
  size_t action_count_ = 0;
  size_t ranges_[kCalls] = {};  // the first call of each
  size_t range_count_ = 0;
  size_t leaves_at_ = 0;
  BpfProgram checks_, program_;
};

void write_base(Writer& writer, Policy policy, Signals signals, Files files) {
  writer.give(kAllowed, SECCOMP_RET_ALLOW);
  if (files == Files::own) writer.give(kFileAttributes, SECCOMP_RET_ALLOW);
  writer.give(kForks, SECCOMP_RET_ALLOW);
  if (policy == Policy::installer) {
    writer.give(kConnections, SECCOMP_RET_ALLOW);
    writer.allow_tcp(SYS_socket);
  }
  if (policy == Policy::command || policy == Policy::installer) {
    writer.give(kAllowedToCommands, SECCOMP_RET_ALLOW);
    writer.give({SYS_mmap, SYS_mprotect}, SECCOMP_RET_ALLOW);
  } else {
    // Refused and not deadly: libffi asks, and does without. Shared memory, and what grows down like a stack,
    // are not counted by RLIMIT_DATA.
    writer.refuse_all_bits(SYS_mprotect, 2, PROT_WRITE | PROT_EXEC, refuse(EACCES));
    writer.allow_private_data(SYS_mmap);
    if (signals == Signals::contained) writer.give({SYS_tgkill}, SECCOMP_RET_ALLOW);  // for abort(3)
  }
  // An interpreter's children add the filter for items. A listener would let one process answer for another.
  if (policy == Policy::interpreter) writer.allow_values(SYS_seccomp, 1, {0}, SECCOMP_RET_KILL_PROCESS);
  writer.give({SYS_seccomp}, SECCOMP_RET_KILL_PROCESS);
  writer.refuse_bits(SYS_clone, 0, kNewNamespaces, refuse(EPERM));
  writer.allow_values(SYS_ioctl, 1, kIoctls, refuse(ENOTTY));
  writer.allow_values(SYS_fcntl, 1, kFcntls, refuse(EPERM));
  writer.allow_values(SYS_prctl, 0, kPrctls, refuse(EPERM));
  writer.allow_values(SYS_prlimit64, 0, {0}, refuse(EPERM));  // its own limits only
  writer.allow_values(SYS_socketpair, 0, {AF_UNIX}, refuse(EAFNOSUPPORT));
  writer.allow_values(SYS_personality, 0, {0xFFFFFFFF}, SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
  writer.allow_values(SYS_arch_prctl, 0, kArchPrctls, refuse(EINVAL));
#endif
  writer.give({SYS_socket}, refuse(EAFNOSUPPORT));
  writer.give(kUnknown, refuse(ENOSYS));
  writer.give(kUnsupported, refuse(ENOTSUP));
  writer.give(kDeadly, SECCOMP_RET_KILL_PROCESS);
  writer.end(refuse(EPERM));
}

void write_item(Writer& writer) {
  writer.give(kForks, refuse(EPERM));
  writer.give({SYS_seccomp}, SECCOMP_RET_KILL_PROCESS);
  writer.give({SYS_execve, SYS_setpgid, SYS_setsid, SYS_setitimer}, refuse(EPERM));
#if defined(__x86_64__)
  writer.give({SYS_alarm}, refuse(EPERM));
#endif
  writer.allow_values(SYS_prctl, 0, kItemPrctls, refuse(EPERM));
  writer.allow_values(SYS_tgkill, 0, {static_cast<uint32_t>(getpid())}, refuse(EPERM));
  writer.allow_bits(SYS_clone, 0, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, refuse(EPERM));
  writer.end(SECCOMP_RET_ALLOW);
}

}  // namespace

int install_filter(Policy policy, Signals signals, Files files) noexcept {
  Writer writer;
  if (policy == Policy::item)
    write_item(writer);
  else
    write_base(writer, policy, signals, files);
  return writer.install();
}

}  // namespace assay::sandbox::process
