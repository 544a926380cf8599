// Runs in a jail in place of a host and tries to get out: one attempt, told over the protocol socket,
// reported there.
#include "tests/attack/jail_intruder.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "sandbox/jail/landlock.hpp"
#include "sandbox/runtime/lua/filter.hpp"

using namespace assay::sandbox;

namespace {

constexpr int kProtocolFd = 3;

int error_of(long result) {
  return result < 0 ? errno : 0;
}

int fork_child() {
  const long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return error_of(pid);
}

int execute() {
  char* const argv[] = {const_cast<char*>("sh"), nullptr};
  for (const char* path : {"/bin/sh", "/proc/self/exe", "/bin/busybox"}) execve(path, argv, argv + 1);
  return errno;
}

// An empty directory has two entries, which take 48 bytes.
int list_root() {
  const int fd = open("/", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return errno;
  char entries[4096];
  return syscall(SYS_getdents64, fd, entries, sizeof entries) > 48 ? 0 : ENOENT;
}

// The parent, or in a pid namespace, where there is none, somebody who would be next.
int signal_others() {
  return error_of(kill(getppid() > 0 ? getppid() : 2, 0));
}

int trace() {
  if (ptrace(PTRACE_ATTACH, getppid() > 0 ? getppid() : 1, nullptr, nullptr) == 0) return 0;
  return errno;
}

int become_root() {
  if (setresuid(0, 0, 0) == 0) return 0;
  return error_of(setgroups(0, nullptr));
}

int raise_limit() {
  const rlimit more{RLIM_INFINITY, RLIM_INFINITY};
  for (const auto resource : {RLIMIT_NPROC, RLIMIT_AS, RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CPU})
    if (setrlimit(resource, &more) == 0) return 0;
  return errno;
}

int map(size_t bytes, int protection) {
  void* const memory = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? errno : 0;
}

int int80() {
#if defined(__x86_64__)
  long result = 20;  // getpid of the 32-bit table
  asm volatile("int $0x80" : "+a"(result) : : "memory");
  return result < 0 ? static_cast<int>(-result) : 0;
#else
  return static_cast<int>(syscall(SYS_getpid)) * 0;
#endif
}

int attempt(Intrusion what) {
  char byte = 0;
  switch (what) {
    case Intrusion::nothing:
      return 0;
    case Intrusion::open_passwd:
      return error_of(open("/etc/passwd", O_RDONLY));
    case Intrusion::open_proc:
      return error_of(open("/proc/self/status", O_RDONLY));
    case Intrusion::list_root:
      return list_root();
    case Intrusion::make_file:
      return error_of(open("/tmp/assay-intruder", O_RDWR | O_CREAT, 0600));
    case Intrusion::socket_inet:
      return error_of(socket(AF_INET, SOCK_STREAM, 0));
    case Intrusion::socket_unix:
      return error_of(socket(AF_UNIX, SOCK_STREAM, 0));
    case Intrusion::fork_child:
      return fork_child();
    case Intrusion::thread:
      return error_of(
          syscall(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0));
    case Intrusion::execute:
      return execute();
    case Intrusion::signal_others:
      return signal_others();
    case Intrusion::trace:
      return trace();
    case Intrusion::mount_proc:
      return error_of(mount("proc", "/", "proc", 0, nullptr));
    case Intrusion::chroot_up:
      return error_of(chroot(".."));
    case Intrusion::become_root:
      return become_root();
    case Intrusion::raise_limit:
      return raise_limit();
    case Intrusion::more_memory:
      return map(size_t{1} << 34, PROT_READ | PROT_WRITE);
    case Intrusion::executable_memory:
      return map(4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    case Intrusion::new_user_namespace:
      return error_of(unshare(CLONE_NEWUSER));
    case Intrusion::keyring:
      return error_of(syscall(SYS_keyctl, 0, -3, 1));
    case Intrusion::message_queue:
      return error_of(syscall(SYS_mq_open, "assay", O_RDWR | O_CREAT, 0600, nullptr));
    case Intrusion::shared_memory:
      return error_of(syscall(SYS_shmget, 7, 4096, 01600));
    case Intrusion::bpf:
      return error_of(syscall(SYS_bpf, 0, nullptr, 0));
    case Intrusion::io_uring:
      return error_of(syscall(SYS_io_uring_setup, 4, nullptr));
    case Intrusion::descriptor_from_nowhere:
      return error_of(syscall(SYS_memfd_create, "x", 0));
    case Intrusion::other_personality:
      return error_of(syscall(SYS_personality, 8));
    case Intrusion::set_host_name:
      return error_of(sethostname("mine", 4));
    case Intrusion::read_stdin:
      return error_of(read(0, &byte, 1));
    case Intrusion::write_stdout:
      return error_of(write(1, "x", 1));
    case Intrusion::int80:
      return int80();
    case Intrusion::exit_quietly:
      _exit(0);
    case Intrusion::crash:
      *reinterpret_cast<volatile int*>(8) = 1;
      return 0;
    case Intrusion::abort_loudly:
      abort();
  }
  return 0;
}

bool has_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, sets) != 0) return true;
  for (const auto& set : sets)
    if ((set.effective | set.permitted | set.inheritable) != 0) return true;
  for (int capability = 0; capability < 64; capability++)
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1) return true;
  return false;
}

IntrusionReport look_around() {
  IntrusionReport report{};
  for (int fd = 0; fd < 64; fd++)
    if (fcntl(fd, F_GETFD) >= 0) report.descriptors |= uint64_t{1} << fd;
  report.uid = getuid();
  report.gid = getgid();
  report.capabilities = has_capabilities() ? 1 : 0;
  report.no_new_privs = static_cast<uint32_t>(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  for (char** variable = environ; *variable != nullptr; variable++) report.environment++;
  report.pid = static_cast<uint32_t>(syscall(SYS_getpid));
  report.groups = static_cast<uint32_t>(getgroups(0, nullptr));
  return report;
}

}  // namespace

int main() {
  IntrusionReport report = look_around();
  IntrusionOrder order{};
  if (read(kProtocolFd, &order, sizeof order) != sizeof order) _exit(90);
  const rlimit no_files{0, 0};
  if (order.landlock && (deny_all_with_landlock() != 0 || setrlimit(RLIMIT_NOFILE, &no_files) != 0))
    _exit(91);
  if (order.filter && lua::install_filter(kProtocolFd) != 0) _exit(92);
  report.error = attempt(order.what);
  if (write(kProtocolFd, &report, sizeof report) != sizeof report) _exit(93);
  _exit(0);
}
