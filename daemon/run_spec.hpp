// What a worker knows of a run: the run specification and the leases of docs/worker-protocol.md, parsed and
// checked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.hpp"
#include "core/outcome.hpp"
#include "core/row.hpp"
#include "daemon/generation.hpp"
#include "daemon/multi.hpp"
#include "daemon/plugins.hpp"
#include "sandbox/runtime/program.hpp"

namespace assay::daemon {

/// The slugs of the models that a definition says it asks: its own, or those of its parts.
std::vector<std::string> models_of(const Json& evaluator);

struct RunEvaluator {
  std::string name;
  std::shared_ptr<const sandbox::Program> program;  ///< null: it is `multi`
  std::shared_ptr<const Multi> multi;
  std::optional<double> pass_threshold;
  std::vector<std::string> models;  ///< of judges

  std::vector<std::shared_ptr<const sandbox::Program>> programs() const;
  bool may_ask_models() const;
};

/// From the definition that the API keeps, or is to keep; `config` for what this build cannot run.
Result<RunEvaluator> evaluator_from(const Json& definition, const Plugins& plugins,
                                    const std::string& run = {});

/// One side of the items: a sequence of rows that never changes, or what models generate from the other.
struct Side {
  enum class Type { dataset, container, generate };
  Type type = Type::dataset;
  std::optional<Generation> generation;  ///< of `generate`, which has nothing of what follows
  std::string id;
  int64_t first = 0;  ///< the row of item 0, unless the lease lists rows
  /// Of a dataset's rows; nullopt: not asked for, the field is null.
  std::optional<ColumnPath> input, output;

  /// The path of its rows: "/v1/datasets/ds_…/rows".
  std::string rows_path() const;
};

struct RunSpec {
  std::string id;
  int64_t items = 0;
  int trials = 1;
  std::vector<std::string> models;     ///< of the samples' texts; one, "", where samples are not generated
  std::optional<int64_t> spend_limit;  ///< nano-dollars
  std::vector<RunEvaluator> evaluators;
  Side sample, ground_truth;

  /// Of the side that models generate; null: neither side is.
  const Generation* generation() const;
  /// Whether this run has them generated: then their texts are outcomes too.
  bool generates() const { return generation() != nullptr && generation()->run.empty(); }
  /// The index that texts have as if they were of an evaluator: behind the last one.
  int text_index() const { return static_cast<int>(evaluators.size()); }
  int64_t outcomes_per_model_and_trial() const {
    return static_cast<int64_t>(evaluators.size()) + (generates() ? 1 : 0);
  }
  int64_t outcomes_per_item() const {
    return static_cast<int64_t>(models.size()) * outcomes_per_model_and_trial() * trials;
  }
  /// Where an outcome stands among those of its item.
  int64_t code_of(const OutcomeId& outcome) const {
    return (outcome.model * outcomes_per_model_and_trial() + outcome.evaluator) * trials + outcome.trial;
  }
};

/// `config` for what this build cannot run (a language it lacks), `transport` for what is no specification.
Result<RunSpec> run_spec_from(std::string_view text, const Plugins& plugins);

struct Lease {
  std::string run;
  int64_t shard = 0;
  int64_t epoch = 0;
  std::string token;
  std::chrono::milliseconds ttl{0};
  int64_t lo = 0, hi = 0;
  std::vector<std::pair<int64_t, int64_t>> done;  ///< half-open ranges of codes
  std::optional<std::vector<int64_t>> sample_rows, ground_truth_rows;

  /// "run_…/3": the shard's name in maps and logs.
  std::string key() const { return run + "/" + std::to_string(shard); }
  bool is_done(int64_t code) const;
};
/// `transport` for what is no lease.
Result<std::vector<Lease>> leases_from(const Json& list);

}  // namespace assay::daemon
