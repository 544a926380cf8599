#include "plugins/text/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>

namespace assay::text {

char32_t take_code_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  const plugins::CodePoint point = first < 0x80 ? plugins::CodePoint{first, 1} : plugins::decode(text, 0);
  text.remove_prefix(point.length);
  return point.value;
}

std::u32string code_points(std::string_view text) {
  std::u32string result;
  result.reserve(text.size());
  while (!text.empty()) result += take_code_point(text);
  return result;
}

bool is_ascii(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

bool is_space(char32_t c) {
  if (c < 0x80) return (c >= 0x9 && c <= 0xD) || (c >= 0x1C && c <= 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word_character(char32_t c) {
  if (c < 0x80)
    return is_ascii_letter(static_cast<char>(c)) || is_ascii_digit(static_cast<char>(c)) || c == '_';
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  std::string_view rest = text;
  const char* word = nullptr;  // where the current word begins
  while (!rest.empty()) {
    const char* at = rest.data();
    if (!is_space(take_code_point(rest))) {
      if (word == nullptr) word = at;
      continue;
    }
    if (word != nullptr) words.emplace_back(word, at);
    word = nullptr;
  }
  if (word != nullptr) words.emplace_back(word, text.data() + text.size());
  return words;
}

std::string_view strip_end(std::string_view text) {
  std::string_view rest = text;
  size_t end = 0;
  while (!rest.empty()) {
    const bool space = is_space(take_code_point(rest));
    if (!space) end = text.size() - rest.size();
  }
  return text.substr(0, end);
}

}  // namespace assay::text
