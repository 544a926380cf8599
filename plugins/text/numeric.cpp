#include "plugins/text/numeric.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "plugins/text/utf8.hpp"

namespace assay::text {
namespace {

constexpr std::string_view kMinus = "\u2212";
constexpr std::string_view kGsm8kMark = "####";

/// Takes numbers off a text from left to right.
class NumberScanner {
 public:
  explicit NumberScanner(std::string_view text) : text_(text) {}

  std::optional<double> next() {
    for (; at_ < text_.size(); ++at_) {
      if (is_digit(at_)) {
        if (!behind_name(at_)) return read(at_);
        while (is_digit(at_ + 1)) ++at_;
      } else if (text_[at_] == '.' && is_digit(at_ + 1) && !behind_name(at_) && !behind_digit(at_)) {
        return read(at_);
      }
    }
    return std::nullopt;
  }

 private:
  bool is_digit(size_t i) const { return i < text_.size() && is_ascii_digit(text_[i]); }
  bool behind_digit(size_t i) const { return i > 0 && is_ascii_digit(text_[i - 1]); }
  bool behind_name(size_t i) const { return i > 0 && (is_ascii_letter(text_[i - 1]) || text_[i - 1] == '_'); }
  char at(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  /// Whether the number that begins at `begin` has a minus before it, a currency sign between them or not.
  bool is_negative(size_t begin) const {
    std::string_view before = text_.substr(0, begin);
    for (const std::string_view currency : {"$", "€", "£", "¥"})
      if (before.ends_with(currency)) {
        before.remove_suffix(currency.size());
        break;
      }
    const size_t minus = before.ends_with('-') ? 1 : before.ends_with(kMinus) ? kMinus.size() : 0;
    if (minus == 0) return false;
    before.remove_suffix(minus);
    return before.empty() || !(is_ascii_letter(before.back()) || is_ascii_digit(before.back()) ||
                               before.back() == '_' || before.back() == ')');
  }

  size_t skip_digits(size_t i) const {
    while (is_digit(i)) ++i;
    return i;
  }

  bool is_group(size_t comma) const {
    return at(comma) == ',' && is_digit(comma + 1) && is_digit(comma + 2) && is_digit(comma + 3) &&
           !is_digit(comma + 4);
  }

  /// Digits, their groups of thousands, the part behind the point and the exponent; `at_` ends behind them.
  double read(size_t begin) {
    digits_.clear();
    at_ = skip_digits(begin);
    digits_.append(text_, begin, at_ - begin);
    for (bool grouped = at_ > begin && at_ - begin <= 3; grouped && is_group(at_); at_ += 4)
      digits_.append(text_, at_ + 1, 3);
    const double whole = read_fraction(begin);
    return is_negative(begin) ? -whole : whole;
  }

  double read_fraction(size_t begin) {
    if (at(at_) == '/' && is_digit(at_ + 1) && at_ > begin && (begin == 0 || text_[begin - 1] != '/')) {
      const size_t end = skip_digits(at_ + 1);
      const double divisor = value_of(text_.substr(at_ + 1, end - at_ - 1));
      if (divisor != 0 && at(end) != '/' && !(at(end) == '.' && is_digit(end + 1))) {
        at_ = end;
        return value_of(digits_) / divisor;
      }
    }
    if (at(at_) == '.' && is_digit(at_ + 1)) take(skip_digits(at_ + 1));
    if (at(at_) == 'e' || at(at_) == 'E') {
      const size_t sign = at(at_ + 1) == '+' || at(at_ + 1) == '-' ? 1 : 0;
      const size_t end = skip_digits(at_ + 1 + sign);
      if (end > at_ + 1 + sign && !is_ascii_letter(at(end))) take(end);
    }
    return value_of(digits_);
  }

  void take(size_t end) {
    digits_.append(text_, at_, end - at_);
    at_ = end;
  }

  static double value_of(std::string_view digits) {
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc::result_out_of_range) return value;
    // Out of range is both too large and too small.
    const bool tiny =
        digits.contains("e-") || digits.contains("E-") || digits.front() == '0' || digits.front() == '.';
    return tiny ? 0 : std::numeric_limits<double>::infinity();
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string digits_;
};

}  // namespace

std::expected<double, std::string> find_number(std::string_view text, Which which) {
  if (const size_t mark = text.rfind(kGsm8kMark); which == Which::last && mark != std::string_view::npos)
    if (const auto marked = NumberScanner(text.substr(mark + kGsm8kMark.size())).next()) return *marked;

  NumberScanner numbers(text);
  std::optional<double> found;
  while (const auto number = numbers.next()) {
    if (found && which == Which::only) return std::unexpected("more than one number in the text");
    found = number;
  }
  if (!found) return std::unexpected("no number in the text");
  return *found;
}

bool close_to(double output, double expected, const Tolerance& tolerance) {
  if (!std::isfinite(output) || !std::isfinite(expected)) return false;
  return std::abs(output - expected) <= std::max(tolerance.absolute, tolerance.relative * std::abs(expected));
}

}  // namespace assay::text
