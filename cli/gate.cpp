#include "cli/gate.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/terminal_text.hpp"
#include "core/json.hpp"
#include "core/settings.hpp"

namespace assay::cli {
namespace {

constexpr std::array<std::string_view, 5> kOperators = {">=", "<=", "==", ">", "<"};  // the longer ones first

bool holds(const Gate& gate, double value) {
  if (gate.op == ">=") return value >= gate.threshold;
  if (gate.op == "<=") return value <= gate.threshold;
  if (gate.op == ">") return value > gate.threshold;
  if (gate.op == "<") return value < gate.threshold;
  return value == gate.threshold;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<double> number_at(const Json& object, const std::string& key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number()) return std::nullopt;
  return it->get<double>();
}

/// Between what and what the pass rate would lie had every item that erred been scored.
struct Bounds {
  double low, high;
};
std::optional<Bounds> pass_bounds(const Json& metrics, double pass_rate, double errors) {
  if (const auto it = metrics.find("bounds"); it != metrics.end() && it->is_array() && it->size() == 2 &&
                                              (*it)[0].is_number() && (*it)[1].is_number())
    return Bounds{(*it)[0].get<double>(), (*it)[1].get<double>()};
  const auto scored = number_at(metrics, "scored");
  if (!scored || *scored + errors <= 0) return std::nullopt;
  const double passed = pass_rate * *scored;
  return Bounds{passed / (*scored + errors), (passed + errors) / (*scored + errors)};
}

std::string shown(const std::string& metric, double value) {
  if (metric == "pass_rate") return percent(value);
  if (metric == "p50_ms" || metric == "p95_ms") return duration_text(value);
  return decimal(value, 4);
}

std::string items(double count) {
  return with_thousands(static_cast<uint64_t>(count)) + (count == 1 ? " item" : " items");
}

/// A pass rate with errors beside it: decided only when every way the errors could have gone agrees.
void judge_bounded(GateResult& result, double value, const Bounds& bounds, double errors) {
  const Gate& gate = result.gate;
  const bool low = holds(gate, bounds.low);
  const bool high = holds(gate, bounds.high);
  const bool inside = gate.op == "==" && bounds.low < gate.threshold && gate.threshold < bounds.high;
  result.why = "the pass rate is " + percent(value) + " of what was scored, and " + items(errors) +
               " erred: it lies in [" + decimal(100 * bounds.low, 1) + ", " + decimal(100 * bounds.high, 1) +
               "] % ";
  if (low && high) {
    result.verdict = GateVerdict::pass;
    result.why += "and holds whatever they would have scored";
  } else if (!low && !high && !inside) {
    result.verdict = GateVerdict::fail;
    result.why += "and fails whatever they would have scored";
  } else {
    result.why += "and their scores would decide";
  }
}

void judge(GateResult& result, const Json& metrics) {
  const Gate& gate = result.gate;
  const bool is_latency = gate.metric == "p50_ms" || gate.metric == "p95_ms";
  const auto latency = metrics.find("latency");
  const Json& holder = is_latency && latency != metrics.end() && latency->is_object() ? *latency : metrics;
  const auto value = number_at(holder, gate.metric);
  const double errors = number_at(metrics, "errors").value_or(0);
  if (!value) {
    const bool nothing = number_at(metrics, "scored").value_or(0) == 0;
    result.why = nothing
                     ? "nothing was scored" + (errors > 0 ? ": " + items(errors) + " erred" : std::string())
                     : "the run has no " + gate.metric + " for " + gate.evaluator +
                           (gate.metric == "pass_rate" ? "; give it a pass_threshold" : "");
    return;
  }
  if (gate.metric == "pass_rate" && errors > 0) {
    const auto bounds = pass_bounds(metrics, *value, errors);
    if (bounds) return judge_bounded(result, *value, *bounds, errors);
  }
  result.verdict = holds(gate, *value) ? GateVerdict::pass : GateVerdict::fail;
  result.why = gate.metric + " is " + shown(gate.metric, *value);
  const bool of_scores = gate.metric == "mean" || gate.metric == "min" || gate.metric == "max";
  if (of_scores && errors > 0)
    result.why += "; " + items(errors) + " erred and " + (errors == 1 ? "is" : "are") + " not in it";
}

bool is_of(const Json& metrics, const std::string& evaluator) {
  const auto it = metrics.find("evaluator");
  if (it == metrics.end() || !it->is_object()) return false;
  return it->value("name", Json()) == evaluator || it->value("id", Json()) == evaluator;
}

}  // namespace

const std::vector<std::string>& gate_metrics() {
  static const std::vector<std::string> kMetrics = {"mean", "pass_rate", "scored", "errors", "count",
                                                    "min",  "max",       "p50_ms", "p95_ms"};
  return kMetrics;
}

Result<Gate> parse_gate(std::string_view name, std::string_view condition) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0)
    return fail(ErrorKind::config, "a gate is named EVALUATOR.METRIC, as in \"correct.pass_rate\"");
  Gate gate{.evaluator = std::string(name.substr(0, dot)), .metric = std::string(name.substr(dot + 1))};
  const auto& metrics = gate_metrics();
  if (std::ranges::find(metrics, gate.metric) == metrics.end()) {
    std::string what = "unknown metric \"" + gate.metric + "\"";
    if (const auto meant = nearest(gate.metric, metrics))
      return fail(ErrorKind::config, what + "; did you mean " + *meant + "?");
    what += "; the metrics are ";
    for (const auto& metric : metrics) what += (&metric == metrics.data() ? "" : ", ") + metric;
    return fail(ErrorKind::config, what);
  }
  const std::string_view text = trimmed(condition);
  const auto* const op =
      std::ranges::find_if(kOperators, [&](std::string_view o) { return text.starts_with(o); });
  const std::string_view number = op == kOperators.end() ? "" : trimmed(text.substr(op->size()));
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), gate.threshold);
  if (error != std::errc() || end != number.data() + number.size() || !std::isfinite(gate.threshold))
    return fail(ErrorKind::config,
                "\"" + std::string(condition) +
                    "\" is no condition; write >=, >, <=, < or == and a number, as in \">= 0.6\"");
  gate.op = *op;
  gate.text = std::string(name) + " " + gate.op + " " + std::string(number);
  return gate;
}

