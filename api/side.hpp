// One side of a run, resolved: a sequence of rows that never changes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/planner.hpp"
#include "core/row.hpp"

namespace assay::api {

struct Side {
  SourceKind kind = SourceKind::container;
  std::optional<Generation> generation;  ///< there are no rows: it is generated from the other side
  int64_t row = 0;                       ///< of the dataset or container in the store
  std::string id, name;
  std::optional<std::string> input, output, join;
  int64_t first = 0;  ///< item i is row first + i, unless `rows` says otherwise
  int64_t count = 0;
  std::vector<int64_t> rows;  ///< empty: contiguous
  std::string param;          ///< "sample" or "ground_truth"
};

/// An absent request stands for the container's task logs. A side that is generated has no rows yet: `count`
/// is to be the other's.
Task<Answer<Side>> resolve_side(Store& store, Access access, Container container,
                                std::optional<SourceRequest> request, std::string param);

/// As the run object shows it, and as the run specification gives it to workers.
std::string resolved_json(const Side& side);
std::string worker_json(const Side& side);
/// What workers are told of a side whose texts `run` has: `side` is what they were told for that run.
Json worker_json_again(Json side, const std::string& run);

/// Reads the join column of a side's rows, one after another, a bounded piece at a time.
class SideReader {
 public:
  SideReader(Store& store, Side side);
  struct Value {
    int64_t row = 0;
    std::string value;  ///< compact JSON
  };
  /// nullopt: that was the last. 422 for a row without the column.
  Task<Answer<std::optional<Value>>> next();

 private:
  Task<Answer<>> load();
  int64_t row_at(int64_t index) const;

  Store& store_;
  Side side_;
  ColumnPath column_;
  RowReader reader_;
  std::string text_;
  size_t position_ = 0;
  int64_t index_ = 0;
};

}  // namespace assay::api
