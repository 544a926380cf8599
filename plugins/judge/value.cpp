#include "plugins/judge/value.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"

namespace assay::judge {
namespace {

constexpr std::string_view kAround = " \t\r\n*_`\"'";
constexpr size_t kValueLimit = 256;  // bytes; a label has 64

Error off_menu(std::string_view text, const Contract& contract) {
  std::string menu;
  for (const Choice& choice : contract.menu) menu += (menu.empty() ? "" : ", ") + choice.label;
  return {ErrorKind::judge_off_menu,
          "the judge answered \"" + bounded(text, 80) + "\", which is none of " + menu};
}

Error no_number(std::string_view text) {
  return {ErrorKind::judge_parse,
          "the judge answered \"" + bounded(text, 80) + "\" where a number is needed"};
}

/// All of `text` as a finite number.
std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = problem == std::errc() && end == text.data() + text.size();
  return whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

Result<Value> in_range(double number, const Contract& contract) {
  if (number >= contract.low && number <= contract.high) return Value{number, {}};
  return Error{ErrorKind::judge_off_menu, "the judge answered " + dump_json(number) + ", outside of " +
                                              dump_json(contract.low) + " to " + dump_json(contract.high)};
}

Result<Value> percentage(std::string_view text, const Contract& contract) {
  const auto number = number_of(trim(text.substr(0, text.size() - 1)));
  const bool hundred = contract.low == 0 && contract.high == 100;
  const bool one = contract.low == 0 && contract.high == 1;
  if (!number || (!hundred && !one)) return no_number(text);
  return in_range(hundred ? *number : *number / 100, contract);
}

/// "4/5" and "4 out of 5" on a scale that ends at 5.
Result<Value> fraction(std::string_view text, size_t at, std::string_view divider, const Contract& contract) {
  const auto number = number_of(trim(text.substr(0, at)));
  const auto whole = number_of(trim(text.substr(at + divider.size())));
  if (!number || !whole || *whole != contract.high) return no_number(text);
  return in_range(*number, contract);
}

Result<Value> read_number(std::string_view text, const Contract& contract) {
  if (text.ends_with('%')) return percentage(text, contract);
  for (const std::string_view divider : {std::string_view("/"), std::string_view(" out of ")}) {
    const size_t at = text.find(divider);
    if (at != std::string_view::npos) return fraction(text, at, divider, contract);
  }
  const auto number = number_of(text);
  if (!number) return no_number(text);
  return in_range(*number, contract);
}

Result<Value> read_label(std::string_view text, const Contract& contract) {
  for (const Choice& choice : contract.menu) {
    if (equal_ignoring_case(choice.label, text)) return Value{choice.score, choice.label};
  }
  return off_menu(text, contract);
}

/// Whether `text` has `word` with no letter or digit beside it.
bool has_word(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !is_word(text[at - 1]);
    if (begins && (end == text.size() || !is_word(text[end]))) return true;
  }
  return false;
}

/// Where a remark begins behind a value: "C (correct)", "4 - good", "TRUE. Because …".
size_t remark_of(std::string_view text) {
  static constexpr std::array<std::string_view, 7> kMarks = {"(", " - ", " – ", " — ", "—", ". ", "; "};
  size_t first = text.size();
  for (const std::string_view mark : kMarks) first = std::min(first, text.find(mark));
  return first;
}

std::optional<Value> leading_number(std::string_view text, const Contract& contract) {
  const size_t end = std::min(text.find_first_not_of("+-.0123456789eE"), text.size());
  const auto number = number_of(trim(text.substr(0, end), "."));
  const bool fits = number && *number >= contract.low && *number <= contract.high;
  const bool alone = std::ranges::none_of(text.substr(end), is_digit);
  return fits && alone ? std::optional(Value{*number, {}}) : std::nullopt;
}

/// Whether `rest`, behind a label, leaves it one: "FALSE. It …", "FALSE, since …".
bool is_set_off(std::string_view rest) {
  if (trim(rest, kAround).empty()) return true;
  if (trim(rest.substr(0, 1), "*_`\"'.,;!(").empty()) return true;
  const std::string_view next = trim(rest);
  return next.starts_with('(') || next.starts_with("- ") || next.starts_with("–") || next.starts_with("—");
}

}  // namespace

std::optional<Value> leading_value(std::string_view text, const Contract& contract, bool keyed) noexcept {
  const std::string_view value = trim(text, kAround);
  if (contract.is_number()) return keyed ? leading_number(value, contract) : std::nullopt;
  for (const Choice& choice : contract.menu) {
    const size_t size = choice.label.size();
    if (!equal_ignoring_case(value.substr(0, size), choice.label)) continue;
    const std::string_view rest = value.substr(size);
    const bool ends = rest.empty() || !is_word(rest.front());
    if (ends && (is_set_off(rest) || (keyed && size > 1))) return Value{choice.score, choice.label};
  }
  return std::nullopt;
}

Result<Value> read_value(std::string_view text, const Contract& contract) noexcept {
  std::string_view value = trim(text, kAround);
  if (value.size() > kValueLimit) {
    return Error{ErrorKind::judge_parse,
                 "the judge's verdict begins \"" + bounded(value, 80) + "\" and is no verdict"};
  }
  if (value.empty()) return Error{ErrorKind::judge_parse, "the judge's verdict is empty"};
  if (!contract.is_number()) {
    if (auto label = read_label(value, contract); label) return label;
  }
  if (value.ends_with('.')) value = trim(value.substr(0, value.size() - 1), kAround);
  if (value.starts_with("[[") && value.ends_with("]]") && value.size() > 4) {
    value = trim(value.substr(2, value.size() - 4), kAround);
  }
  return contract.is_number() ? read_number(value, contract) : read_label(value, contract);
}

Result<Value> read_json_value(const Json& value, const Contract& contract) noexcept {
  if (const std::string* text = as_string(&value)) return read_value(*text, contract);
  if (value.is_boolean() && !contract.is_number())
    return read_label(value.get<bool>() ? "TRUE" : "FALSE", contract);
  if (value.is_number()) {
    if (contract.is_number()) return in_range(value.get<double>(), contract);
    return read_label(dump_json(value), contract);
  }
  return Error{ErrorKind::judge_parse,
               std::string("the judge's verdict is of the JSON type ") + value.type_name()};
}

Result<Value> read_line_value(std::string_view text, const Contract& contract) noexcept {
  auto whole = read_value(text, contract);
  const size_t remark = remark_of(text);
  if (whole || remark == text.size() || remark == 0) return whole;
  auto value = read_value(text.substr(0, remark), contract);
  if (!value) return whole;
  const std::string_view rest = text.substr(remark);
  const auto names = [&](const Choice& choice) {
    return choice.label != value->label && has_word(rest, choice.label);
  };
  const bool doubtful = std::ranges::any_of(contract.menu, names) ||
                        (contract.is_number() && std::ranges::any_of(rest, is_digit));
  if (!doubtful) return value;
  return Error{ErrorKind::judge_parse,
               "the judge's verdict \"" + bounded(text, 80) + "\" can be read in two ways"};
}

}  // namespace assay::judge
