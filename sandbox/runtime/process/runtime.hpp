// A way to run evaluators that are processes of their own. The host (host.cpp) has one, for its evaluator's
// language.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "sandbox/runtime/process/accounting.hpp"
#include "sandbox/runtime/process/filter.hpp"
#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox::process {

class Runtime {
 public:
  Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  virtual ~Runtime() = default;

  /// Runs one item to its end; `item` is JSON text. Nothing of it runs any more when this returns.
  virtual wire::Answer evaluate(std::string_view item) = 0;
  /// True when nothing more should be run here: the host then ends and another takes its place.
  virtual bool is_spent() const = 0;
};

/// The worker, which does things for evaluators while an item runs. One call at a time.
class Caller {
 public:
  virtual ~Caller() = default;
  /// `method` is one of wire's (wire::kComplete), `request` a JSON object.
  virtual void call(std::string_view method, std::string_view request) = 0;
  /// Readable when answer() may have something.
  virtual int fd() const = 0;
  /// JSON text, valid until the next call, or why there is none; nullopt when it is not all there yet. Does
  /// not return when the worker has gone.
  virtual std::optional<Result<std::string_view>> answer() = 0;
};

struct Surroundings {
  Caller* caller = nullptr;     ///< never null in a host
  bool has_namespaces = false;  ///< and with them /tmp, /proc and the death of everything with this process
  Signals signals = Signals::refused;
  Accounting accounting;
  int ruleset = -1;                 ///< Landlock's; -1 where the kernel has none
  Policy policy = Policy::command;  ///< of programs
  std::string lock_library;         ///< the path of lock.cpp, for LD_PRELOAD
  int library_fd = -1;              ///< or -1: it, where the path names a descriptor (interpreter.hpp)
};

/// `config` when the source cannot be used.
Result<std::unique_ptr<Runtime>> start_command(wire::EvaluatorSource source,
                                               const Surroundings& surroundings);
Result<std::unique_ptr<Runtime>> start_python(wire::EvaluatorSource source, const Surroundings& surroundings);
/// Runs programs: an item is {wall_ms, program: {language, source, stdin}}, the score the exit code, the
/// reason standard output.
Result<std::unique_ptr<Runtime>> start_candidate(wire::EvaluatorSource source,
                                                 const Surroundings& surroundings);
Result<std::unique_ptr<Runtime>> start_node(wire::EvaluatorSource source, const Surroundings& surroundings);

}  // namespace assay::sandbox::process
