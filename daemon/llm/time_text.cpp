#include "daemon/llm/time_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace assay::llm {
namespace {

using namespace std::chrono_literals;

/// Takes pieces off the front of a text; once something does not fit, nothing fits any more.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  void literal(std::string_view expected) {
    if (!rest_.starts_with(expected)) return spoil();
    rest_.remove_prefix(expected.size());
  }
  /// Exactly `digits` digits.
  int number(size_t digits) {
    if (rest_.size() < digits || !std::ranges::all_of(rest_.substr(0, digits), is_digit)) {
      spoil();
      return 0;
    }
    int value = 0;
    for (const char c : rest_.substr(0, digits)) value = value * 10 + (c - '0');
    rest_.remove_prefix(digits);
    return value;
  }
  template <size_t N>
  unsigned one_of(const std::array<std::string_view, N>& words) {
    for (size_t i = 0; i < N; ++i) {
      if (!rest_.starts_with(words[i])) continue;
      rest_.remove_prefix(words[i].size());
      return static_cast<unsigned>(i);
    }
    spoil();
    return 0;
  }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  /// The digits of a fraction of a second, as milliseconds.
  int milliseconds() {
    const size_t digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    if (digits == 0) spoil();
    int value = 0;
    for (size_t i = 0; i < 3; ++i) value = value * 10 + (i < digits ? rest_[i] - '0' : 0);
    rest_.remove_prefix(digits);
    return value;
  }
  bool done() const { return !spoiled_ && rest_.empty(); }

 private:
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  void spoil() {
    spoiled_ = true;
    rest_ = {};
  }

  std::string_view rest_;
  bool spoiled_ = false;
};

constexpr std::array<std::string_view, 7> kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<Time> time_of(int year, unsigned month, int day, int hour, int minute, int second) {
  const std::chrono::year_month_day date(std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(static_cast<unsigned>(day)));
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

struct Unit {
  std::string_view name;
  double milliseconds;
};
// Longer names before those they begin with.
constexpr std::array<Unit, 8> kUnits = {{{"ms", 1},
                                         {"ns", 1e-6},
                                         {"us", 1e-3},
                                         {"µs", 1e-3},
                                         {"μs", 1e-3},
                                         {"h", 3'600'000},
                                         {"m", 60'000},
                                         {"s", 1000}}};

}  // namespace

std::optional<Time> http_date_from(std::string_view text) {
  Scanner scan(text);
  scan.one_of(kDays);
  scan.literal(", ");
  const int day = scan.number(2);
  scan.literal(" ");
  const unsigned month = scan.one_of(kMonths) + 1;
  scan.literal(" ");
  const int year = scan.number(4);
  scan.literal(" ");
  const int hour = scan.number(2);
  scan.literal(":");
  const int minute = scan.number(2);
  scan.literal(":");
  const int second = scan.number(2);
  scan.literal(" GMT");
  return scan.done() ? time_of(year, month, day, hour, minute, second) : std::nullopt;
}

std::optional<Time> rfc3339_from(std::string_view text) {
  Scanner scan(text);
  const int year = scan.number(4);
  scan.literal("-");
  const int month = scan.number(2);
  scan.literal("-");
  const int day = scan.number(2);
  scan.one_of<3>({"T", "t", " "});
  const int hour = scan.number(2);
  scan.literal(":");
  const int minute = scan.number(2);
  scan.literal(":");
  const int second = scan.number(2);
  const auto fraction = scan.take(".") ? std::chrono::milliseconds(scan.milliseconds()) : 0ms;
  auto offset = 0min;
  if (!scan.take("Z") && !scan.take("z")) {
    const bool west = scan.one_of<2>({"+", "-"}) == 1;
    const int hours = scan.number(2);
    scan.literal(":");
    offset = std::chrono::hours(hours) + std::chrono::minutes(scan.number(2));
    if (west) offset = -offset;
  }
  if (!scan.done()) return std::nullopt;
  const auto local = time_of(year, static_cast<unsigned>(month), day, hour, minute, second);
  if (!local) return std::nullopt;
  return *local + fraction - offset;
}

std::optional<double> number_from(std::string_view text) {
  double value = 0;
  const auto [stopped, problem] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  const bool whole = stopped == text.data() + text.size();
  if (problem != std::errc() || !whole || !std::isfinite(value) || std::signbit(value)) return std::nullopt;
  return value;
}

std::chrono::milliseconds wait_from(double milliseconds) {
  const auto longest = static_cast<double>(kLongestWait.count());
  return std::chrono::milliseconds(static_cast<int64_t>(std::ceil(std::clamp(milliseconds, 0.0, longest))));
}

std::optional<std::chrono::milliseconds> go_duration_from(std::string_view text) {
  if (text == "0") return 0ms;
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
    const auto value = number_from(text.substr(0, digits));
    if (!value) return std::nullopt;
    text.remove_prefix(digits);
    const auto* const unit =
        std::ranges::find_if(kUnits, [&](const Unit& candidate) { return text.starts_with(candidate.name); });
    if (unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(unit->name.size());
    total += *value * unit->milliseconds;
  }
  // Decimal fractions are not exact in binary: 0.1s + 20ms must not become 121 ms.
  return wait_from(std::floor(total) + (total - std::floor(total) > 1e-6 ? 1 : 0));
}

}  // namespace assay::llm
