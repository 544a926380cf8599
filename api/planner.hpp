// From a request for a run to a plan: what is evaluated on what, item by item.
//
// Labels become ids, evaluators are pinned to their version, both sides become sequences of rows that never
// change, and the items are cut into shards. Nothing is stored here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/fields.hpp"
#include "api/store/store.hpp"
#include "core/json.hpp"

namespace assay::api {

/// How models are to fill a side in.
struct Generation {
  std::vector<std::string> models;      ///< slugs
  std::optional<std::string> prompt;    ///< a template (docs/generate.md); nullopt: the other side's input
  std::string inference_params = "{}";  ///< a JSON object
};

/// One data source as it was asked for.
struct SourceRequest {
  enum class Type { dataset, container, generate };
  Type type = Type::container;
  std::optional<std::string> name;  ///< of the dataset or container; nullopt: the run's container
  std::optional<std::string> input, output, join;
  int64_t offset = 0;
  std::optional<int64_t> limit, shuffle_seed;
  std::optional<int64_t> since, until;  ///< Unix milliseconds
  std::optional<Generation> generation;
};

struct RunRequest {
  std::string container;
  std::vector<std::string> evaluators;
  std::optional<SourceRequest> sample, ground_truth;
  std::string metadata = "{}";
  std::string environment = "main";
  std::string mode = "pointwise";
  int64_t trials = 1;
  std::optional<int64_t> shard_size;
  int64_t priority = 0;
  std::optional<int64_t> spend_limit;     ///< of model calls, in nano-dollars
  std::vector<std::string> required;      ///< labels of the workers that may have it
  std::optional<std::string> source_run;  ///< evaluate the items of this run again
  std::string config;                     ///< the body as it was sent
};

RunRequest read_run(Fields& body);
/// 422 for what is not well-formed; nothing is looked up.
Answer<RunRequest> run_request_from(const Json& json);
/// 404 for what does not exist, 422 for what does not fit, 501 for what this build cannot do; each with its
/// `param`.
Task<Answer<NewRun>> plan_run(Store& store, Access access, RunRequest request);

/// Items per shard when nobody says: enough shards that many workers share a run, none so small that leasing
/// it costs more than evaluating it, none so large that losing a worker costs much.
int64_t default_shard_size(int64_t items);

/// `count` of the rows [from, to), chosen by `seed` and ascending: order does not matter to metrics, and
/// neighbours are cheap to read. The same everywhere and for ever: SplitMix64, and the first `count` steps of
/// a Fisher-Yates shuffle with index = from + (next() mod what is left).
std::vector<int64_t> choose_rows(int64_t from, int64_t to, int64_t count, uint64_t seed);

}  // namespace assay::api
