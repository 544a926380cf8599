// One value, as a judge wrote it, on a contract's scale. What is not exactly on it is an error, never a
// guess.
//
//   labels   letter for letter, case aside; a JSON boolean is TRUE or FALSE, a JSON number the label of its
//   digits numbers  4  4.0  -1  4e0, quoted or not; "4/5" and "4 out of 5" where the range ends at 5; "85%"
//   where it is
//            0 to 100 (85) or 0 to 1 (0.85). Not: NaN, Infinity, 4,5, a percentage elsewhere, a boolean, a
//            word
//
// A number outside of the range, and a label that is not on the menu, are judge_off_menu; what is no number
// at all where one is needed, and an object or null anywhere, judge_parse.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/judge/contract.hpp"

namespace assay::judge {

struct Value {
  double score = 0;
  std::string label;  ///< as the menu spells it; empty for a number
  bool operator==(const Value&) const = default;
};

/// `text`: all of the value, with nothing around it but blanks, quotes, Markdown's marks and a full stop.
Result<Value> read_value(std::string_view text, const Contract& contract) noexcept;
/// The value of a JSON member.
Result<Value> read_json_value(const nlohmann::json& value, const Contract& contract) noexcept;
/// What stands behind "Score:" in a line: a value, and then perhaps a remark in parentheses or behind a dash
/// that names no other choice and holds no digit.
Result<Value> read_line_value(std::string_view text, const Contract& contract) noexcept;

/// The value that a text only begins with: "FALSE, since …", "1 because …". Less than a verdict, and enough
/// to doubt another one. A label of one letter, and one that does not begin a line's value (`keyed`), must be
/// followed by punctuation; a number counts behind a key alone, and when no other is in the text.
std::optional<Value> leading_value(std::string_view text, const Contract& contract, bool keyed) noexcept;

}  // namespace assay::judge
