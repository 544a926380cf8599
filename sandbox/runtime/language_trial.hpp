// Whether evaluators of a language really run: one of a line or two, in a jail like any other.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "core/async/task.hpp"
#include "core/error.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::sandbox {

struct LanguageTrial {
  std::string_view language;
  bool ok = false;
  std::string version;  ///< of the interpreter, as it says itself; of lua, python and node
  Error error;          ///< when it is not ok
  bool has_interpreter = true;
  std::chrono::microseconds took{0};  ///< from nothing to the outcome
};

/// The languages that can be tried.
std::span<const std::string_view> languages_to_try();
/// `language` must be one of them.
Task<LanguageTrial> try_language(Pool& pool, std::string_view language);

/// An evaluator that sleeps must be ended at its deadline.
struct DeadlineTrial {
  bool ended = false;  ///< as `timeout`
  std::chrono::milliseconds limit{0};
  std::chrono::microseconds took{0};
  Error error;  ///< when it ended otherwise
};
Task<DeadlineTrial> try_deadline(Pool& pool, std::string_view language);

}  // namespace assay::sandbox
