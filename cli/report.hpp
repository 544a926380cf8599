// The result of a run for people: one table of numbers, what erred beside it, and the items worth a look.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cli/gate.hpp"
#include "core/error.hpp"

namespace assay::cli {

/// An item to show below the table; its texts may hold anything.
struct WorstItem {
  int64_t index = 0;
  std::string id;
  std::string evaluator;
  std::string model;            ///< whose text it is; empty: of none
  std::optional<double> score;  ///< or else
  std::string error_kind;       ///< how it erred
  std::string reason;           ///< the evaluator's reason or the error's message
  std::string input;            ///< start of the sample's input
};

struct ReportStyle {
  bool colour = false;
  size_t width = 80;  ///< columns of the terminal; long texts are cut to it, numbers never
};

/// `run_json` is a run object with `metrics`; `config` when it is none. Ends with a line break.
Result<std::string> render_report(std::string_view run_json, std::span<const WorstItem> worst,
                                  const ReportStyle& style);

/// A line a gate: its verdict, what it asks, and why. Empty for no gates.
std::string render_gates(std::span<const GateResult> results, const ReportStyle& style);

}  // namespace assay::cli
