// Gates: the promises about a run's numbers that decide the exit code.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"

namespace assay::cli {

/// "correct.pass_rate" = ">= 0.6"
struct Gate {
  std::string evaluator;
  std::string metric;  ///< one of gate_metrics()
  std::string op;      ///< >= > <= < ==
  double threshold = 0;
  std::string text;  ///< "correct.pass_rate >= 0.6"
};

/// mean, pass_rate, scored, …
const std::vector<std::string>& gate_metrics();

/// `name` is EVALUATOR.METRIC (the evaluator's name may hold dots), `condition` an operator and a number.
Result<Gate> parse_gate(std::string_view name, std::string_view condition);

/// INCONCLUSIVE: the run does not say. Nothing was scored, or items that erred could still tip a pass rate.
/// An error is no score, so it makes a gate neither pass nor fail.
enum class GateVerdict { pass, fail, inconclusive };
std::string_view to_string(GateVerdict verdict);  ///< PASS, FAIL, INCONCLUSIVE

struct GateResult {
  Gate gate;
  std::string model;  ///< of a run over several models, which each must hold the promise; else empty
  GateVerdict verdict = GateVerdict::inconclusive;
  std::string why;  ///< one sentence without a full stop
};

/// One result a gate, and a model where the run has several. `run_json` is a run object with `metrics`.
Result<std::vector<GateResult>> check_gates(std::span<const Gate> gates, std::string_view run_json);

/// The worst of them: fail, else inconclusive, else pass (also when there are no gates).
GateVerdict overall(std::span<const GateResult> results);

}  // namespace assay::cli
