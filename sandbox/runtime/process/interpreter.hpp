// A process that is an interpreter with a runner of ours in it (python_runner.py, node_runner.mjs): what is
// said to it, what it says, and how it is watched.
//
// The interpreter's descriptors: 1 and 2 are the log; 3 takes frames (4 bytes of length, little-endian, then
// JSON) and brings records of what became of each; 4 brings the one result, framed likewise. Before it there
// may be calls, frames {"call":METHOD,"params":{…}} with the methods run_candidate and llm.complete, each
// answered by a frame {"result":…} or {"error":{"kind","message"}} on 4. Whatever runs in the interpreter
// could write any of these: all it can gain is another answer to the item it was given.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/fd.hpp"
#include "sandbox/runtime/process/child.hpp"
#include "sandbox/runtime/process/runtime.hpp"
#include "sandbox/runtime/wire/frames.hpp"
#include "sandbox/runtime/wire/log_buffer.hpp"

namespace assay::sandbox::process {

/// Where there is no root of our own, other users may not be able to reach our files: 5 is then
/// libassay-lock.so, which closes it when it is loaded (lock.cpp).
inline constexpr const char* kLockLibraryByDescriptor = "/proc/self/fd/5";

/// As the runners pack it.
struct Record {
  enum Kind : int32_t { started = 1, ended = 2, loaded = 3, refused = 4, not_started = 5 };
  int32_t kind;
  int32_t value;  ///< started: the process of the item; ended: its status, as wait(2) has it
  int64_t cpu_us;
  int64_t peak_bytes;
};
static_assert(sizeof(Record) == 24);

struct InterpreterPlan {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  ///< beside what every evaluator has
  const char* folder = nullptr;          ///< to start in
  uint64_t memory_bytes = 0;             ///< of one process; 0: no limit
  uint64_t address_space_bytes = 0;      ///< likewise
  uint64_t cpu_seconds = 0;              ///< of one process, a backstop
  bool forks = false;                    ///< a process for each item; else it runs them itself
};

class Interpreter {
 public:
  static Result<std::unique_ptr<Interpreter>> start(const InterpreterPlan& plan,
                                                    const wire::EvaluatorLimits& limits,
                                                    const Surroundings& surroundings);
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  /// Kills and reaps it.
  ~Interpreter();

  /// The text of a request to load `source`.
  static std::string load_request(const wire::EvaluatorSource& source);

  /// Begins an exchange with `text`, a JSON document. Does not wait.
  void send(std::string_view text);
  /// Goes on until the runner says that it is done, a limit is reached, or the process is gone.
  void watch(Deadlines& deadlines);

  enum class End { none, ended, loaded, refused, not_started, lost };
  End end() const { return end_; }
  const Record& last() const { return last_; }
  /// True when the answer to a call is still to come, or there and not read: the next item would get it.
  bool awaits_answer() const;
  bool has_result() const { return !result_.empty(); }
  /// True when a limit was reached and only the process of the item was ended.
  bool stopped_item() const { return killed_ && !was_killed_; }
  std::string log() const { return log_.text(); }
  pid_t pid() const { return process_.pid; }

  /// What the exchange makes of its item: the error, or the result. A process that was lost is reaped.
  void conclude(const Accounting& accounting, wire::Answer& answer);

 private:
  Interpreter(Child process, bool forks, const wire::EvaluatorLimits& limits,
              const Surroundings& surroundings)
      : process_(std::move(process)),
        limits_(limits),
        has_namespaces_(surroundings.has_namespaces),
        forks_(forks),
        caller_(*surroundings.caller) {}

  void write_input();
  void take_log();
  void take_results(Deadlines& deadlines);
  void take_call(Deadlines& deadlines);
  void answer_call(Deadlines& deadlines);
  void write_reply(Deadlines& deadlines);
  void take_record(Deadlines& deadlines);
  bool is_due(int32_t kind) const;
  void stop(Error reason);
  std::optional<Error> error_of_loss();
  void read_frame(wire::Answer& answer) const;

  Child process_;
  wire::EvaluatorLimits limits_;
  bool has_namespaces_, forks_;
  Caller& caller_;
  bool calls_ = false;            // and waits for the answer
  bool waits_for_model_ = false;  // meanwhile the wall deadline stands still
  std::set<ErrorKind> failures_;  // of the item's calls
  std::string reply_;             // to the process, not yet written
  UniqueFd control_, results_, log_end_;
  UniqueFd item_;  // the pidfd of the item's process where that is another, once it is known

  std::string input_;
  size_t written_ = 0;
  std::string result_;
  Record record_{}, last_{};
  size_t record_bytes_ = 0;
  wire::LogBuffer log_;
  bool loaded_ = false, started_ = false;
  End end_ = End::none;
  std::optional<Error> killed_;
  bool was_killed_ = false;  ///< the interpreter itself
};

/// What made loading fail, as a fault of the evaluator's configuration.
Error loading_error(Interpreter& interpreter, const Accounting& accounting);

}  // namespace assay::sandbox::process
