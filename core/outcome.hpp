// How one evaluation of one item ended. Every (item, model, evaluator, trial) ends as exactly one Outcome.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace assay {

/// `generated`: of the text that a model gave for a side of the item, which is an outcome of its own.
enum class Verdict { scored, errored, skipped, generated };
std::string_view to_string(Verdict verdict);

/// What an evaluation had models do.
struct ModelUse {
  int64_t calls = 0;       ///< answered ones
  int64_t from_cache = 0;  ///< of these, by our own cache: they cost nothing
  int64_t input_tokens = 0;
  int64_t cached_tokens = 0;  ///< of the input, read from the provider's cache
  int64_t output_tokens = 0;
  int64_t reasoning_tokens = 0;  ///< of the output
  int64_t nano_dollars = 0;      ///< of the calls that have a price
  int64_t unpriced = 0;          ///< calls whose cost is not known: in all it is more than nano_dollars
  int64_t estimated = 0;         ///< calls whose tokens were counted by us: the provider did not tell them

  ModelUse& operator+=(const ModelUse& other);
  bool operator==(const ModelUse&) const = default;
};
/// {"calls":2,"input_tokens":20,…,"cost":0.00012}, cost in dollars; what is 0 is left out, but for calls.
void append_model_use(std::string& out, const ModelUse& use);

/// What an evaluation used, and how that was measured ("rusage": by the runtime itself; later also cgroup v2,
/// v1).
struct Usage {
  std::chrono::microseconds wall{0};
  std::chrono::microseconds cpu{0};
  uint64_t memory_bytes = 0;  ///< peak of the evaluator's own allocations
  std::string method;
  ModelUse models;
};

/// The identity of an outcome within its run; posting it twice changes nothing.
struct OutcomeId {
  int64_t item = 0;
  int model = 0;
  int evaluator = 0;
  int trial = 0;
  auto operator<=>(const OutcomeId&) const = default;
};

struct Outcome {
  Verdict verdict = Verdict::errored;
  double score = 0;            ///< finite; of `scored` only
  std::optional<bool> passed;  ///< nullopt: no threshold and the evaluator did not say
  std::string reason;          ///< why this score, or why skipped
  std::vector<std::pair<std::string, double>>
      metrics;                                     ///< named numbers the evaluator adds; of `scored` only
  Error error{ErrorKind::internal, "no outcome"};  ///< of `errored` only
  std::string output;                              ///< the text; of `generated` only
  /// Where a side of the item is generated: which text this is, or is of (its digest). A run keeps one text
  /// of an item, and no score of another.
  std::string generation;
  std::string log;  ///< what the evaluator logged, head and tail
  Usage usage;

  static Outcome scored(double score);
  static Outcome errored(ErrorKind kind, std::string message);
  static Outcome skipped(std::string reason);
  static Outcome generated(std::string output);
};

/// `passed` from the threshold, unless the evaluator said so itself.
void apply_threshold(Outcome& outcome, std::optional<double> pass_threshold);

/// The wire form, an object (docs/worker-protocol.md, "Append"): {"item":3,"evaluator":1,"score":0.5,…};
/// `model`, `evaluator` and `trial` are left out when 0.
void append_outcome_json(std::string& out, const OutcomeId& id, const Outcome& outcome);

struct OutcomeRow {
  OutcomeId id;
  Outcome outcome;
};
/// `config` that names the field at fault; a score that is no finite number is refused here.
Result<OutcomeRow> outcome_from_json(const Json& json);

}  // namespace assay
