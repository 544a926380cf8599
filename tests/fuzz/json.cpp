// The two JSON readers on the same text: the strict one may refuse more, but never less, and what
// outcome_from_json takes it writes back the same.
#include "core/json.hpp"

#include <cstdint>
#include <nlohmann/json.hpp>

#include "core/check.hpp"
#include "core/outcome.hpp"
#include "core/row.hpp"

namespace {

void check_row(std::string_view text, const assay::Result<assay::Json>& strict) {
  static assay::RowReader reader;
  const auto parsed = reader.parse(text);
  if (parsed) {
    for (const auto& column : reader.columns()) reader.select(assay::ColumnPath(column));
    reader.select(assay::ColumnPath("a.0.b"));
    return;
  }
  ASSAY_CHECK(!parsed.error().message.empty(), "an error without a message");
  if (!strict) return;
  const bool expected = !strict->is_object() || parsed.error().message.contains("64 bits");
  ASSAY_CHECK(expected, "the row reader refuses an object that the strict parser takes");
}

void check_outcome(const assay::Json& json) {
  const auto row = assay::outcome_from_json(json);
  if (!row) return;
  std::string first;
  assay::append_outcome_json(first, row->id, row->outcome);
  const auto again = assay::parse_json(first);
  ASSAY_CHECK(again.has_value(), "an outcome is written as what is no JSON");
  const auto second_row = assay::outcome_from_json(*again);
  ASSAY_CHECK(second_row.has_value(), "an outcome is written as what is no outcome");
  std::string second;
  assay::append_outcome_json(second, second_row->id, second_row->outcome);
  ASSAY_CHECK(first == second, "an outcome changes when it is written and read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto quoted = assay::parse_json(assay::json_quote(text));
  ASSAY_CHECK(quoted && quoted->get<std::string>() == assay::to_valid_utf8(text),
              "text is not what was quoted");
  const auto strict = assay::parse_json(text);
  check_row(text, strict);
  if (!strict) return 0;
  const auto again = assay::parse_json(assay::dump_json(*strict));
  ASSAY_CHECK(again && *again == *strict, "a document changes when it is written and read");
  check_outcome(*strict);
  return 0;
}
