// Evaluators in JavaScript. Node cannot fork, so each item has a process that was started and has loaded the
// evaluator before the item came; the next one starts while this one runs. With isolation "run" one process
// serves item after item, and what an item leaves behind is there for the next.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "sandbox/runtime/process/interpreter.hpp"
#include "sandbox/runtime/process/node_runner.hpp"
#include "sandbox/runtime/process/result.hpp"
#include "sandbox/runtime/process/scratch.hpp"

namespace assay::sandbox::process {
namespace {

constexpr std::array kPaths = {"/usr/local/bin/node", "/usr/bin/node"};
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kOutsideHeap = 256 * kMiB;  // stacks of its threads, the runtime itself
constexpr uint64_t kLeastHeap = 16;            // MiB
constexpr uint64_t kCpuSeconds = 3'000;

const char* find_node() {
  const auto* const found =
      std::ranges::find_if(kPaths, [](const char* path) { return access(path, X_OK) == 0; });
  return found == kPaths.end() ? nullptr : *found;
}

class Node : public Runtime {
 public:
  Node(const char* path, wire::EvaluatorSource source, const Surroundings& surroundings)
      : source_(std::move(source)), surroundings_(surroundings), one_each_(source_.isolation != "run") {
    const uint64_t heap = std::max(kLeastHeap, source_.limits.memory_bytes / kMiB);
    // No compiling to machine code: then no memory need be writable and executable. Numbers from Math.random
    // are the same for every item.
    plan_.argv = {path,
                  "--jitless",
                  "--max-old-space-size=" + std::to_string(heap),
                  "--random-seed=1",
                  "--experimental-vm-modules",
                  "--no-warnings",
                  "--input-type=module",
                  "--eval",
                  std::string(kNodeRunner)};
    plan_.environment = {"ASSAY_LOCK=self", "OPENSSL_CONF=/dev/null",
                         one_each_ ? "ASSAY_ISOLATION=item" : "ASSAY_ISOLATION=run"};
    if (!surroundings.accounting.has_group()) plan_.memory_bytes = source_.limits.memory_bytes + kOutsideHeap;
    // Where Node looks for what the evaluator imports; the runner goes from there to /tmp.
    if (surroundings.has_namespaces) plan_.folder = "/assay/packages";
    plan_.cpu_seconds = kCpuSeconds;
  }

  /// The first process shows that the evaluator can be loaded.
  Result<void> start() {
    ASSAY_TRY(ready_, launch());
    surroundings_.accounting.start();
    return await_loaded(*ready_);
  }

  wire::Answer evaluate(std::string_view item) override {
    wire::Answer answer;
    if (auto ready = take_ready(); !ready) {
      answer.error = std::move(ready).error();
      return answer;
    }
    Accounting& accounting = surroundings_.accounting;
    accounting.start();
    Deadlines deadlines(source_.limits);
    deadlines.watch(running_->pid());
    running_->send(with_text(item));
    running_->watch(deadlines);
    answer.cpu = deadlines.cpu();
    spent_ |= running_->awaits_answer();
    running_->conclude(accounting, answer);
    answer.wall = deadlines.elapsed();
    answer.log = running_->log();
    name_want_of_memory(answer);
    answer.memory_bytes = static_cast<uint64_t>(std::max<int64_t>(0, running_->last().peak_bytes));
    if (one_each_ || running_->end() != Interpreter::End::ended) running_.reset();
    // What is ready has made nothing there yet: its evaluator had its top level run before.
    if (surroundings_.has_namespaces && one_each_ && !empty_scratch()) spent_ = true;
    return answer;
  }

  bool is_spent() const override { return spent_; }

 private:
  Result<std::unique_ptr<Interpreter>> launch() {
    ASSAY_TRY(auto interpreter, Interpreter::start(plan_, source_.limits, surroundings_));
    interpreter->send(Interpreter::load_request(source_));
    return interpreter;
  }

  Result<void> await_loaded(Interpreter& interpreter) {
    Deadlines deadlines(loading_limits(source_.limits));
    deadlines.watch(interpreter.pid());
    interpreter.watch(deadlines);
    if (interpreter.end() == Interpreter::End::loaded && !interpreter.has_result()) return {};
    wire::Answer said;
    said.error = loading_error(interpreter, surroundings_.accounting);
    said.log = interpreter.log();
    name_want_of_memory(said);
    said.error->kind = ErrorKind::config;
    return std::unexpected(*said.error);
  }

  /// A process that has loaded the evaluator becomes running_, and another starts.
  Result<void> take_ready() {
    if (running_) return {};
    if (!ready_) {
      ASSAY_TRY(ready_, launch());
    }
    if (ready_->end() == Interpreter::End::none) {
      if (auto loaded = await_loaded(*ready_); !loaded) {
        ready_.reset();
        return loaded;
      }
    }
    running_ = std::move(ready_);
    if (one_each_) {
      ASSAY_TRY(ready_, launch());
    }
    return {};
  }

  /// V8 writes its last words to standard error and aborts.
  void name_want_of_memory(wire::Answer& answer) const {
    if (answer.error && answer.error->message.contains("SIG") &&
        answer.log.contains("JavaScript heap out of memory"))
      answer.error = limit_error(ErrorKind::memory_limit, source_.limits);
  }

  wire::EvaluatorSource source_;
  Surroundings surroundings_;
  bool one_each_;
  InterpreterPlan plan_;
  std::unique_ptr<Interpreter> ready_, running_;
  bool spent_ = false;
};

}  // namespace

Result<std::unique_ptr<Runtime>> start_node(wire::EvaluatorSource source, const Surroundings& surroundings) {
  const char* const path = find_node();
  if (path == nullptr)
    return fail(ErrorKind::config, "no Node in the sandbox: neither /usr/local/bin/node nor /usr/bin/node");
  auto node = std::make_unique<Node>(path, std::move(source), surroundings);
  ASSAY_OK(node->start());
  return node;
}

}  // namespace assay::sandbox::process
