#include "sandbox/runtime/process/child.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <ctime>

#include "sandbox/jail/landlock.hpp"

namespace assay::sandbox::process {
namespace {

using namespace std::chrono_literals;

constexpr int kFirstPlaced = 32;  // copies wait up here until each is where it belongs
constexpr rlim_t kDescriptors = 64;

// The steps of a child, for the message when one fails.
constexpr const char* kSteps[] = {"placing descriptors", "setting limits", "Landlock", "seccomp",
                                  "executing"};
enum Step : int { kDescriptorsStep, kLimits, kLandlock, kSeccomp, kExecute };
struct Failure {
  Step step;
  int error;
};

[[noreturn]] void fail_child(int error_fd, Step step, int error) {
  const Failure failure{step, error};
  (void)!write(error_fd, &failure, sizeof failure);
  _exit(127);
}

bool lower_limit(__rlimit_resource_t resource, rlim_t wanted) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0) return false;
  limit.rlim_cur = limit.rlim_max = std::min(wanted, limit.rlim_max);
  return setrlimit(resource, &limit) == 0;
}

/// Only this runs between the fork and execve. This process has one thread, so it may use what it likes.
[[noreturn]] void run_child(const ChildPlan& plan, char* const* argv, char* const* environment,
                            int error_fd) {
  signal(SIGPIPE, SIG_DFL);  // ours is ignored, and what is ignored stays so: `yes | head -1` would not end
  std::vector<int> high;
  for (const int fd : plan.fds) high.push_back(fcntl(fd, F_DUPFD, kFirstPlaced));
  const int error_copy = fcntl(error_fd, F_DUPFD_CLOEXEC, kFirstPlaced);
  const int ruleset = plan.ruleset < 0 ? -1 : fcntl(plan.ruleset, F_DUPFD_CLOEXEC, kFirstPlaced);
  for (size_t i = 0; i < high.size(); i++)
    if (dup2(high[i], static_cast<int>(i)) < 0) fail_child(error_copy, kDescriptorsStep, errno);
  // What stays open closes itself on execve.
  if (syscall(SYS_close_range, static_cast<unsigned>(high.size()), ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    fail_child(error_copy, kDescriptorsStep, errno);

  if (plan.folder != nullptr) (void)!chdir(plan.folder);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail_child(error_copy, kDescriptorsStep, errno);
  if ((plan.memory_bytes != 0 && !lower_limit(RLIMIT_DATA, plan.memory_bytes)) ||
      (plan.address_space_bytes != 0 && !lower_limit(RLIMIT_AS, plan.address_space_bytes)) ||
      !lower_limit(RLIMIT_CPU, plan.cpu_seconds) || !lower_limit(RLIMIT_NOFILE, kDescriptors))
    fail_child(error_copy, kLimits, errno);
  if (ruleset >= 0)
    if (const int error = restrict_with_landlock(ruleset)) fail_child(error_copy, kLandlock, error);
  if (const int error = install_filter(plan.policy, plan.signals, plan.files))
    fail_child(error_copy, kSeccomp, error);
  execve(argv[0], argv, environment);
  fail_child(error_copy, kExecute, errno);
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

/// nullopt when its process is gone.
std::optional<std::chrono::microseconds> clock_time(clockid_t clock) {
  timespec time{};
  if (clock_gettime(clock, &time) != 0) return std::nullopt;
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::seconds(time.tv_sec) +
                                                               std::chrono::nanoseconds(time.tv_nsec));
}

}  // namespace

Result<Child> start_child(const ChildPlan& plan) {
  const auto argv = pointers(plan.argv);
  const auto environment = pointers(plan.environment);
  int errors[2];
  if (pipe2(errors, O_CLOEXEC) != 0) return fail(ErrorKind::internal, "cannot make a pipe");
  const UniqueFd error_read(errors[0]);
  UniqueFd error_write(errors[1]);

  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) run_child(plan, argv.data(), environment.data(), error_write.get());
  if (pid < 0)
    return fail(ErrorKind::internal, std::string("cannot start a process: ") + std::strerror(errno));
  error_write.reset();
  Child child{pid, UniqueFd(pidfd)};
  Failure failure{};
  ssize_t count;
  do count = read(error_read.get(), &failure, sizeof failure);
  while (count < 0 && errno == EINTR);
  if (count == 0) return child;
  waitpid(pid, nullptr, 0);
  const std::string why = std::strerror(failure.error);
  if (failure.step == kExecute) return fail(ErrorKind::config, "cannot execute " + plan.argv[0] + ": " + why);
  return fail(ErrorKind::internal,
              std::string("cannot start a process: ") + kSteps[failure.step] + ": " + why);
}

