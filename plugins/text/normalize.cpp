#include "plugins/text/normalize.hpp"

#include <utf8proc.h>

#include <algorithm>

#include "plugins/text/utf8.hpp"

namespace assay::text {
namespace {

bool is_ascii_punctuation(char c) {
  return c > ' ' && c < 0x7F && !is_ascii_letter(c) && !is_ascii_digit(c);
}

bool is_cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

/// The two letters whose lower case depends on more than themselves, and all others.
void append_lower(std::string& out, char32_t previous, char32_t c, std::string_view rest) {
  constexpr char32_t kDottedI = 0x130;
  constexpr char32_t kSigma = 0x3A3;
  constexpr char32_t kFinalSigma = 0x3C2;
  if (c == kDottedI) {
    out += "i\u0307";
  } else if (c == kSigma && is_cased(previous) && (rest.empty() || !is_cased(take_code_point(rest)))) {
    append_utf8(out, kFinalSigma);
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
  }
}

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  char32_t previous = 0;
  while (!text.empty()) {
    const char32_t c = take_code_point(text);
    if (c < 0x80) {
      out += ascii_lower(static_cast<char>(c));
    } else {
      append_lower(out, previous, c, text);
    }
    previous = c;
  }
  return out;
}

void remove_punctuation(std::string& text) {
  std::erase_if(text, is_ascii_punctuation);
}

bool is_article(std::string_view word) {
  return word == "a" || word == "an" || word == "the";
}

/// A space in place of every article that stands as a word of its own.
std::string remove_articles(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto add_word = [&out](std::string_view word) {
    out += is_article(word) ? std::string_view(" ") : word;
  };
  std::string_view rest = text;
  const char* word = rest.data();
  while (!rest.empty()) {
    const char* at = rest.data();
    if (is_word_character(take_code_point(rest))) continue;
    add_word({word, at});
    out += std::string_view(at, rest.data());
    word = rest.data();
  }
  add_word({word, text.data() + text.size()});
  return out;
}

/// In place: what is written is never longer than what was read.
void collapse_space(std::string& text) {
  size_t end = 0;
  bool pending = false;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t begin = text.size() - rest.size();
    const bool space = is_space(take_code_point(rest));
    const size_t size = text.size() - rest.size() - begin;
    if (space) {
      pending = end > 0;
      continue;
    }
    if (pending) text[end++] = ' ';
    pending = false;
    std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(begin), size,
                text.begin() + static_cast<std::ptrdiff_t>(end));
    end += size;
  }
  text.resize(end);
}

}  // namespace

std::string normalize(std::string_view text, const Normalization& normalization) {
  std::string result = normalization.lowercase ? lower(text) : std::string(text);
  if (normalization.remove_punctuation) remove_punctuation(result);
  if (normalization.remove_articles) result = remove_articles(result);
  if (normalization.collapse_space) collapse_space(result);
  return result;
}

}  // namespace assay::text
