// Evaluators in Python. The interpreter (python_runner.py) loads the evaluator once and forks a child for
// every item; this process, outside of the interpreter, keeps the deadlines, kills, and reads results and
// log.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "sandbox/runtime/process/interpreter.hpp"
#include "sandbox/runtime/process/python_runner.hpp"
#include "sandbox/runtime/process/result.hpp"
#include "sandbox/runtime/process/scratch.hpp"

namespace assay::sandbox::process {
namespace {

constexpr const char* kInterpreter = "/usr/bin/python3";
constexpr int kItemsPerInterpreter = 10'000;  // all children of one share its random layout of memory
constexpr uint64_t kCpuSeconds = 3'000;       // of an interpreter's whole life, and of an item's process
constexpr uint64_t kUnwritten = 16ULL << 30;  // address space: its tables take 32 MiB at most

class Python : public Runtime {
 public:
  Python(wire::EvaluatorSource source, const Surroundings& surroundings)
      : source_(std::move(source)),
        accounting_(surroundings.accounting),
        has_scratch_(surroundings.has_namespaces) {}

  Result<void> start(const Surroundings& surroundings) {
    // -s: nothing of a home directory; -c has put the working directory on the path, which the runner takes
    // off again.
    ASSAY_TRY(interpreter_,
              Interpreter::start({.argv = {kInterpreter, "-s", "-B", "-c", std::string(kPythonRunner)},
                                  .environment = {"PYTHONHASHSEED=0", "ASSAY_LOCK=children"},
                                  .memory_bytes = source_.limits.memory_bytes,
                                  .address_space_bytes = source_.limits.memory_bytes + kUnwritten,
                                  .cpu_seconds = kCpuSeconds,
                                  .forks = true},
                                 source_.limits, surroundings));
    accounting_.start();
    Deadlines deadlines(loading_limits(source_.limits));
    deadlines.watch(interpreter_->pid());
    interpreter_->send(Interpreter::load_request(source_));
    interpreter_->watch(deadlines);
    if (interpreter_->end() != Interpreter::End::loaded || interpreter_->has_result())
      return std::unexpected(loading_error(*interpreter_, accounting_));
    if (has_scratch_ && !empty_scratch())
      return fail(ErrorKind::config,
                  source_.name + ": its top level leaves more in /tmp than can be cleaned up");
    return {};
  }

  wire::Answer evaluate(std::string_view item) override {
    wire::Answer answer;
    accounting_.start();
    Deadlines deadlines(source_.limits);
    interpreter_->send(with_text(item));
    interpreter_->watch(deadlines);
    const Record& last = interpreter_->last();
    if (interpreter_->end() == Interpreter::End::ended) {
      answer.cpu = std::chrono::microseconds(last.cpu_us);
      answer.memory_bytes = static_cast<uint64_t>(std::max<int64_t>(0, last.peak_bytes));
      // What made it crash may be in the interpreter's own memory.
      spent_ |= WIFSIGNALED(last.value) && !interpreter_->stopped_item();
    } else {
      spent_ = true;
    }
    spent_ |= interpreter_->awaits_answer();
    interpreter_->conclude(accounting_, answer);
    answer.wall = deadlines.elapsed();
    answer.log = interpreter_->log();
    if (++items_ >= kItemsPerInterpreter) spent_ = true;
    if (has_scratch_ && !empty_scratch()) spent_ = true;
    return answer;
  }

  bool is_spent() const override { return spent_; }

 private:
  wire::EvaluatorSource source_;
  Accounting accounting_;
  bool has_scratch_;
  std::unique_ptr<Interpreter> interpreter_;
  int items_ = 0;
  bool spent_ = false;
};

}  // namespace

Result<std::unique_ptr<Runtime>> start_python(wire::EvaluatorSource source,
                                              const Surroundings& surroundings) {
  if (access(kInterpreter, X_OK) != 0)
    return fail(ErrorKind::config, std::string("no Python interpreter: ") + kInterpreter + " is not there");
  auto python = std::make_unique<Python>(std::move(source), surroundings);
  ASSAY_OK(python->start(surroundings));
  return python;
}

}  // namespace assay::sandbox::process
