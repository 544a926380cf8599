#include "sandbox/jail/trial.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <functional>
#include <optional>

#include "sandbox/jail/bpf.hpp"
#include "sandbox/jail/jail.hpp"
#include "sandbox/jail/landlock.hpp"

namespace assay::sandbox {
namespace {

constexpr int kDeadlineMs = 10'000;
constexpr uint64_t kMemoryLimit = 64U << 20;
constexpr size_t kTouched = 2 * kMemoryLimit;
constexpr int kNotRefused = 200;  // exit codes of a child below this are errnos

Trial failed(std::string seen, int error = 0) {
  return {.ok = false, .seen = std::move(seen), .error = error};
}

Trial succeeded(std::string seen) {
  return {.ok = true, .seen = std::move(seen)};
}

class Child {
 public:
  /// Runs `body`, whose value is the exit code, in a child inside `group`. Only what may be called in a
  /// signal handler may be called there.
  explicit Child(const std::function<int()>& body, const Group* group = nullptr) {
    clone_args args{};
    args.flags = CLONE_PIDFD;
    if (group != nullptr && group->directory) {
      args.flags |= CLONE_INTO_CGROUP;
      args.cgroup = static_cast<uint64_t>(group->directory.get());
    }
    int pidfd = -1;
    args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
    args.exit_signal = SIGCHLD;
    const long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (group != nullptr)
        for (const UniqueFd& entrance : group->entrances)
          if (write(entrance.get(), "0", 1) != 1) _exit(errno);
      _exit(body());
    }
    if (pid < 0) error_ = errno;
    pidfd_ = UniqueFd(pidfd);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  int error() const { return error_; }

  /// How it ended by itself; nullopt when it had to be killed, or never started.
  std::optional<Ending> wait() {
    if (!pidfd_) return std::nullopt;
    pollfd ended{pidfd_.get(), POLLIN, 0};
    int count;
    do count = poll(&ended, 1, kDeadlineMs);
    while (count < 0 && errno == EINTR);
    if (count != 1) return std::nullopt;
    const Ending ending = reap(pidfd_.get());
    pidfd_.reset();
    return ending;
  }
  void end() {
    if (!pidfd_) return;
    kill_child(pidfd_.get());
    reap(pidfd_.get());
    pidfd_.reset();
  }

