// Small things about text: UTF-8, ASCII case, trimming.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace assay::plugins {

/// One code point of a text. What is no UTF-8 is taken up to the first byte that cannot go on and read as
/// U+FFFD, as browsers and Python's `errors="replace"` do.
struct CodePoint {
  char32_t value = 0;
  size_t length = 0;  ///< bytes it takes in the text; 0 only at the end of the text
};
CodePoint decode(std::string_view text, size_t offset) noexcept;
void append_utf8(std::string& out, char32_t code_point) noexcept;

/// The longest beginning (end) of `text` of at most `bytes` bytes that splits no code point.
std::string_view head(std::string_view text, size_t bytes) noexcept;
std::string_view tail(std::string_view text, size_t bytes) noexcept;

/// At most `bytes` bytes of `text`, valid UTF-8, an ellipsis where it was cut.
std::string bounded(std::string_view text, size_t bytes) noexcept;

/// Without blanks and line ends at both sides.
std::string_view trim(std::string_view text) noexcept;
/// Without any of `characters` at both sides.
std::string_view trim(std::string_view text, std::string_view characters) noexcept;

inline bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}
inline char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
/// A letter, a digit, `_`, or any byte of a character beyond ASCII.
inline bool is_word(char c) noexcept {
  return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
/// ASCII letters in lower case, the rest as it is.
std::string lower(std::string_view text) noexcept;
bool equal_ignoring_case(std::string_view left, std::string_view right) noexcept;

}  // namespace assay::plugins
