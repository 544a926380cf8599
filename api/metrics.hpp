// The metrics of a run, from its stored outcomes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/store/store.hpp"

namespace assay::api {

/// Takes outcomes in the order of their identities, so that the same outcomes give the same numbers to the
/// last bit, in whatever order and from however many workers they came.
class Metrics {
 public:
  struct EvaluatorName {
    std::string id, name;
  };
  Metrics(std::vector<EvaluatorName> evaluators, std::vector<std::string> models, int64_t trials);

  void add(const ScoreRow& row);
  /// A JSON array, one object for every model and evaluator.
  std::string json();

 private:
  struct Cell {
    int64_t count = 0, scored = 0, generated = 0, errors = 0, skipped = 0, judged = 0, passed = 0;
    std::map<std::string, int64_t, std::less<>> kinds;
    // With several trials the unit is the item: these hold the means of items, the open item's sums are
    // beside them.
    std::vector<double> scores, passes;
    std::vector<double> latencies_ms;
    ModelUse models;
    double low = 0, high = 0;
    int64_t item = -1;
    double score_sum = 0, pass_sum = 0;
    int64_t score_count = 0, pass_count = 0;

    void close_item();
  };
  void append_cell(std::string& out, Cell& cell, size_t model, size_t evaluator) const;

  std::vector<EvaluatorName> evaluators_;
  std::vector<std::string> models_;
  int64_t trials_;
  std::vector<Cell> cells_;  // by model, then evaluator
};

/// Scans the run's outcomes once.
Task<Answer<std::string>> compute_metrics(Store& store, Run run);

}  // namespace assay::api