 private:
  UniqueFd pidfd_;
  int error_ = 0;
};

/// The trial of a child that did not get as far as to say anything; nullopt for one that did.
std::optional<Trial> trouble_with(const Child& child, const std::optional<Ending>& ending) {
  if (child.error() != 0) return failed("clone3", child.error());
  if (!ending) return failed("did not end within its deadline", ETIMEDOUT);
  return std::nullopt;
}

int give_up_privileges() {
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

/// For a body that returns 0 or the errno of `call`.
Trial trial_of(std::string_view call, std::string_view meaning, const std::function<int()>& body) {
  Child child(body);
  const auto ending = child.wait();
  if (auto trouble = trouble_with(child, ending)) return *trouble;
  if (ending->signalled)
    return failed(std::string(call) + ": ended by signal " + std::to_string(ending->status));
  if (ending->status == kNotRefused) return failed(std::string(call) + " has no effect");
  if (ending->status != 0) return failed(std::string(call), ending->status);
  return succeeded(std::string(meaning));
}

/// The number behind `name` in a file of a control group; 0 when there is none.
uint64_t counter(const UniqueFd& file, std::string_view name) {
  char buffer[1024];
  const ssize_t size = pread(file.get(), buffer, sizeof buffer, 0);
  const std::string_view text(buffer, size > 0 ? static_cast<size_t>(size) : 0);
  uint64_t value = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(name) && line.substr(name.size()).starts_with(' '))
      std::from_chars(line.data() + name.size() + 1, line.data() + line.size(), value);
    at = end + 1;
  }
  return value;
}

/// `attempt` with a group of `limits`.
Trial with_group(CgroupTree& groups, const JailLimits& limits,
                 const std::function<Trial(const Group&)>& attempt) {
  const auto group = groups.make(limits);
  if (!group) return failed(group.error().what, group.error().error);
  Trial trial = attempt(*group);
  groups.remove(group->id);
  return trial;
}

int touch_memory() {
  void* const memory = mmap(nullptr, kTouched, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno;
  const long page = sysconf(_SC_PAGESIZE);
  for (size_t at = 0; at < kTouched; at += static_cast<size_t>(page))
    static_cast<volatile char*>(memory)[at] = 1;
  return kNotRefused;
}

/// In a group of two processes, this one among them: 0 when the kernel refuses the third as it should.
int start_too_many() {
  const auto start = [] {
    const auto pid = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (pid == 0)
      for (;;) pause();
    return pid;
  };
  const pid_t second = start();
  if (second < 0) return errno;
  const pid_t third = start();
  const int error = third < 0 ? errno : kNotRefused;
  for (const pid_t pid : {second, third})
    if (pid > 0) kill(pid, SIGKILL);
  while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  return error;
}

}  // namespace

Trial try_no_new_privileges() {
  return trial_of("prctl(PR_SET_NO_NEW_PRIVS)", "set", [] {
    const int error = give_up_privileges();
    if (error != 0) return error;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : kNotRefused;
  });
}

Trial try_seccomp() {
  Child child([] {
    BpfProgram filter;
    filter.begin();
    filter.give_for({SYS_getppid}, SECCOMP_RET_KILL_PROCESS);
    filter.give(SECCOMP_RET_ALLOW);
    const sock_fprog program = filter.program();
    if (const int error = give_up_privileges(); error != 0) return error;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return errno;
    syscall(SYS_getppid);
    return kNotRefused;
  });
  const auto ending = child.wait();
  if (auto trouble = trouble_with(child, ending)) return *trouble;
  if (ending->signalled && ending->status == SIGSYS)
    return succeeded("a filter loads, and a call that it forbids ends the process");
  if (ending->signalled || ending->status == kNotRefused)
    return failed("a call that the filter forbids does not end the process by SIGSYS");
  return failed("seccomp(SECCOMP_SET_MODE_FILTER)", ending->status);
}

Trial try_landlock() {
  const int abi = landlock_abi();
  if (abi < 0) return failed("landlock_create_ruleset", -abi);
  return trial_of("landlock_restrict_self", "ABI " + std::to_string(abi), [] {
    if (const int error = give_up_privileges(); error != 0) return error;
    if (const int error = deny_all_with_landlock(); error != 0) return error;
    return open("/", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : kNotRefused;
  });
}

Trial try_memory_limit(CgroupTree& groups) {
  return with_group(groups, {.memory_bytes = kMemoryLimit, .processes = 4}, [](const Group& group) {
    Child child(touch_memory, &group);
    const auto ending = child.wait();
    if (auto trouble = trouble_with(child, ending)) return *trouble;
    if (!ending->signalled && ending->status != kNotRefused)
      return failed("entering the group, or mmap", ending->status);
    if (!ending->signalled) return failed("128 MiB could be touched in a group of 64 MiB");
    const uint64_t kills = counter(group.files[static_cast<size_t>(GroupFile::oom_kills)], "oom_kill");
    if (ending->status != SIGKILL || kills == 0)
      return failed("ended by signal " + std::to_string(ending->status) + " with " + std::to_string(kills) +
                    " counted as oom_kill");
    return succeeded("more than 64 MiB touched: killed, and counted as oom_kill");
  });
}

Trial try_process_limit(CgroupTree& groups) {
  return with_group(groups, {.memory_bytes = kMemoryLimit, .processes = 2}, [](const Group& group) {
    Child child(start_too_many, &group);
    const auto ending = child.wait();
    if (auto trouble = trouble_with(child, ending)) return *trouble;
    if (ending->signalled) return failed("ended by signal " + std::to_string(ending->status));
    if (ending->status == kNotRefused) return failed("a third process could be started in a group of two");
    const uint64_t refused = counter(group.files[static_cast<size_t>(GroupFile::refused_processes)], "max");
    if (ending->status != EAGAIN || refused == 0) return failed("clone", ending->status);
    return succeeded("the third process of two refused, and counted");
  });
}

Trial try_group_kill(CgroupTree& groups) {
  return with_group(groups, {.memory_bytes = kMemoryLimit, .processes = 2}, [](const Group& group) {
    Child child([] { return pause(); }, &group);
    if (child.error() != 0) return failed("clone3", child.error());
    const UniqueFd file(openat(group.directory.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));
    if (!file || write(file.get(), "1", 1) != 1) return failed("cgroup.kill", errno);
    const auto ending = child.wait();
    if (!ending || !ending->signalled) return failed("cgroup.kill did not end the group's process");
    return succeeded("ended a group's process");
  });
}

}  // namespace assay::sandbox
