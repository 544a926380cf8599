#include "api/planner.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_map>

#include "api/json_text.hpp"
#include "api/side.hpp"
#include "core/id.hpp"
#include "core/row.hpp"
#include "plugins/common/item.hpp"
#include "plugins/common/template.hpp"

namespace assay::api {
namespace {

constexpr int64_t kMaxOutcomes = 100'000'000;

struct Pinned {
  std::vector<Evaluator> evaluators;
  std::string specs;                  ///< the run specification's "evaluators"
  std::vector<std::string> required;  ///< labels that a worker needs to run them
};

/// "openai" of "openai/gpt-4o".
std::string before_slash(const Json& name) {
  const auto text = name.get<std::string>();
  return text.substr(0, text.find('/'));
}

/// A worker says which languages it runs, whether it can install packages for them, which plugins it has and
/// whose models it can ask.
void add_required(const Json& spec, std::vector<std::string>& required) {
  if (spec["type"] == "multi") {
    for (const Json& part : spec["evaluators"]) add_required(part, required);
    return;
  }
  if (spec["type"] == "judge") {
    required.emplace_back("plugin:judge");
    if (spec.contains("model")) required.push_back("provider:" + before_slash(spec["model"]));
    for (const Json& model : spec.value("models", Json::array()))
      required.push_back("provider:" + before_slash(model));
    return;
  }
  const auto language = spec["language"].get<std::string>();
  if (language == "plugin") {
    required.push_back("plugin:" + before_slash(spec["code"]));
    return;
  }
  required.push_back("language:" + language);
  if (spec.contains("requirements") && !spec["requirements"].empty())
    required.push_back("packages:" + language);
}

std::string evaluator_spec(const Evaluator& evaluator, size_t index) {
  Json json = *parse_json(evaluator.spec);
  Json spec = {
      {"index", index}, {"id", evaluator.id}, {"version", evaluator.version}, {"name", evaluator.name}};
  for (const auto* key : {"type", "language", "code", "params", "limits", "pass_threshold", "grants",
                          "isolation", "requirements", "model", "models", "prompt", "mode", "api",
                          "inference_params", "formula", "evaluators"})
    if (json.contains(key)) spec[key] = json[key];
  return dump_json(spec);
}

Task<Answer<Pinned>> pin_evaluators(Store& store, Access access, std::vector<std::string> names) {
  Pinned pinned;
  pinned.specs = "[";
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string param = "evaluators[" + std::to_string(i) + ']';
    auto evaluator = co_await store.evaluator(access, names[i]);
    if (!evaluator) {
      evaluator.error().param = param;
      co_return std::unexpected(evaluator.error());
    }
    const auto same = [&](const Evaluator& other) { return other.id == evaluator->id; };
    if (std::ranges::any_of(pinned.evaluators, same))
      co_return invalid(param, "evaluator " + json_quote(names[i]) + " is named twice");
    if (i > 0) pinned.specs += ',';
    pinned.specs += evaluator_spec(*evaluator, i);
    add_required(*parse_json(evaluator->spec), pinned.required);
    pinned.evaluators.push_back(std::move(*evaluator));
  }
  pinned.specs += ']';
  co_return pinned;
}

/// The rows of a join column's values. A value is kept as the beginning of its digest: a million of them take
/// about 60 MB, however long they are.
class Partners {
 public:
  static constexpr int64_t kMost = 5'000'000;

