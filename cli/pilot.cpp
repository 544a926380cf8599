#include "cli/pilot.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/remote.hpp"
#include "cli/terminal_text.hpp"
#include "core/json.hpp"

namespace assay::cli {
namespace {

using daemon::ApiClient;
using daemon::url_encode;
using namespace std::chrono_literals;

bool has_items(const std::optional<DataSide>& side) {
  return side && side->type != DataSide::Type::generate;
}

void shorten(DataSide& side, int64_t items) {
  side.limit = std::min(side.limit.value_or(items), items);
  if (side.type == DataSide::Type::dataset && !side.shuffle_seed) side.shuffle_seed = 1;
}

Task<Result<Json>> get(ApiClient& api, std::string path) {
  ApiClient::Call request;
  request.path = std::move(path);
  const auto answer = co_await api.call_until(std::move(request), Clock::now() + 60s, tell_trouble());
  if (!answer) co_return std::unexpected(answer.error());
  if (!answer->ok()) co_return std::unexpected(answer->error());
  co_return parse_json(answer->body);
}

/// How many items the file's evaluation has.
Task<Result<int64_t>> count_items(ApiClient& api, const Pilot& pilot, Json run) {
  const DataSide& whole = pilot.whole;
  const Json side = run.value(pilot.is_sample ? "sample" : "ground_truth", Json::object());
  const bool dataset = whole.type == DataSide::Type::dataset;
  const auto found = co_await get(api, (dataset ? "/v1/datasets/" : "/v1/containers/") +
                                           url_encode(side.value(dataset ? "dataset" : "container", "")));
  if (!found) co_return std::unexpected(found.error());
  const int64_t all = found->value(dataset ? "rows" : "logs", int64_t{0}) - whole.offset.value_or(0);
  co_return std::min(whole.limit.value_or(all), all);
}

/// What each item cost, over models, evaluators and trials.
struct Costs {
  std::map<int64_t, double> by_item;
  bool is_least = false;

  void add(const Json& result) {
    double& item = by_item[result.value("index", int64_t{0})];
    const Json use = result.value("usage", Json::object()).value("models", Json::object());
    item += use.value("cost", 0.0);
    is_least = is_least || use.value("unpriced", int64_t{0}) > 0;
  }
};

Task<Result<Costs>> costs_of(ApiClient& api, std::string run) {
  Costs costs;
  std::string next = "/v1/evaluation/runs/" + run + "/results?limit=1000";
  while (!next.empty()) {
    const auto page = co_await get(api, next);
    if (!page) co_return std::unexpected(page.error());
    for (const Json& result : page->value("data", Json::array())) costs.add(result);
    next = page->value("next", std::string());
  }
  co_return costs;
}

std::string dollars(double amount) {
  return "$" + decimal(amount, amount < 1 ? 4 : 2);
}

}  // namespace

Result<Pilot> shorten(EvaluationFile& file, int64_t items) {
  const bool sample = has_items(file.sample), truth = has_items(file.ground_truth);
  if (!sample && !truth)
    return fail(ErrorKind::config,
                "--pilot needs a [sample] or [ground_truth] that is a dataset or container");
  Pilot pilot{.whole = sample ? *file.sample : *file.ground_truth, .is_sample = sample};
  const bool joined = sample && !file.sample->join.empty();
  if (sample) shorten(*file.sample, items);
  // Of two sides that are joined the other keeps its rows, among which the partners are.
  if (truth && !joined) shorten(*file.ground_truth, items);
  file.gates.clear();
  return pilot;
}

Task<Result<Estimate>> estimate(ApiClient& api, const Pilot& pilot, std::string run_json) {
  const auto run = parse_json(run_json);
  if (!run) co_return std::unexpected(run.error());
  const auto items = co_await count_items(api, pilot, *run);
  if (!items) co_return std::unexpected(items.error());
  const auto costs = co_await costs_of(api, run->value("id", std::string()));
  if (!costs) co_return std::unexpected(costs.error());
  std::vector<double> of_items;
  for (const auto& [item, cost] : costs->by_item) of_items.push_back(cost);
  Estimate made{
      .looked_at = static_cast<int64_t>(of_items.size()), .items = *items, .is_least = costs->is_least};
  const auto mean = mean_of(of_items);
  if (!mean) co_return made;
  const auto all = static_cast<double>(*items);
  made.dollars = mean->mean * all;
  if (mean->ci95) made.ci95 = Interval{std::max(0.0, mean->ci95->low * all), mean->ci95->high * all};
  co_return made;
}

std::string estimate_text(const Estimate& estimate) {
  std::string text = "all " + with_thousands(static_cast<uint64_t>(estimate.items)) + " items would cost ";
  text += (estimate.is_least ? "at least " : "about ") + dollars(estimate.dollars);
  if (estimate.ci95) text += " (" + dollars(estimate.ci95->low) + " to " + dollars(estimate.ci95->high) + ")";
  text += " on models";
  return estimate.is_least ? text + ": some calls have no known price" : text;
}

}  // namespace assay::cli
