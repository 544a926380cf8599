// Starting a process of an evaluator, and watching one.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "core/fd.hpp"
#include "sandbox/runtime/process/filter.hpp"
#include "sandbox/runtime/process/runtime.hpp"
#include "sandbox/runtime/wire/log_buffer.hpp"

namespace assay::sandbox::process {

struct ChildPlan {
  std::vector<std::string> argv;  ///< argv[0] is a path
  std::vector<std::string> environment;
  std::vector<int> fds;          ///< become 0, 1, 2, …; borrowed
  const char* folder = nullptr;  ///< to start in, where it can be entered; else ours
  Policy policy = Policy::command;
  Signals signals = Signals::refused;
  Files files = Files::own;
  uint64_t memory_bytes = 0;  ///< of one process; 0: no limit
  /// Of one process; 0: no limit. What is mapped and never written is no memory of its own, but costs tables.
  uint64_t address_space_bytes = 0;
  uint64_t cpu_seconds = 0;
  int ruleset = -1;
};

struct Child {
  pid_t pid = 0;
  UniqueFd pidfd;
};

/// Starts a process under all the limits of `plan`. `config` when the program cannot be executed, `internal`
/// with the step when something else fails: it then never ran.
Result<Child> start_child(const ChildPlan& plan);

/// The environment that every evaluator has.
std::vector<std::string> base_environment(bool has_scratch);

/// Reads what `fd` has into `sink(text)`, at most a few buffers of it; false at the end of the stream. `fd`
/// must not block.
template <class Sink>
bool read_some(int fd, Sink sink) {
  char buffer[16 << 10];
  for (int round = 0; round < 8; round++) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count == 0) return false;
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    sink(std::string_view(buffer, static_cast<size_t>(count)));
    if (static_cast<size_t>(count) < sizeof buffer) break;
  }
  return true;
}

/// When a process must be looked at, and what is then found: the wall deadline, and the processor time, which
/// is looked at again at the earliest moment at which it can have run out.
class Deadlines {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Deadlines(const wire::EvaluatorLimits& limits);
  /// The process whose clock counts from now on, or the group.
  void watch(pid_t pid);
  void watch(const Accounting& group) { group_ = &group; }

  /// The wall deadline stands still from stand_still() to go_on().
  void stand_still();
  void go_on();

  /// Milliseconds for poll(2), rounded up, until something can be due.
  int patience() const;
  /// timeout or cpu_limit when that has come.
  std::optional<ErrorKind> due();
  const wire::EvaluatorLimits& limits() const { return limits_; }
  /// Used since watch(), as far as has been seen.
  std::chrono::microseconds cpu();
  std::chrono::microseconds elapsed() const;

 private:
  wire::EvaluatorLimits limits_;
  Clock::time_point began_, wall_due_, next_look_;
  Clock::duration wall_left_{};  // while it stands still
  std::optional<clockid_t> clock_;
  std::chrono::microseconds clock_base_{0}, seen_{0};
  const Accounting* group_ = nullptr;
};

/// Of loading the evaluator.
wire::EvaluatorLimits loading_limits(wire::EvaluatorLimits limits);

/// "took longer than 200 ms" and the like.
Error limit_error(ErrorKind kind, const wire::EvaluatorLimits& limits);

/// Appends the last of a log to a message, where there is any: a process seldom says more before it ends.
void append_tail(std::string& message, std::string_view log);

/// How a process ended, as an error when that was not by exit code 0; `status` is as wait(2) gives it.
std::optional<Error> error_of_status(int status);

}  // namespace assay::sandbox::process