  /// The row that has this value already, or nullopt.
  std::optional<int64_t> add(const std::string& value, int64_t row) {
    const auto [it, fresh] = rows_.emplace(name_of(value), row);
    return fresh ? std::nullopt : std::optional(it->second);
  }
  std::optional<int64_t> find(const std::string& value) const {
    const auto it = rows_.find(name_of(value));
    return it == rows_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  using Name = std::pair<uint64_t, uint64_t>;
  struct Spread {
    size_t operator()(const Name& name) const noexcept { return name.first; }
  };
  static Name name_of(const std::string& value) {
    const auto digest = sha256_hex(value);
    return {std::stoull(digest.substr(0, 16), nullptr, 16), std::stoull(digest.substr(16, 16), nullptr, 16)};
  }
  std::unordered_map<Name, int64_t, Spread> rows_;
};

/// For every row of the sample the row of the ground truth with the same value of the join column.
Task<Answer<std::vector<int64_t>>> join_rows(Store& store, Side sample, Side truth) {
  if (truth.count > Partners::kMost)
    co_return invalid("ground_truth.join", "the ground truth has " + std::to_string(truth.count) +
                                               " rows to join with; the most is " +
                                               std::to_string(Partners::kMost) + ": give it a limit");
  Partners partners;
  SideReader truth_reader(store, truth);
  while (true) {
    auto row = co_await truth_reader.next();
    if (!row) co_return std::unexpected(row.error());
    if (!row->has_value()) break;
    if (const auto twin = partners.add((*row)->value, (*row)->row))
      co_return invalid("ground_truth.join", "rows " + std::to_string(*twin) + " and " +
                                                 std::to_string((*row)->row) +
                                                 " of the ground truth both have " + *truth.join + " = " +
                                                 (*row)->value + "; a join column must be unique there");
  }
  std::vector<int64_t> rows;
  int64_t alone = 0;
  std::string first_alone;
  SideReader sample_reader(store, sample);
  while (true) {
    auto row = co_await sample_reader.next();
    if (!row) co_return std::unexpected(row.error());
    if (!row->has_value()) break;
    if (const auto partner = partners.find((*row)->value)) {
      rows.push_back(*partner);
    } else if (alone++ == 0) {
      first_alone = "row " + std::to_string((*row)->row) + " (" + *sample.join + " = " + (*row)->value + ")";
    }
  }
  if (alone > 0)
    co_return invalid("sample.join", std::to_string(alone) + " of " + std::to_string(sample.count) +
                                         " sample rows have no partner among the " +
                                         std::to_string(truth.count) +
                                         " rows of the ground truth; the first is " + first_alone);
  co_return rows;
}

/// The prompt is for the other side: what it says of the side that is to be generated is not there yet.
Answer<> check_generation(const Generation& generation, const std::string& side, bool is_sample) {
  std::set<std::string_view> models;
  for (const std::string& model : generation.models)
    if (!models.insert(model).second)
      return invalid(side + ".models", "the model " + json_quote(model) + " is named twice");
  if (!generation.prompt) return {};
  const auto prompt = plugins::Template::compile(*generation.prompt);
  if (!prompt) return invalid(side + ".prompt", prompt.error().message);
  for (const std::string& variable : prompt->variables())
    if (plugins::is_of_side(variable,
                            is_sample ? plugins::ItemSide::sample : plugins::ItemSide::ground_truth))
      return invalid(side + ".prompt",
                     "{{ " + variable + " }} is of the " + side + ", which this prompt is to generate");
  return {};
}

Answer<> check_kinds(const RunRequest& request) {
  const auto generates = [](const std::optional<SourceRequest>& side) {
    return side && side->type == SourceRequest::Type::generate;
  };
  if (generates(request.sample) && generates(request.ground_truth))
    return invalid("sample.type",
                   "sample and ground_truth cannot both be generated: one must give the input");
  if (generates(request.sample)) {
    ASSAY_OK(check_generation(*request.sample->generation, "sample", true));
  }
  if (generates(request.ground_truth)) {
    if (request.ground_truth->generation->models.size() > 1)
      return invalid("ground_truth.models", "a ground truth is generated by one model: name one");
    ASSAY_OK(check_generation(*request.ground_truth->generation, "ground_truth", false));
  }
  const bool joins_sample = request.sample && request.sample->join;
  const bool joins_truth = request.ground_truth && request.ground_truth->join;
  if (joins_sample != joins_truth)
    return invalid(joins_sample ? "ground_truth.join" : "sample.join", "a join needs a column on both sides");
  return {};
}

Answer<> check_sizes(const Side& sample, const Side& truth) {
  if (!sample.join && sample.count != truth.count)
    return invalid("ground_truth", "the sample has " + std::to_string(sample.count) +
                                       " rows and the ground truth " + std::to_string(truth.count) +
                                       ": give both a limit, or a join column, so that they pair up");
  if (sample.count == 0) return invalid("sample", "there is nothing to evaluate: the sources have no rows");
  return {};
}

std::string run_detail(const RunRequest& request, const Container& container, const Pinned& pinned,
                       const Side& sample, const Side& truth) {
  std::string out;
  {
    JsonObject detail(out);
    append_json_array(
        detail.key("evaluators"), pinned.evaluators,
        [](std::string& to, const Evaluator& evaluator) { append_json_quote(to, evaluator.id); });
    detail.text("container_id", container.id);
    for (const auto* side : {&sample, &truth})
      if (side->kind == SourceKind::dataset && !side->generation) {
        detail.text("dataset_id", side->id);
        break;
      }
    detail.raw("sample", resolved_json(sample));
    detail.raw("ground_truth", resolved_json(truth));
    detail.raw("config", request.config);
    detail.raw("metadata", request.metadata);
    detail.number("trials", request.trials);
  }
  return out;
}

std::string run_spec(const Run& run, const Pinned& pinned, std::string_view models, std::string_view sample,
                     std::string_view truth) {
  std::string out;
  {
    JsonObject spec(out);
    spec.text("id", run.id);
    spec.number("items", run.items);
    spec.number("trials", run.trials);
    if (run.spend_limit) spec.number("spend_limit", *run.spend_limit);
    spec.raw("models", models);
    spec.raw("evaluators", pinned.specs);
    spec.raw("sample", sample);
    spec.raw("ground_truth", truth);
  }
  return out;
}

void sort_required(Run& run) {
  std::ranges::sort(run.required);
  const auto twice = std::ranges::unique(run.required);
  run.required.erase(twice.begin(), twice.end());
}

/// What a run is beside its items.
void set_terms(NewRun& plan, const RunRequest& request, const Pinned& pinned) {
  Run& run = plan.run;
  run.id = make_id("run_");
  run.environment = request.environment;
  run.priority = request.priority;
  run.spend_limit = request.spend_limit;
  run.required = request.required;
  run.required.insert(run.required.end(), pinned.required.begin(), pinned.required.end());
  sort_required(run);
  run.evaluators = static_cast<int64_t>(pinned.evaluators.size());
  run.created_at = now_ms();
  for (const auto& evaluator : pinned.evaluators)
    plan.evaluators.push_back({evaluator.row, evaluator.version});
}

/// The texts that models give are outcomes as those of one evaluator more, the last.
void set_generation(Run& run, const Side& sample, const Side& truth) {
  for (const auto* side : {&sample, &truth}) {
    if (!side->generation) continue;
    ++run.evaluators;
    for (const std::string& model : side->generation->models)
      run.required.push_back("provider:" + before_slash(model));
  }
  if (sample.generation) run.models = static_cast<int64_t>(sample.generation->models.size());
  sort_required(run);
}

/// So many that nobody waits for the store while they are made.
constexpr int64_t kMostShards = 100'000;

Answer<> set_shards(NewRun& plan, const RunRequest& request) {
  plan.shard_size = request.shard_size.value_or(default_shard_size(plan.run.items));
  plan.run.shards = (plan.run.items + plan.shard_size - 1) / plan.shard_size;
  if (plan.run.shards <= kMostShards) return {};
  const auto least = (plan.run.items + kMostShards - 1) / kMostShards;
  return invalid("shard_size", "this would make " + std::to_string(plan.run.shards) +
                                   " shards; the most is " + std::to_string(kMostShards) + ": use at least " +
                                   std::to_string(least) + ", or leave it out");
}

/// The source of one side of `run`, that there was.
Task<Answer<NewRun::Source>> source_of(Store& store, Access access, Run run, Json side) {
  if (side["type"] == "generate" && !side.contains("run")) co_return NewRun::Source{SourceKind::run, run.row};
  if (side["type"] == "generate") {
    const auto first = co_await store.run(access, side["run"].get<std::string>());
    if (!first) co_return std::unexpected(first.error());
    co_return NewRun::Source{SourceKind::run, first->row};
  }
  if (side["type"] == "container") {
    const auto container = co_await store.container(access, side["container"].get<std::string>());
    if (!container) co_return std::unexpected(container.error());
    co_return NewRun::Source{SourceKind::container, container->row};
  }
  const auto dataset = co_await store.dataset(access.project, side["dataset"].get<std::string>());
  if (!dataset) co_return std::unexpected(dataset.error());
  co_return NewRun::Source{SourceKind::dataset, dataset->row};
}

/// The detail of the run that there was, with what is this one's own.
std::string detail_again(const Run& source, const RunRequest& request, const Pinned& pinned) {
  Json detail = *parse_json(source.detail);
  detail["evaluators"] = Json::array();
  for (const auto& evaluator : pinned.evaluators) detail["evaluators"].push_back(evaluator.id);
  detail["config"] = *parse_json(request.config);
  detail["metadata"] = *parse_json(request.metadata);
  detail["source_run"] = source.id;
  return dump_json(detail);
}

Answer<> check_size(const Run& run) {
  if (run.items <= kMaxOutcomes / run.per_item()) return {};
  return invalid("trials", "the run would have more than " + std::to_string(kMaxOutcomes) +
                               " outcomes; cut it into several runs");
}

/// The items of a run that there was, judged anew.
Task<Answer<NewRun>> plan_again(Store& store, Access access, RunRequest request) {
  const auto source = co_await store.run(access, *request.source_run);
  if (!source) {
    Problem problem = source.error();
    problem.param = "source_run";
    co_return std::unexpected(std::move(problem));
  }
  if (!is_terminal(source->status))
    co_return refuse(409, "run_not_finished", "the source run has not ended yet", "source_run");
  const auto pinned = co_await pin_evaluators(store, access, request.evaluators);
  if (!pinned) co_return std::unexpected(pinned.error());
  auto rows = co_await store.run_rows(source->row);
  if (!rows) co_return std::unexpected(rows.error());
  const Json spec = *parse_json(source->spec);
  NewRun plan;
  set_terms(plan, request, *pinned);
  plan.run.source_run = source->id;
  plan.run.items = source->items;
  plan.run.trials = source->trials;
  plan.run.models = source->models;
  ASSAY_CO_OK(check_size(plan.run));
  plan.container = source->container;
  plan.run.spec = run_spec(plan.run, *pinned, dump_json(spec["models"]),
                           dump_json(worker_json_again(spec["sample"], source->id)),
                           dump_json(worker_json_again(spec["ground_truth"], source->id)));
  plan.run.detail = detail_again(*source, request, *pinned);
  ASSAY_CO_OK(set_shards(plan, request));
  plan.sources = {{SourceKind::container, source->container}};
  for (const auto* side : {"sample", "ground_truth"}) {
    const auto found = co_await source_of(store, access, *source, spec[side]);
    if (!found) co_return std::unexpected(found.error());
    plan.sources.push_back(*found);
  }
  plan.sample_rows = std::move(rows->sample);
  plan.ground_truth_rows = std::move(rows->ground_truth);
  co_return plan;
}

}  // namespace

int64_t default_shard_size(int64_t items) {
  constexpr int64_t kShards = 64, kSmallest = 16, kLargest = 512;
  const int64_t size = std::clamp((items + kShards - 1) / kShards, kSmallest, kLargest);
  return std::max(size, (items + kMostShards - 1) / kMostShards);
}

std::vector<int64_t> choose_rows(int64_t from, int64_t to, int64_t count, uint64_t seed) {
  std::vector<int64_t> rows(static_cast<size_t>(std::max<int64_t>(0, to - from)));
  std::iota(rows.begin(), rows.end(), from);
  const size_t wanted = std::min(rows.size(), static_cast<size_t>(count));
  auto next = [&seed] {
    uint64_t z = (seed += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  };
  for (size_t i = 0; i < wanted; ++i) std::swap(rows[i], rows[i + next() % (rows.size() - i)]);
  rows.resize(wanted);
  std::ranges::sort(rows);
  return rows;
}

Task<Answer<NewRun>> plan_run(Store& store, Access access, RunRequest request) {
  if (request.source_run) co_return co_await plan_again(store, std::move(access), std::move(request));
  ASSAY_CO_OK(check_kinds(request));
  const auto container = co_await store.container(access, request.container);
  if (!container) co_return std::unexpected(container.error());
  const auto pinned = co_await pin_evaluators(store, access, request.evaluators);
  if (!pinned) co_return std::unexpected(pinned.error());
  auto sample = co_await resolve_side(store, access, *container, request.sample, "sample");
  if (!sample) co_return std::unexpected(sample.error());
  auto truth = co_await resolve_side(store, access, *container, request.ground_truth, "ground_truth");
  if (!truth) co_return std::unexpected(truth.error());
  if (sample->generation) sample->count = truth->count;
  if (truth->generation) truth->count = sample->count;
  ASSAY_CO_OK(check_sizes(*sample, *truth));

  NewRun plan;
  plan.ground_truth_rows = truth->rows;
  if (sample->join) {
    auto joined = co_await join_rows(store, *sample, *truth);
    if (!joined) co_return std::unexpected(joined.error());
    plan.ground_truth_rows = std::move(*joined);
  }
  set_terms(plan, request, *pinned);
  plan.run.items = sample->count;
  plan.run.trials = request.trials;
  set_generation(plan.run, *sample, *truth);
  ASSAY_CO_OK(check_size(plan.run));
  const auto models = sample->generation ? sample->generation->models : std::vector<std::string>{""};
  plan.run.spec =
      run_spec(plan.run, *pinned, dump_json(Json(models)), worker_json(*sample), worker_json(*truth));
  plan.run.detail = run_detail(request, *container, *pinned, *sample, *truth);
  ASSAY_CO_OK(set_shards(plan, request));
  plan.container = container->row;
  plan.sources = {{SourceKind::container, container->row}};
  for (const auto* side : {&*sample, &*truth})
    if (!side->generation) plan.sources.push_back({side->kind, side->row});
  plan.sample_rows = std::move(sample->rows);
  co_return plan;
}

}  // namespace assay::api
