// Text as code points. Input is UTF-8; bytes that are none are read as U+FFFD, so nothing here can fail.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plugins/common/text.hpp"

namespace assay::text {

/// Takes the first code point off `text`, which is not empty.
char32_t take_code_point(std::string_view& text);

std::u32string code_points(std::string_view text);
using plugins::append_utf8;

bool is_ascii(std::string_view text);
/// White space as Python's `str.isspace` has it: Unicode's, and the separators U+001C to U+001F.
bool is_space(char32_t code_point);
/// A letter, digit or underscore of any script: `\w` of Python's `re`.
bool is_word_character(char32_t code_point);

/// The words between white space, as views into `text`: Python's `str.split()`.
std::vector<std::string_view> split_words(std::string_view text);
/// `text` without white space at its end.
std::string_view strip_end(std::string_view text);

/// `text` with its ASCII letters lowered, as a cheap case-insensitive search needs.
constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
constexpr bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace assay::text
