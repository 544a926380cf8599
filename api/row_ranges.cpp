#include "api/row_ranges.hpp"

#include <algorithm>
#include <charconv>

namespace assay::api {

void append_row(std::vector<Range>& ranges, int64_t row) {
  if (ranges.empty() || ranges.back().to != row) ranges.push_back({row, row});
  ranges.back().to = row + 1;
}

int64_t count_rows(const std::vector<Range>& ranges) {
  int64_t count = 0;
  for (const auto& range : ranges) count += range.to - range.from;
  return count;
}

void drop_rows(std::vector<Range>& ranges, int64_t rows) {
  auto it = ranges.begin();
  while (it != ranges.end() && rows >= it->to - it->from) {
    rows -= it->to - it->from;
    ++it;
  }
  ranges.erase(ranges.begin(), it);
  if (!ranges.empty()) ranges.front().from += rows;
}

Answer<std::vector<Range>> parse_rows(std::string_view text, int64_t total) {
  const auto malformed = [] { return invalid("rows", "rows must look like 0,5,9-20"); };
  std::vector<Range> ranges;
  int64_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&](int64_t& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    const bool good = error == std::errc() && value >= 0;
    at = next;
    return good;
  };
  for (;;) {
    Range range;
    if (!number(range.from)) return malformed();
    range.to = range.from;
    if (at != end && *at == '-') {
      ++at;
      if (!number(range.to) || range.to < range.from) return malformed();
    }
    if (range.to >= total)
      return invalid("rows",
                     "there is no row " + std::to_string(range.to) + ": there are " + std::to_string(total));
    ++range.to;
    count += range.to - range.from;
    if (count > kMostRows) return invalid("rows", "at most " + std::to_string(kMostRows) + " rows a call");
    ranges.push_back(range);
    if (at == end) return ranges;
    if (*at++ != ',') return malformed();
  }
}

RowsQuery read_rows(Query& query) {
  constexpr int64_t kFew = 100;
  RowsQuery wanted;
  wanted.offset = query.integer("offset", 0, 0, INT64_MAX / 2);
  wanted.limit = query.integer("limit", kFew, 1, kMostRows);
  wanted.rows = query.text("rows", "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$");
  query.note("rows", "Which, ends included: 0,5,9-20.");
  return wanted;
}

Answer<std::vector<Range>> rows_asked_for(Query& query, int64_t total) {
  const auto wanted = read_rows(query);
  ASSAY_OK(query.done());
  if (wanted.rows) return parse_rows(*wanted.rows, total);
  if (wanted.offset >= total) return std::vector<Range>{};
  return std::vector<Range>{{wanted.offset, std::min(wanted.offset + wanted.limit, total)}};
}

}  // namespace assay::api
