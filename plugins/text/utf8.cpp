#include "plugins/text/utf8.hpp"

#include <utf8proc.h>

#include <algorithm>

namespace assay::text {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

struct Lead {
  int continuation_bytes;  ///< -1: no first byte
  char32_t bits;
  unsigned char second_low, second_high;  ///< what the second byte may be (Unicode, table 3-7)
};

Lead lead_of(unsigned char byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {1, byte & 0x1FU, 0x80, 0xBF};
  if (byte == 0xE0) return {2, 0, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0xD, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {2, byte & 0xFU, 0x80, 0xBF};
  if (byte == 0xF0) return {3, 0, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {3, byte & 7U, 0x80, 0xBF};
  if (byte == 0xF4) return {3, 4, 0x80, 0x8F};
  return {-1, 0, 0, 0};
}

}  // namespace

char32_t take_code_point(std::string_view& text) {
  const auto first = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  if (first < 0x80) return first;
  Lead lead = lead_of(first);
  if (lead.continuation_bytes < 0) return kReplacement;
  char32_t result = lead.bits;
  for (int i = 0; i < lead.continuation_bytes; ++i) {
    if (text.empty()) return kReplacement;
    const auto byte = static_cast<unsigned char>(text.front());
    if (byte < lead.second_low || byte > lead.second_high) return kReplacement;
    lead.second_low = 0x80;
    lead.second_high = 0xBF;
    result = result << 6 | (byte & 0x3FU);
    text.remove_prefix(1);
  }
  return result;
}

std::u32string code_points(std::string_view text) {
  std::u32string result;
  result.reserve(text.size());
  while (!text.empty()) result += take_code_point(text);
  return result;
}

void append_utf8(std::string& out, char32_t code_point) {
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
    return;
  }
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
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
