// Evaluators in Python. The interpreter (runner.py) loads the evaluator once and forks a child for every
// item; this process, outside of the interpreter, keeps the deadlines, kills, and reads results and log from
// descriptors of its own.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstring>
#include <memory>

#include "sandbox/runtime/process/child.hpp"
#include "sandbox/runtime/process/result.hpp"
#include "sandbox/runtime/process/runner.hpp"
#include "sandbox/runtime/process/scratch.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::process {
namespace {

constexpr const char* kInterpreter = "/usr/bin/python3";
constexpr int kItemsPerInterpreter = 10'000;  // all children of one share its random layout of memory
constexpr size_t kHeader = 4;
constexpr int kDeathMs = 100;               // from a kill to the interpreter's word of it
constexpr size_t kResultSlack = 64U << 10;  // beyond the result: JSON's escapes, the message of an error

/// As runner.py packs it.
struct Record {
  enum Kind : int32_t { started = 1, ended = 2, loaded = 3, refused = 4 };
  int32_t kind;
  int32_t value;  ///< started: the process; ended: its status
  int64_t cpu_us;
  int64_t peak_bytes;
};
static_assert(sizeof(Record) == 24);

struct Channel {
  UniqueFd ours, theirs;
};

std::optional<Channel> make_channel() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return std::nullopt;
  Channel channel{UniqueFd(ends[0]), UniqueFd(ends[1])};
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return std::nullopt;
  return channel;
}

std::string framed(std::string_view text) {
  std::string frame(kHeader, '\0');
  for (size_t i = 0; i < kHeader; i++) frame[i] = static_cast<char>(text.size() >> (8 * i) & 0xFF);
  frame += text;
  return frame;
}

class Python : public Runtime {
 public:
  Python(wire::EvaluatorSource source, const Accounting& accounting)
      : source_(std::move(source)), accounting_(accounting) {}
  ~Python() override {
    if (!interpreter_.pidfd) return;
    kill_process(interpreter_.pidfd.get());
    waitpid(interpreter_.pid, nullptr, 0);
  }

