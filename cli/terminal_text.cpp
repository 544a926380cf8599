#include "cli/terminal_text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <span>

#include "core/json.hpp"

namespace assay::cli {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct Range {
  char32_t first, last;
};
/// Sorted. Wide and emoji blocks of UAX #11, coarsely: a column too many in a rare script is no harm.
constexpr std::array<Range, 11> kWide = {{{0x1100, 0x115F},
                                          {0x2E80, 0x303E},
                                          {0x3041, 0xA4CF},
                                          {0xAC00, 0xD7A3},
                                          {0xF900, 0xFAFF},
                                          {0xFE30, 0xFE6F},
                                          {0xFF00, 0xFF60},
                                          {0xFFE0, 0xFFE6},
                                          {0x1F300, 0x1F64F},
                                          {0x1F680, 0x1FAFF},
                                          {0x20000, 0x3FFFD}}};
constexpr std::array<Range, 6> kNoWidth = {{{0x300, 0x36F},
                                            {0x1AB0, 0x1AFF},
                                            {0x1DC0, 0x1DFF},
                                            {0x200B, 0x200D},
                                            {0x20D0, 0x20FF},
                                            {0xFE00, 0xFE0F}}};
/// Characters that command the terminal or reorder the text around them.
constexpr std::array<Range, 5> kHarmful = {
    {{0x00, 0x1F}, {0x7F, 0x9F}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069}}};

bool is_in(std::span<const Range> ranges, char32_t c) {
  return std::ranges::any_of(ranges, [c](const Range& range) { return c >= range.first && c <= range.last; });
}

struct Character {
  char32_t code;
  size_t bytes;
};

/// The first character of text that is valid UTF-8 and not empty.
Character first_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return {lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  char32_t code = lead & (0xFFU >> (bytes + 1));
  for (const char c : text.substr(1, bytes - 1)) code = (code << 6) | (static_cast<unsigned char>(c) & 0x3F);
  return {code, bytes};
}

size_t width_of(char32_t c) {
  if (c < 0x300) return 1;
  if (is_in(kNoWidth, c)) return 0;
  return is_in(kWide, c) ? 2 : 1;
}

std::string formatted(const char* format, double value) {
  std::array<char, 400> text{};  // the longest double written out has 309 digits before the point
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

}  // namespace

std::string printable(std::string_view text) {
  const std::string valid = to_valid_utf8(text);
  std::string out;
  out.reserve(valid.size());
  for (std::string_view rest = valid; !rest.empty();) {
    const auto [code, bytes] = first_character(rest);
    if (code == '\n' || code == '\r' || code == '\t')
      out += ' ';
    else if (is_in(kHarmful, code))
      out += kReplacement;
    else
      out += rest.substr(0, bytes);
    rest.remove_prefix(bytes);
  }
  return out;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    const auto [code, bytes] = first_character(text);
    width += width_of(code);
    text.remove_prefix(std::min(bytes, text.size()));
  }
  return width;
}

std::string clipped(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::string out;
  size_t used = 0;
  while (!text.empty()) {
    const auto [code, bytes] = first_character(text);
    if (used + width_of(code) > width - 1) break;
    used += width_of(code);
    out += text.substr(0, bytes);
    text.remove_prefix(bytes);
  }
  return out + "…";
}

std::string padded_right(std::string_view text, size_t width) {
  const size_t used = display_width(text);
  return std::string(text) + std::string(width - std::min(used, width), ' ');
}

std::string padded_left(std::string_view text, size_t width) {
  const size_t used = display_width(text);
  return std::string(width - std::min(used, width), ' ') + std::string(text);
}

std::string with_thousands(uint64_t value) {
  std::string text = std::to_string(value);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string decimal(double value, int digits) {
  std::string text = formatted(("%." + std::to_string(digits) + "f").c_str(), value);
  if (text.contains('.')) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

std::string percent(double value) {
  return formatted("%.1f %%", 100 * value);
}

std::string duration_text(double milliseconds) {
  if (milliseconds < 10) return decimal(milliseconds, 2) + " ms";
  if (milliseconds < 1000) return decimal(milliseconds, 0) + " ms";
  if (milliseconds < 60'000) return decimal(milliseconds / 1000, 1) + " s";
  const auto seconds = static_cast<uint64_t>(milliseconds / 1000);
  if (seconds < 3600) return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
  return with_thousands(seconds / 3600) + " h " + std::to_string(seconds / 60 % 60) + " min";
}

std::string age_text(int64_t milliseconds) {
  // Clocks of two machines: a little in the future is now, too.
  constexpr int64_t kNow = 2;
  const int64_t seconds = std::max<int64_t>(milliseconds / 1000, 0);
  if (seconds < kNow) return "now";
  if (seconds < 60) return std::to_string(seconds) + " s ago";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min ago";
  if (seconds < 48 * 3600) return std::to_string(seconds / 3600) + " h ago";
  return std::to_string(seconds / 86400) + " d ago";
}

std::string bytes_text(uint64_t bytes) {
  static constexpr std::array<const char*, 5> kUnits = {" B", " KB", " MB", " GB", " TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  return decimal(value, unit == 0 ? 0 : 1) + kUnits.at(unit);
}

}  // namespace assay::cli
