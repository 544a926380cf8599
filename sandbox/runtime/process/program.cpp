#include "sandbox/runtime/process/program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>

namespace assay::sandbox::process {
namespace {

bool make_output_pipe(UniqueFd& ours, UniqueFd& theirs, bool we_read) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  ours = UniqueFd(ends[we_read ? 0 : 1]);
  theirs = UniqueFd(ends[we_read ? 1 : 0]);
  return fcntl(ours.get(), F_SETFL, O_NONBLOCK) == 0;
}

}  // namespace

std::optional<int> ProgramRun::run(const ProgramPlan& plan, wire::Answer& answer) {
  log_.start(limits_.log_bytes);
  surroundings_.accounting.start();
  Deadlines deadlines(limits_);
  deadlines.watch(surroundings_.accounting);
  const auto exit_code = start(plan, deadlines, answer);
  answer.wall = deadlines.elapsed();
  answer.log = log_.text();
  return exit_code;
}

std::optional<int> ProgramRun::start(const ProgramPlan& plan, Deadlines& deadlines, wire::Answer& answer) {
  UniqueFd their_in, their_out, their_err;
  if (!make_output_pipe(in_, their_in, false) || !make_output_pipe(out_, their_out, true) ||
      !make_output_pipe(err_, their_err, true)) {
    answer.error = Error{ErrorKind::internal, "cannot make pipes"};
    return std::nullopt;
  }
  ChildPlan child_plan;
  child_plan.argv = plan.argv;
  child_plan.environment = base_environment(surroundings_.has_namespaces);
  child_plan.environment.insert(child_plan.environment.end(), plan.environment.begin(),
                                plan.environment.end());
  child_plan.fds = {their_in.get(), their_out.get(), their_err.get()};
  child_plan.policy = surroundings_.policy;
  child_plan.signals = surroundings_.signals;
  // The group limits all processes together, and tells of it.
  if (!surroundings_.accounting.has_group()) child_plan.memory_bytes = limits_.memory_bytes;
  child_plan.cpu_seconds = static_cast<uint64_t>(limits_.cpu.count() / 1000 + 2);
  child_plan.ruleset = surroundings_.ruleset;
  auto child = start_child(child_plan);
  if (!child) {
    answer.error = child.error();
    return std::nullopt;
  }
  for (UniqueFd* fd : {&their_in, &their_out, &their_err}) fd->reset();
  deadlines.watch(child->pid);
  watch(*child, plan.input, deadlines);
  return finish(*child, answer);
}

/// Until the program has ended or was killed.
void ProgramRun::watch(const Child& child, std::string_view input, Deadlines& deadlines) {
  while (true) {
    pollfd polled[] = {{child.pidfd.get(), POLLIN, 0},
                       {out_.get(), POLLIN, 0},
                       {err_.get(), POLLIN, 0},
                       {in_.get(), POLLOUT, 0}};  // a descriptor of -1 is passed over
    const int count = poll(polled, std::size(polled), deadlines.patience());
    if (count < 0 && errno != EINTR) {
      killed_ = ErrorKind::internal;
      break;
    }
    if (const auto due = deadlines.due()) {
      killed_ = due;
      break;
    }
    if (polled[3].revents != 0) write_input(input);
    if (polled[2].revents != 0 && !take_log()) err_.reset();
    if (polled[1].revents != 0 && !take_output()) out_.reset();
    if (killed_ || polled[0].revents != 0) break;
  }
}

void ProgramRun::write_input(std::string_view& input) {
  const ssize_t count = write(in_.get(), input.data(), input.size());
  if (count > 0) input.remove_prefix(static_cast<size_t>(count));
  const bool gone = count < 0 && errno != EAGAIN && errno != EINTR;  // it does not want the rest
  if (gone || input.empty()) in_.reset();
}

bool ProgramRun::take_log() {
  return read_some(err_.get(), [&](std::string_view text) { log_.append(text); });
}

bool ProgramRun::take_output() {
  return read_some(out_.get(), [&](std::string_view text) {
    output_.append(text.substr(0, limits_.result_bytes + 1 - output_.size()));
    if (output_.size() > limits_.result_bytes) killed_ = ErrorKind::output_limit;
  });
}

/// Ends whatever the program left running, and says how it went.
std::optional<int> ProgramRun::finish(const Child& child, wire::Answer& answer) {
  // As the first process of a process namespace this reaches everything in it and nothing else.
  kill(-1, SIGKILL);
  int status = 0;
  while (true) {
    int ended_status = 0;
    const pid_t ended = waitpid(-1, &ended_status, 0);
    if (ended == child.pid) status = ended_status;
    if (ended < 0 && errno != EINTR) break;
  }
  if (out_) take_output();
  if (err_) take_log();
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  answer.cpu = std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  answer.memory_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  if (const auto peak = surroundings_.accounting.peak_memory()) {
    answer.memory_bytes = *peak;
    answer.method = surroundings_.accounting.method();
  }
  answer.error = verdict(status, answer);
  if (answer.error) return std::nullopt;
  return WEXITSTATUS(status);
}

/// In this order: want of memory shows itself in many ways, a deadline as a kill.
std::optional<Error> ProgramRun::verdict(int status, const wire::Answer& answer) {
  if (surroundings_.accounting.killed_for_memory()) return limit_error(ErrorKind::memory_limit, limits_);
  // By processes that nobody saw until they were reaped.
  if (answer.cpu >= limits_.cpu) return limit_error(ErrorKind::cpu_limit, limits_);
  if (killed_) return limit_error(*killed_, limits_);
  if (WIFSIGNALED(status)) return error_of_status(status);
  return std::nullopt;
}

}  // namespace assay::sandbox::process
