#include "sandbox/runtime/lua/text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace assay::sandbox::lua {
namespace {

// Not <cctype>: what a letter is does not depend on a locale here.
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_letter(char c) {
  return is_upper(c) || (c >= 'a' && c <= 'z');
}
bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}
bool is_word(char c) {
  return is_letter(c) || is_digit(c) || !is_ascii(c);
}
bool is_punctuation(char c) {
  return c > ' ' && c < 0x7F && !is_letter(c) && !is_digit(c);
}

constexpr size_t kLongestNumber =
    400;  // characters kept of one number; what is longer is no answer to anything

bool is_article(std::string_view word) {
  return word == "a" || word == "an" || word == "the";
}

}  // namespace

std::optional<double> NumberScanner::next() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    const bool point = c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]);
    if (is_digit(c) || point) {
      if (const auto value = number_at(at_)) return value;
    } else {
      at_++;
    }
  }
  return std::nullopt;
}

size_t NumberScanner::digits_from(size_t at) const {
  const size_t start = at;
  while (at < text_.size() && is_digit(text_[at])) at++;
  return at - start;
}

// Reads the number that starts at `start` and moves past it.
std::optional<double> NumberScanner::number_at(size_t start) {
  char digits[kLongestNumber + 1];
  size_t size = 0;
  const auto keep = [&](size_t from, size_t count) {
    for (size_t i = from; i < from + count && size < kLongestNumber; i++) digits[size++] = text_[i];
  };
  size_t sign = start;
  if (sign > 0 && text_[sign - 1] == '$') sign--;
  if (sign > 0 && text_[sign - 1] == '-' && (sign == 1 || !is_word(text_[sign - 2]))) digits[size++] = '-';

  const size_t leading = digits_from(start);
  keep(start, leading);
  at_ = start + leading;
  while (leading >= 1 && leading <= 3 && at_ < text_.size() && text_[at_] == ',' &&
         digits_from(at_ + 1) == 3) {
    keep(at_ + 1, 3);
    at_ += 4;
  }
  if (at_ < text_.size() && text_[at_] == '.' && digits_from(at_ + 1) > 0) {
    const size_t count = digits_from(at_ + 1);
    if (leading == 0) digits[size++] = '0';
    keep(at_, count + 1);
    at_ += count + 1;
  }
  if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
    const bool is_signed = at_ + 1 < text_.size() && (text_[at_ + 1] == '-' || text_[at_ + 1] == '+');
    const size_t count = digits_from(at_ + 1 + (is_signed ? 1 : 0));
    if (count > 0) {
      keep(at_, 1 + (is_signed ? 1 : 0) + count);
      at_ += 1 + (is_signed ? 1 : 0) + count;
    }
  }
  double value = 0;
  if (std::from_chars(digits, digits + size, value).ec != std::errc() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

std::optional<double> whole_number_text(std::string_view text) {
  const auto trim = [&](auto unwanted) {
    while (!text.empty() && unwanted(text.front())) text.remove_prefix(1);
    while (!text.empty() && unwanted(text.back())) text.remove_suffix(1);
  };
  trim(is_space);
  if (text.ends_with('%')) text.remove_suffix(1);
  trim(is_space);
  const size_t start = text.find_first_of("0123456789.");
  // Everything before the digits is sign and currency, and nothing follows them.
  for (const char c : text.substr(0, start))
    if (c != '-' && c != '+' && c != '$') return std::nullopt;
  NumberScanner scanner(text);
  const auto value = scanner.next();
  if (!value) return std::nullopt;
  const bool trailing =
      is_digit(text.back()) || (text.back() == '.' && text.size() > 1 && is_digit(text[text.size() - 2]));
  if (!trailing || scanner.next()) return std::nullopt;
  for (const char c : text.substr(start))
    if (!is_digit(c) && c != ',' && c != '.' && c != 'e' && c != 'E' && c != '-' && c != '+')
      return std::nullopt;
  return value;
}

std::optional<std::string_view> WordScanner::next() {
  while (at_ < text_.size() && !is_word(text_[at_])) at_++;
  if (at_ == text_.size()) return std::nullopt;
  const size_t start = at_;
  const auto inner_apostrophe = [&] {
    return text_[at_] == '\'' && at_ + 1 < text_.size() && is_word(text_[at_ + 1]);
  };
  while (at_ < text_.size() && (is_word(text_[at_]) || inner_apostrophe())) at_++;
  return text_.substr(start, at_ - start);
}

size_t normalise(std::string_view text, char* out) {
  size_t size = 0;
  size_t word = 0;  // where the word being written starts
  const auto end_word = [&] {
    if (size == word) return;
    if (is_article({out + word, size - word}))
      size = word;
    else
      out[size++] = ' ';
    word = size;
  };
  for (const char c : text) {
    if (is_space(c))
      end_word();
    else if (!is_punctuation(c))
      out[size++] = is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  }
  // The last word: a blank after it would be one byte more than the text had.
  if (is_article({out + word, size - word})) size = word;
  while (size > 0 && out[size - 1] == ' ') size--;
  return size;
}

size_t levenshtein(const uint32_t* a, size_t a_size, const uint32_t* b, size_t b_size, uint32_t* row) {
  std::iota(row, row + b_size + 1, 0U);
  for (size_t i = 0; i < a_size; i++) {
    uint32_t diagonal = row[0];
    row[0] = static_cast<uint32_t>(i) + 1;
    for (size_t j = 0; j < b_size; j++) {
      const uint32_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, diagonal + 1, row[j] + 1});
    }
  }
  return row[b_size];
}

}  // namespace assay::sandbox::lua
