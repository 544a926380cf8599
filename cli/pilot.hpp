// A first look at a few items of an evaluation, and what all of them would cost by it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/evaluation_file.hpp"
#include "core/async/task.hpp"
#include "core/statistics.hpp"
#include "daemon/api_client.hpp"

namespace assay::cli {

struct Pilot {
  DataSide whole;         ///< the side that has the items, as the file has it
  bool is_sample = true;  ///< or the ground truth, where samples are generated
};

/// Leaves `items` of the file's items, chosen by chance and the same every time, and drops its gates: they
/// are of all items. `config` when neither side of the file says which items there are.
Result<Pilot> shorten(EvaluationFile& file, int64_t items);

struct Estimate {
  int64_t looked_at = 0, items = 0;
  double dollars = 0;            ///< of all items
  std::optional<Interval> ci95;  ///< of that; none for one item
  bool is_least = false;         ///< some calls have no known price
};
/// From the results of the pilot's run, which has ended.
Task<Result<Estimate>> estimate(daemon::ApiClient& api, const Pilot& pilot, std::string run_json);

/// "all 1,319 items would cost about $1.23 ($1.10 to $1.36)".
std::string estimate_text(const Estimate& estimate);

}  // namespace assay::cli
