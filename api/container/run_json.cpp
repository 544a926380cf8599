#include "api/container/run_json.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/id.hpp"

namespace assay::api {
namespace {

/// A key of some containers knows those by their labels. A run of one of them may also read another, of which
/// its id is all that is told: the label is left out, and the request (`config`) shows the id for it.
std::string detail_for(const Access& access, const Run& run) {
  if (access.containers.empty()) return run.detail;
  auto detail = parse_json(run.detail);
  if (!detail) return "{}";
  for (const auto* name : {"sample", "ground_truth"}) {
    auto& side = (*detail)[name];
    if (side["type"] != "container" || side["container"] == (*detail)["container_id"]) continue;
    side.erase("label");
    auto& config = (*detail)["config"];
    if (config.contains(name) && config[name].is_object()) config[name]["container"] = side["container"];
  }
  return dump_json(*detail);
}

/// As the name of an evaluator, in results and metrics: the outcomes that are texts.
constexpr const char* kGeneration = "generation";

bool generates(const Json& spec) {
  const auto here = [&](const char* side) {
    return spec[side]["type"] == "generate" && !spec[side].contains("run");
  };
  return here("sample") || here("ground_truth");
}

}  // namespace

RunNames names_of(const Run& run) {
  RunNames names;
  const auto spec = parse_json(run.spec);
  if (!spec) return names;
  for (const auto& evaluator : (*spec)["evaluators"]) {
    names.evaluator_ids.push_back(evaluator["id"].get<std::string>());
    names.evaluator_names.push_back(evaluator["name"].get<std::string>());
  }
  if (generates(*spec)) {
    names.evaluator_ids.emplace_back(kGeneration);
    names.evaluator_names.emplace_back(kGeneration);
  }
  names.models = (*spec)["models"].get<std::vector<std::string>>();
  return names;
}

bool generates(const Run& run) {
  const auto spec = parse_json(run.spec);
  return spec && generates(*spec);
}

void append_progress(JsonObject& object, const Run& run) {
  JsonObject progress(object.key("progress"));
  progress.number("items_done", run.outcomes / run.per_item());
  progress.number("items_total", run.items);
  progress.number("outcomes_done", run.outcomes);
  progress.number("outcomes_total", run.items * run.per_item());
  progress.number("errors", run.errors);
  progress.number("shards_done", run.shards_done);
  progress.number("shards_total", run.shards);
  if (run.shards_aside > 0) progress.number("shards_set_aside", run.shards_aside);
}

namespace {

double spend_in(std::string_view metrics) {
  double dollars = 0;
  if (!metrics.contains("\"cost\"")) return dollars;
  if (const auto list = parse_json(metrics); list && list->is_array())
    for (const Json& cell : *list) dollars += cell.value("/models/cost"_json_pointer, 0.0);
  return dollars;
}

}  // namespace

void append_run(JsonObject& object, const Run& run, std::string_view metrics, const Access& access) {
  object.text("object", "evaluation.run");
  object.text("id", run.id);
  object.text("process_id", run.id);
  object.text("status", to_string(run.status));
  object.members_of(detail_for(access, run));
  object.text("environment", run.environment);
  object.number("priority", run.priority);
  append_json_array(object.key("labels"), run.required,
                    [](std::string& out, const std::string& label) { append_json_quote(out, label); });
  if (run.paused) object.raw("paused", "true");
  if (!metrics.empty()) object.raw("metrics", metrics);
  append_progress(object, run);
  append_json_array(object.key("sandbox"), run.sandboxes,
                    [](std::string& out, const std::string& mode) { append_json_quote(out, mode); });
  if (run.spend_limit) object.real("spend_limit", static_cast<double>(*run.spend_limit) / 1e9);
  object.real("estimated_spend", spend_in(metrics));
  if (!run.error.empty()) object.text("error", run.error);
  object.text("created_at", iso8601(run.created_at));
  if (run.started_at > 0) object.text("started_at", iso8601(run.started_at));
  if (run.completed_at > 0) object.text("completed_at", iso8601(run.completed_at));
}

void append_result(std::string& out, const ResultRow& result, const RunNames& names) {
  const auto evaluator = static_cast<size_t>(result.id.evaluator);
  const auto model = static_cast<size_t>(result.id.model);
  JsonObject object(out);
  object.number("index", result.id.item);
  object.text("id", result_id(result.id));
  if (model < names.models.size()) object.maybe_text("model", names.models[model]);
  if (evaluator < names.evaluator_ids.size()) {
    object.text("evaluator_id", names.evaluator_ids[evaluator]);
    object.text("evaluator", names.evaluator_names[evaluator]);
  }
  object.number("trial", result.id.trial);
  if (result.verdict == Verdict::scored) {
    object.real("score", result.score);
  } else {
    object.raw("score", "null");
  }
  object.raw("passed", !result.passed ? "null" : *result.passed ? "true" : "false");
  object.members_of(result.payload);
  object.real("latency_ms", static_cast<double>(result.wall_us) / 1000.0);
}

std::string result_id(const OutcomeId& id) {
  return std::to_string(id.item) + '.' + std::to_string(id.model) + '.' + std::to_string(id.evaluator) + '.' +
         std::to_string(id.trial);
}

std::optional<OutcomeId> result_id_from(std::string_view text) {
  OutcomeId id;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](auto& value, bool last) {
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 0) return false;
    at = next;
    if (last) return at == end;
    if (at == end || *at != '.') return false;
    at++;
    return true;
  };
  const bool good = number(id.item, false) && number(id.model, false) && number(id.evaluator, false) &&
                    number(id.trial, true);
  if (!good) return std::nullopt;
  return id;
}

}  // namespace assay::api