std::vector<std::string> base_environment(bool has_scratch) {
  const std::string home = has_scratch ? "/tmp" : "/";
  return {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + home, "LANG=C.UTF-8", "TZ=UTC0"};
}

Deadlines::Deadlines(const wire::EvaluatorLimits& limits)
    : limits_(limits),
      began_(Clock::now()),
      wall_due_(began_ + limits.wall),
      next_look_(began_ + limits.cpu) {}

void Deadlines::watch(pid_t pid) {
  clockid_t clock{};
  if (clock_getcpuclockid(pid, &clock) != 0) return;
  const auto time = clock_time(clock);
  if (!time) return;
  clock_ = clock;
  clock_base_ = *time;
}

void Deadlines::stand_still() {
  wall_left_ = wall_due_ - Clock::now();
  wall_due_ = Clock::time_point::max();
}

void Deadlines::go_on() {
  wall_due_ = Clock::now() + wall_left_;
}

int Deadlines::patience() const {
  const auto left = std::min(wall_due_, next_look_) - Clock::now();
  return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(left).count()));
}

std::optional<ErrorKind> Deadlines::due() {
  const auto now = Clock::now();
  if (now >= next_look_) {
    const auto used = cpu();
    if (used >= limits_.cpu) return ErrorKind::cpu_limit;
    static const long processors = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
    next_look_ = now + std::max<Clock::duration>((limits_.cpu - used) / processors, 1ms);
  }
  if (now >= wall_due_) return ErrorKind::timeout;
  return std::nullopt;
}

std::chrono::microseconds Deadlines::cpu() {
  if (const auto used = group_ != nullptr ? group_->cpu() : std::nullopt) {
    seen_ = std::max(seen_, *used);
  } else if (const auto time = clock_ ? clock_time(*clock_) : std::nullopt) {
    seen_ = std::max(seen_, *time - clock_base_);
  }
  return seen_;
}

std::chrono::microseconds Deadlines::elapsed() const {
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began_);
}

wire::EvaluatorLimits loading_limits(wire::EvaluatorLimits limits) {
  limits.wall = limits.load;
  limits.cpu = std::chrono::hours(1);  // a library may well start a thread for every processor
  return limits;
}

Error limit_error(ErrorKind kind, const wire::EvaluatorLimits& limits) {
  switch (kind) {
    case ErrorKind::timeout:
      return {kind, "took longer than " + std::to_string(limits.wall.count()) + " ms"};
    case ErrorKind::cpu_limit:
      return {kind, "used more than " + std::to_string(limits.cpu.count()) + " ms of processor time"};
    case ErrorKind::memory_limit:
      return {kind, "used more than " + std::to_string(limits.memory_bytes) + " bytes of memory"};
    case ErrorKind::output_limit:
      return {kind, "the result is larger than " + std::to_string(limits.result_bytes) + " bytes"};
    default:
      return {kind, std::string(to_string(kind))};
  }
}

std::optional<Error> error_of_status(int status) {
  if (WIFEXITED(status)) {
    if (WEXITSTATUS(status) == 0) return std::nullopt;
    return Error{ErrorKind::evaluator_error, "exited with code " + std::to_string(WEXITSTATUS(status))};
  }
  const int signal = WTERMSIG(status);
  switch (signal) {
    case SIGSYS:
      return Error{ErrorKind::policy_violation, "made a system call that the sandbox forbids"};
    case SIGXCPU:
      return Error{ErrorKind::cpu_limit, "used up its processor time"};
    case SIGXFSZ:
      return Error{ErrorKind::output_limit, "wrote a file larger than it may"};
    case SIGKILL:  // not by us: those have their own reason
      return Error{ErrorKind::memory_limit, "was killed by the kernel, most likely for want of memory"};
    default: {
      const char* const name = sigabbrev_np(signal);
      return Error{ErrorKind::crashed, "ended by " + (name != nullptr ? std::string("SIG") + name
                                                                      : "signal " + std::to_string(signal))};
    }
  }
}

void append_tail(std::string& message, std::string_view log) {
  constexpr size_t kSize = 2U << 10;
  if (log.size() > kSize) log.remove_prefix(log.size() - kSize);
  while (!log.empty() && (static_cast<unsigned char>(log.front()) & 0xC0) == 0x80) log.remove_prefix(1);
  while (log.ends_with('\n')) log.remove_suffix(1);
  if (log.empty()) return;
  message += ":\n";
  message += log;
}

}  // namespace assay::sandbox::process
