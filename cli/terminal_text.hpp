// Text for people on a terminal: safe to print, cut and padded by the columns it takes, numbers as people
// write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace assay::cli {

/// `text` on one line and harmless: line breaks and tabs become blanks; other control characters, among them
/// the escape that begins terminal commands, and the marks that reorder text (bidi) become U+FFFD, as bytes
/// that are no UTF-8 do.
std::string printable(std::string_view text);

/// Columns that printable text takes: 2 for wide East Asian characters and emoji, 0 for combining marks.
size_t display_width(std::string_view text);
/// At most `width` columns of printable text, with … where it was cut.
std::string clipped(std::string_view text, size_t width);
/// Blanks to make `width` columns: behind the text, or before it.
std::string padded_right(std::string_view text, size_t width);
std::string padded_left(std::string_view text, size_t width);

/// 17204 as "17,204".
std::string with_thousands(uint64_t value);
/// `value` with at most `digits` decimals and no trailing zeros: 0.5625, 12, -0.1.
std::string decimal(double value, int digits);
/// 0.5625 as "56.3 %".
std::string percent(double value);
/// Milliseconds as "0.21 ms", "12 ms", "3.4 s", "2 min 5 s".
std::string duration_text(double milliseconds);
/// Milliseconds since something was: "now" within the first seconds, then "25 s ago", "2 min ago", "3 h ago",
/// "5 d ago".
std::string age_text(int64_t milliseconds);
/// "512 B", "1.5 KB", "3.2 GB".
std::string bytes_text(uint64_t bytes);

}  // namespace assay::cli
