// Which rows of a sequence a request names: ?offset&limit or ?rows=0,5,9-20.
#pragma once

#include <string_view>
#include <vector>

#include "api/fields.hpp"
#include "api/store/types.hpp"

namespace assay::api {

inline constexpr int64_t kMostRows = 1000;  ///< a call

/// Adds one row, to the last range when it continues that.
void append_row(std::vector<Range>& ranges, int64_t row);
int64_t count_rows(const std::vector<Range>& ranges);
/// Takes the first `rows` away.
void drop_rows(std::vector<Range>& ranges, int64_t rows);
/// "0,5,9-20" (ends included), in the order asked for; 422 for another text, too many rows, or one that is
/// not there.
Answer<std::vector<Range>> parse_rows(std::string_view text, int64_t total);
/// `offset`, `limit` and `rows`.
struct RowsQuery {
  int64_t offset = 0;
  int64_t limit = 0;
  std::optional<std::string> rows;
};
RowsQuery read_rows(Query& query);
/// What read_rows() reads of `total` rows.
Answer<std::vector<Range>> rows_asked_for(Query& query, int64_t total);

}  // namespace assay::api
