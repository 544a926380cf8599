// One evaluator in Lua: compiled once, run on any number of items, each in a fresh state.
#pragma once

#include <chrono>
#include <cstdint>
#include <lua.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "sandbox/runtime/lua/arena.hpp"
#include "sandbox/runtime/lua/session.hpp"
#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox::lua {

using wire::Answer;
using wire::EvaluatorLimits;
using wire::EvaluatorSource;
using wire::kMessageLimit;
using wire::kSourceLimit;

/// Not movable: the Lua state points back. Watchdog::start_ticking() must have been called for the limits of
/// time.
class Evaluator {
 public:
  /// Compiles the source and runs its top level, under the limits of one evaluation; `config` with the line
  /// when that fails, or when it defines no run_evaluation.
  /// `call` serves what the source is granted.
  static Result<std::unique_ptr<Evaluator>> create(EvaluatorSource source, Call call = {});
  ~Evaluator() = default;
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  /// Runs `run_evaluation(item)` in the state as the top level left it. `item` is JSON text.
  Answer evaluate(std::string_view item);

 private:
  Evaluator(EvaluatorSource source, Call call);
  Result<void> load();
  static int load_protected(lua_State* state);
  static int evaluate_protected(lua_State* state);
  /// What ended a call with `status`, the error object on top of the stack.
  Error error_of(lua_State* state, int status) const;

  EvaluatorSource source_;
  Arena arena_;
  Session session_;
  lua_State* state_ = nullptr;  // in the arena; never closed: nothing of it lies elsewhere
  std::string_view item_;
  Answer* answer_ = nullptr;
};

/// Pushes the item: the value of `text`, with sample.text and ground_truth.text set where output is a string.
void push_item(lua_State* state, std::string_view text);

/// Reads what run_evaluation returned, with raw access only: no code of the evaluator runs any more. Sets
/// answer.error when it is no result.
void read_result(lua_State* state, int index, size_t limit_bytes, Answer& answer);

}  // namespace assay::sandbox::lua