std::string_view to_string(GateVerdict verdict) {
  switch (verdict) {
    case GateVerdict::pass:
      return "PASS";
    case GateVerdict::fail:
      return "FAIL";
    case GateVerdict::inconclusive:
      return "INCONCLUSIVE";
  }
  return "INCONCLUSIVE";
}

Result<std::vector<GateResult>> check_gates(std::span<const Gate> gates, std::string_view run_json) {
  ASSAY_TRY(const Json run, parse_json(run_json));
  if (!run.is_object()) return fail(ErrorKind::config, "a run must be an object");
  const Json& metrics = run.contains("metrics") ? run["metrics"] : Json::array();
  std::vector<GateResult> results;
  for (const Gate& gate : gates) {
    const size_t before = results.size();
    for (const auto& of_evaluator : metrics) {
      if (!of_evaluator.is_object() || !is_of(of_evaluator, gate.evaluator)) continue;
      GateResult& result = results.emplace_back(gate);
      if (const auto it = of_evaluator.find("model"); it != of_evaluator.end() && it->is_string())
        result.model = *it;
      judge(result, of_evaluator);
    }
    if (results.size() == before) {
      GateResult& result = results.emplace_back(gate);
      result.why = "the run has no numbers for " + gate.evaluator;
    }
  }
  return results;
}

GateVerdict overall(std::span<const GateResult> results) {
  const auto any = [&](GateVerdict verdict) {
    return std::ranges::any_of(results,
                               [verdict](const GateResult& result) { return result.verdict == verdict; });
  };
  if (any(GateVerdict::fail)) return GateVerdict::fail;
  return any(GateVerdict::inconclusive) ? GateVerdict::inconclusive : GateVerdict::pass;
}

}  // namespace assay::cli
