#include "daemon/multi.hpp"

#include <algorithm>
#include <cmath>

namespace assay::daemon {
namespace {

constexpr size_t kLogBytes = size_t{64} << 10;  // as much as one evaluator's log

std::string of_part(const Multi::Part& part, const std::string& what) {
  return "part " + part.name + ": " + what;
}

Outcome scored(const Multi& multi, std::span<const Outcome> parts) {
  std::vector<double> scores;
  for (const Outcome& part : parts) scores.push_back(part.score);
  const double score = multi.formula.evaluate(scores);
  if (!std::isfinite(score)) {
    std::string message = "the formula gives no finite number for ";
    for (size_t i = 0; i < parts.size(); ++i) {
      message += (i > 0 ? ", " : "") + multi.parts[i].name + " = ";
      append_json_number(message, scores[i]);
    }
    return Outcome::errored(ErrorKind::bad_result, message);
  }
  Outcome whole = Outcome::scored(score);
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& name = multi.parts[i].name;
    whole.metrics.emplace_back(name, scores[i]);
    for (const auto& [metric, value] : parts[i].metrics)
      whole.metrics.emplace_back(name + "." + metric, value);
    if (!parts[i].reason.empty())
      whole.reason += (whole.reason.empty() ? "" : "; ") + name + ": " + parts[i].reason;
  }
  return whole;
}

Outcome verdict_of(const Multi& multi, std::span<const Outcome> parts) {
  const auto errored = [](const Outcome& part) { return part.verdict == Verdict::errored; };
  // Told to stop: then there is no outcome, whatever else there was.
  const auto stopped = std::ranges::find_if(
      parts, [&](const Outcome& part) { return errored(part) && part.error.kind == ErrorKind::cancelled; });
  const auto failed = stopped != parts.end() ? stopped : std::ranges::find_if(parts, errored);
  if (failed != parts.end())
    return Outcome::errored(
        failed->error.kind,
        of_part(multi.parts[static_cast<size_t>(failed - parts.begin())], failed->error.message));
  const auto skipped = std::ranges::find(parts, Verdict::skipped, &Outcome::verdict);
  if (skipped != parts.end())
    return Outcome::skipped(
        of_part(multi.parts[static_cast<size_t>(skipped - parts.begin())], skipped->reason));
  return scored(multi, parts);
}

/// `text` within `size` bytes: its head and its tail.
std::string shortened(const std::string& text, size_t size) {
  if (text.size() <= size) return text;
  return to_valid_utf8(text.substr(0, size / 2)) + "\n…\n" +
         to_valid_utf8(text.substr(text.size() - size / 2));
}

void add_use(Usage& all, const Usage& part) {
  all.wall += part.wall;
  all.cpu += part.cpu;
  all.memory_bytes = std::max(all.memory_bytes, part.memory_bytes);
  if (all.method.empty()) all.method = part.method;
  all.models += part.models;
}

/// The answers of an item's parts on their way.
struct Gathering {
  std::shared_ptr<const Multi> multi;
  sandbox::Pool::Done done;
  std::vector<Outcome> outcomes;
  size_t missing;
};

}  // namespace

Outcome combined(const Multi& multi, std::span<const Outcome> parts) {
  Outcome whole = verdict_of(multi, parts);
  for (size_t i = 0; i < parts.size(); ++i) {
    add_use(whole.usage, parts[i].usage);
    if (parts[i].log.empty()) continue;
    whole.log += (whole.log.empty() ? "" : "\n") + multi.parts[i].name + ": " +
                 shortened(parts[i].log, kLogBytes / parts.size());
  }
  return whole;
}

void submit_parts(sandbox::Pool& pool, std::shared_ptr<const Multi> multi, const std::string& item,
                  sandbox::Pool::Done done, const std::shared_ptr<const bool>& unwanted,
                  const std::shared_ptr<sandbox::Completions>& completions) {
  const size_t count = multi->parts.size();
  const auto gathering = std::make_shared<Gathering>(
      Gathering{std::move(multi), std::move(done), std::vector<Outcome>(count), count});
  for (size_t i = 0; i < count; ++i)
    pool.submit(
        gathering->multi->parts[i].program, item,
        [gathering, i](Outcome outcome) {
          gathering->outcomes[i] = std::move(outcome);
          if (--gathering->missing == 0) gathering->done(combined(*gathering->multi, gathering->outcomes));
        },
        unwanted, completions);
}

}  // namespace assay::daemon
