#include "api/metrics.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/container/run_json.hpp"
#include "api/json_text.hpp"
#include "core/check.hpp"
#include "core/statistics.hpp"

namespace assay::api {
namespace {

void append_interval(JsonObject& object, std::string_view name, const std::optional<Interval>& interval) {
  auto& out = object.key(name);
  if (!interval) {
    out += "null";
    return;
  }
  out += '[';
  append_json_number(out, interval->low);
  out += ',';
  append_json_number(out, interval->high);
  out += ']';
}

void append_maybe(JsonObject& object, std::string_view name, const std::optional<double>& value) {
  if (value) {
    object.real(name, *value);
  } else {
    object.raw(name, "null");
  }
}

}  // namespace

Metrics::Metrics(std::vector<EvaluatorName> evaluators, std::vector<std::string> models, int64_t trials)
    : evaluators_(std::move(evaluators)),
      models_(std::move(models)),
      trials_(trials),
      cells_(models_.size() * evaluators_.size()) {}

void Metrics::Cell::close_item() {
  if (score_count > 0) scores.push_back(score_sum / static_cast<double>(score_count));
  if (pass_count > 0) passes.push_back(pass_sum / static_cast<double>(pass_count));
  score_sum = pass_sum = 0;
  score_count = pass_count = 0;
}

void Metrics::add(const ScoreRow& row) {
  const size_t index =
      static_cast<size_t>(row.id.model) * evaluators_.size() + static_cast<size_t>(row.id.evaluator);
  ASSAY_CHECK(index < cells_.size(), "the store holds an outcome that is not of its run");
  Cell& cell = cells_[index];
  if (row.id.item != cell.item) {
    cell.close_item();
    cell.item = row.id.item;
  }
  ++cell.count;
  cell.models += row.models;
  if (row.verdict == Verdict::skipped) {
    ++cell.skipped;
    return;
  }
  cell.latencies_ms.push_back(static_cast<double>(row.wall_us) / 1000.0);
  if (row.verdict == Verdict::errored) {
    ++cell.errors;
    ++cell.kinds[std::string(row.kind)];
    return;
  }
  if (row.verdict == Verdict::generated) {
    ++cell.generated;
    return;
  }
  cell.low = cell.scored == 0 ? row.score : std::min(cell.low, row.score);
  cell.high = cell.scored == 0 ? row.score : std::max(cell.high, row.score);
  ++cell.scored;
  cell.score_sum += row.score;
  ++cell.score_count;
  if (!row.passed) return;
  ++cell.judged;
  cell.passed += *row.passed ? 1 : 0;
  cell.pass_sum += *row.passed ? 1 : 0;
  ++cell.pass_count;
}

void Metrics::append_cell(std::string& out, Cell& cell, size_t model, size_t evaluator) const {
  cell.close_item();
  JsonObject object(out);
  {
    JsonObject name(object.key("evaluator"));
    name.text("id", evaluators_[evaluator].id);
    name.text("name", evaluators_[evaluator].name);
  }
  object.maybe_text("model", models_[model]);
  object.number("count", cell.count);
  object.number("scored", cell.scored);
  if (cell.generated > 0) object.number("generated", cell.generated);
  object.number("errors", cell.errors);
  object.number("skipped", cell.skipped);
  const auto mean = mean_of(cell.scores);
  append_maybe(object, "mean", mean ? std::optional(mean->mean) : std::nullopt);
  append_maybe(object, "stderr", mean ? mean->stderr_mean : std::nullopt);
  append_interval(object, "ci95", mean ? mean->ci95 : std::nullopt);
  append_maybe(object, "min", cell.scored > 0 ? std::optional(cell.low) : std::nullopt);
  append_maybe(object, "max", cell.scored > 0 ? std::optional(cell.high) : std::nullopt);
  if (cell.judged > 0) {
    const auto k = static_cast<double>(cell.passed);
    const auto judged = static_cast<double>(cell.judged);
    // Trials of one item are no independent questions: with several of them the spread is that of the items.
    const auto items = mean_of(cell.passes);
    object.real("pass_rate", trials_ > 1 ? items->mean : k / judged);
    append_interval(object, "pass_ci95", trials_ > 1 ? items->ci95 : wilson95(k, judged));
    if (cell.errors > 0) {
      // What the rate would be if all that erred had failed, and if all had passed. What was skipped was not
      // meant to have a score.
      const double n = judged + static_cast<double>(cell.errors);
      append_interval(object, "bounds", Interval{k / n, (k + static_cast<double>(cell.errors)) / n});
    }
  } else {
    object.raw("pass_rate", "null");
    object.raw("pass_ci95", "null");
  }
  if (!cell.latencies_ms.empty()) {
    std::ranges::sort(cell.latencies_ms);
    JsonObject latency(object.key("latency"));
    latency.real("p50_ms", quantile_sorted(cell.latencies_ms, 0.5));
    latency.real("p95_ms", quantile_sorted(cell.latencies_ms, 0.95));
  }
  if (cell.models.calls > 0) append_model_use(object.key("models"), cell.models);
  JsonObject kinds(object.key("errors_by_kind"));
  for (const auto& [kind, count] : cell.kinds) kinds.number(kind, count);
}

std::string Metrics::json() {
  std::string out = "[";
  for (size_t model = 0; model < models_.size(); ++model)
    for (size_t evaluator = 0; evaluator < evaluators_.size(); ++evaluator) {
      if (out.size() > 1) out += ',';
      append_cell(out, cells_[model * evaluators_.size() + evaluator], model, evaluator);
    }
  return out + ']';
}

Task<Answer<std::string>> compute_metrics(Store& store, Run run) {
  const RunNames known = names_of(run);
  std::vector<Metrics::EvaluatorName> names;
  for (size_t i = 0; i < known.evaluator_ids.size(); ++i)
    names.push_back({known.evaluator_ids[i], known.evaluator_names[i]});
  Metrics metrics(std::move(names), known.models, run.trials);
  const auto scanned =
      co_await store.scan_scores(run.row, [&metrics](const ScoreRow& row) { metrics.add(row); });
  if (!scanned) co_return std::unexpected(scanned.error());
  co_return metrics.json();
}

}  // namespace assay::api