  Result<void> start(const Surroundings& surroundings) {
    auto control = make_channel(), results = make_channel(), log = make_channel();
    const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!control || !results || !log || !null) return fail(ErrorKind::internal, "cannot make channels");
    ChildPlan plan;
    // -s: nothing of a home directory; -c has put the working directory on the path, which the runner takes
    // off again.
    plan.argv = {kInterpreter, "-s", "-B", "-c", std::string(kRunner)};
    plan.environment = base_environment(surroundings.has_namespaces);
    plan.environment.emplace_back("PYTHONHASHSEED=0");
    plan.environment.push_back("LD_PRELOAD=" + surroundings.fork_library);
    plan.fds = {null.get(), log->theirs.get(), log->theirs.get(), control->theirs.get(),
                results->theirs.get()};
    plan.policy = Policy::interpreter;
    plan.signals = surroundings.signals;
    plan.memory_bytes = source_.limits.memory_bytes;
    plan.cpu_seconds = kInterpreterCpuSeconds;
    plan.ruleset = surroundings.ruleset;
    has_scratch_ = surroundings.has_namespaces;
    ASSAY_TRY(interpreter_, start_child(plan));
    control_ = std::move(control->ours);
    results_ = std::move(results->ours);
    log_end_ = std::move(log->ours);
    return load();
  }

  wire::Answer evaluate(std::string_view item) override {
    wire::Answer answer;
    accounting_.start();
    Deadlines deadlines(source_.limits);
    begin(framed(with_text(item)));
    watch(deadlines);
    finish(answer);
    answer.wall = deadlines.elapsed();
    answer.log = log_.text();
    if (++items_ >= kItemsPerInterpreter) spent_ = true;
    if (has_scratch_ && !empty_scratch()) spent_ = true;
    return answer;
  }

  bool is_spent() const override { return spent_; }

 private:
  static constexpr uint64_t kInterpreterCpuSeconds = 3000;

  /// The top level runs under the limits of one evaluation.
  Result<void> load() {
    std::string request = R"({"evaluator":)";
    wire::append_json_string(request, source_.name);
    request += R"(,"source":)";
    wire::append_json_string(request, source_.source);
    request += R"(,"params":)" + source_.params + '}';
    Deadlines deadlines(source_.limits);
    deadlines.watch(interpreter_.pid);
    begin(framed(request));
    watch(deadlines);
    if (has_scratch_ && end_ == End::loaded && !empty_scratch())
      return fail(ErrorKind::config,
                  source_.name + ": its top level leaves more in /tmp than can be cleaned up");
    if (end_ == End::loaded && result_.empty()) return {};
    wire::Answer answer;
    finish(answer);
    Error error =
        answer.error.value_or(Error{ErrorKind::config, "the evaluator answered while it was being loaded"});
    error.kind = error.kind == ErrorKind::internal ? ErrorKind::internal : ErrorKind::config;
    if (end_ != End::refused) error.message = "loading the evaluator: " + error.message;
    return std::unexpected(std::move(error));
  }

  void begin(std::string frame) {
    input_ = std::move(frame);
    written_ = 0;
    result_.clear();
    record_bytes_ = 0;
    log_.start(source_.limits.log_bytes);
    end_ = End::none;
    killed_.reset();
    item_ = UniqueFd();
    last_ = {};
  }

  /// Until the interpreter says that it is done, or nothing more can come.
  void watch(Deadlines& deadlines) {
    while (end_ == End::none) {
      pollfd polled[] = {
          {control_.get(), static_cast<short>(POLLIN | (written_ < input_.size() ? POLLOUT : 0)), 0},
          {results_.get(), POLLIN, 0},
          {log_end_.get(), POLLIN, 0},
          {interpreter_.pidfd.get(), POLLIN, 0}};
      const int count = poll(polled, std::size(polled), killed_ ? kDeathMs : deadlines.patience());
      if ((count < 0 && errno != EINTR) || (count == 0 && killed_) || polled[3].revents != 0)
        end_ = End::lost;
      if (const auto due = deadlines.due(); due && !killed_) stop(*due);
      if ((polled[2].revents & POLLIN) != 0) take_log();
      if ((polled[1].revents & POLLIN) != 0) take_results();
      if ((polled[0].revents & POLLOUT) != 0) write_input();
      if ((polled[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) take_record(deadlines);
    }
    // Whoever could write here is dead or waits for us: what there is now is all.
    take_results();
    take_log();
  }

  void write_input() {
    const ssize_t count =
        send(control_.get(), input_.data() + written_, input_.size() - written_, MSG_NOSIGNAL);
    if (count > 0) written_ += static_cast<size_t>(count);
  }

  void take_log() {
    read_some(log_end_.get(), [&](std::string_view text) { log_.append(text); });
  }

  void take_results() {
    const size_t limit = 6 * source_.limits.result_bytes + kResultSlack;
    read_some(results_.get(), [&](std::string_view text) {
      result_.append(text.substr(0, limit + 1 - result_.size()));
      if (result_.size() > limit && !killed_) stop(ErrorKind::output_limit);
    });
  }

  void take_record(Deadlines& deadlines) {
    const ssize_t count = recv(control_.get(), reinterpret_cast<char*>(&record_) + record_bytes_,
                               sizeof record_ - record_bytes_, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
      end_ = End::lost;
      return;
    }
    record_bytes_ += static_cast<size_t>(count);
    if (record_bytes_ < sizeof record_) return;
    record_bytes_ = 0;
    last_ = record_;
    switch (record_.kind) {
      case Record::started:
        item_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, record_.value, 0)));
        deadlines.watch(record_.value);
        if (killed_) stop(*killed_);
        break;
      case Record::ended:
        end_ = End::ended;
        break;
      case Record::loaded:
        end_ = End::loaded;
        break;
      case Record::refused:
        end_ = End::refused;
        break;
      default:
        end_ = End::lost;
    }
  }

  static void kill_process(int pidfd) { syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0); }

  /// Kills the item's process, or the interpreter when there is none to be seen.
  void stop(ErrorKind reason) {
    killed_ = reason;
    if (item_) return kill_process(item_.get());
    kill_process(interpreter_.pidfd.get());
  }

  void finish(wire::Answer& answer) {
    if (end_ == End::ended) {
      answer.cpu = std::chrono::microseconds(last_.cpu_us);
      answer.memory_bytes = static_cast<uint64_t>(std::max<int64_t>(0, last_.peak_bytes));
    }
    if (end_ == End::lost) {
      spent_ = true;
      int status = 0;
      kill_process(interpreter_.pidfd.get());
      waitpid(interpreter_.pid, &status, 0);
      interpreter_.pidfd.reset();
      if (!killed_ && !accounting_.killed_for_memory()) {
        answer.error = error_of_status(status).value_or(Error{ErrorKind::crashed, "the interpreter ended"});
        if (answer.error->kind == ErrorKind::evaluator_error) answer.error->kind = ErrorKind::crashed;
        // SIGKILL is ours: the interpreter had closed its end.
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
          answer.error = Error{ErrorKind::crashed, "the interpreter broke off"};
        return;
      }
    }
    if (accounting_.killed_for_memory() || killed_) {
      const bool memory = accounting_.killed_for_memory();
      answer.error = limit_error(memory ? ErrorKind::memory_limit : *killed_, source_.limits);
      return;
    }
    const int status = end_ == End::ended ? last_.value : 0;
    if (auto error = error_of_status(status)) {
      if (WIFSIGNALED(status)) spent_ = true;  // what it met may be in the interpreter's own memory
      if (error->kind == ErrorKind::evaluator_error) {
        error->kind = ErrorKind::crashed;
        error->message = "the process of the item " + error->message + " without an answer";
      }
      answer.error = std::move(error);
      return;
    }
    read_frame(answer);
  }

  void read_frame(wire::Answer& answer) {
    size_t size = 0;
    for (size_t i = 0; i < kHeader && i < result_.size(); i++)
      size |= size_t{static_cast<unsigned char>(result_[i])} << (8 * i);
    if (result_.empty()) {
      answer.error = Error{ErrorKind::crashed, "the process of the item ended without an answer"};
    } else if (result_.size() != kHeader + size) {
      answer.error = Error{ErrorKind::bad_result, "the evaluator's process answered with what is no answer"};
    } else {
      read_result(std::string_view(result_).substr(kHeader), answer);
    }
  }

  enum class End { none, ended, loaded, refused, lost };

  wire::EvaluatorSource source_;
  Accounting accounting_;
  Child interpreter_;
  UniqueFd control_, results_, log_end_;
  UniqueFd item_;  // the pidfd of the item's process, once it is known
  bool has_scratch_ = false;

  std::string input_;
  size_t written_ = 0;
  std::string result_;
  Record record_{}, last_{};
  size_t record_bytes_ = 0;
  wire::LogBuffer log_;
  End end_ = End::none;
  std::optional<ErrorKind> killed_;
  int items_ = 0;
  bool spent_ = false;
};

}  // namespace

Result<std::unique_ptr<Runtime>> start_python(wire::EvaluatorSource source, Surroundings surroundings) {
  if (access(kInterpreter, X_OK) != 0)
    return fail(ErrorKind::config, std::string("no Python interpreter: ") + kInterpreter + " is not there");
  // The loader would pass over a library that is not there.
  if (access(surroundings.fork_library.c_str(), R_OK) != 0)
    return fail(ErrorKind::internal, surroundings.fork_library + " is not there");
  auto python = std::make_unique<Python>(std::move(source), surroundings.accounting);
  ASSAY_OK(python->start(surroundings));
  return python;
}

}  // namespace assay::sandbox::process
