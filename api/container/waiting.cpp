#include "api/container/waiting.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/json.hpp"

namespace assay::api {
namespace {

constexpr std::chrono::seconds kHeardOf(60);

std::set<std::string> words_of(const std::string& array) {
  const auto json = parse_json(array);
  return json ? json->get<std::set<std::string>>() : std::set<std::string>();
}

std::string listed(const std::set<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string lacking(const Run& run, const std::vector<WorkerInfo>& workers) {
  bool any = false, idle = false;
  std::set<std::string> environments, missing, states;
  for (const auto& worker : workers) {
    if (worker.silent > kHeardOf) continue;
    any = true;
    const auto serves = words_of(worker.environments);
    environments.insert(serves.begin(), serves.end());
    if (!serves.contains(run.environment)) continue;
    const auto labels = words_of(worker.labels);
    std::set<std::string> lacks;
    for (const auto& label : run.required)
      if (!labels.contains(label)) lacks.insert(label);
    if (lacks.empty() && worker.state == "run") return {};
    if (lacks.empty())
      states.insert(worker.state);
    else if (missing.empty() || lacks.size() < missing.size())
      missing = lacks;
    idle = true;
  }
  if (!any) return "a worker: none has been heard of for a minute";
  if (!idle)
    return "a worker of the environment " + run.environment + ": those that are up serve " +
           listed(environments);
  if (!states.empty()) return "a worker that takes work: those that fit say " + listed(states);
  return "a worker with the labels of the run: the one that has most of them lacks " + listed(missing);
}

}  // namespace

Task<std::string> waiting_for(Context& context, const Run& run) {
  if (run.paused || is_terminal(run.status) || run.status == RunStatus::finalizing) co_return std::string();
  const auto workers = co_await context.store.workers(run.project);
  if (!workers) co_return std::string();
  co_return lacking(run, *workers);
}

}  // namespace assay::api
