#include "plugins/judge/echo.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "plugins/common/text.hpp"
#include "plugins/judge/common.hpp"
#include "plugins/judge/escape.hpp"
#include "plugins/judge/fold.hpp"

namespace assay::judge {
namespace {

/// What becomes of an ASCII character in the comparable form.
enum class Part : unsigned char { word, punctuation, blank, line_end, backslash, dropped };
constexpr auto kParts = [] {
  std::array<Part, 128> parts{};
  parts.fill(Part::word);
  for (size_t control = 0; control < ' '; ++control) parts.at(control) = Part::dropped;
  for (const char c : std::string_view("`*_\x7f")) parts.at(static_cast<size_t>(c)) = Part::dropped;
  for (const char c : std::string_view(" \t\r\"'")) parts.at(static_cast<size_t>(c)) = Part::blank;
  for (const char c : std::string_view(":{}[],=")) parts.at(static_cast<size_t>(c)) = Part::punctuation;
  parts['\n'] = Part::line_end;
  parts['\\'] = Part::backslash;
  return parts;
}();
constexpr size_t kShortLabel = 3;         // a shorter one is in every text, unless as a word
constexpr size_t kParenthesesLimit = 64;  // "(1-5)" between a key and its colon

/// Punctuation beyond ASCII that looks like none of it.
bool is_blank_punctuation(char32_t c) {
  return (c >= 0xA1 && c <= 0xBF) || (c >= 0x2010 && c <= 0x205E) || (c >= 0x3000 && c <= 0x303F);
}

/// Puts the comparable form together. Line ends are kept when `lines` says so, else they are blanks.
class Squeezer {
 public:
  Squeezer(size_t size, bool lines, bool backslashes) : lines_(lines), backslashes_(backslashes) {
    out_.reserve(size);
  }

  void add(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      if (static_cast<unsigned char>(text[at]) < 0x80) {
        add_ascii(lower(text[at++]));
        continue;
      }
      const CodePoint point = decode(text, at);
      add_other(point.value, text.substr(at, point.length));
      at += point.length;
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void add_ascii(char c) {
    switch (kParts[static_cast<unsigned char>(c)]) {
      case Part::word:
        return put(c, false);
      case Part::punctuation:
        return put(c, true);
      case Part::blank:
        blank_ = true;
        return;
      case Part::line_end:
        return add_line_end();
      case Part::backslash:
        if (backslashes_) put(c, false);
        return;
      case Part::dropped:
        return;
    }
  }

  void add_other(char32_t shown, std::string_view bytes) {
    if (shown == 0x2028 || shown == 0x2029) return add_line_end();
    if (shown == U'⟦' || shown == U'⟧' || is_invisible(shown) || is_combining(shown)) return;
    const char c = fold(shown);
    if (c != '\1') return add_ascii(c);
    if (is_blank_punctuation(shown)) {
      blank_ = true;
      return;
    }
    separate(false);
    out_ += bytes;
  }

  void add_line_end() {
    if (lines_) {
      out_.push_back('\n');
      joined_ = true;
    }
    blank_ = !lines_;
  }

  void put(char c, bool punctuation) {
    separate(punctuation);
    out_.push_back(c);
    joined_ = punctuation;
  }

  /// A blank, unless there is punctuation or a line's end at one of its sides.
  void separate(bool punctuation) {
    if (blank_ && !joined_ && !punctuation) out_.push_back(' ');
    blank_ = false;
    joined_ = false;
  }

  std::string out_;
  bool lines_;
  bool backslashes_;  // are kept
  bool blank_ = false;
  bool joined_ = true;  // what comes next follows without a blank
};

std::string squeezed(std::string_view text, bool lines, bool backslashes = false) {
  Squeezer squeezer(text.size(), lines, backslashes);
  squeezer.add(text);
  return squeezer.take();
}

size_t first_word(std::string_view form, size_t at) {
  while (at < form.size() && !is_word(form[at])) ++at;
  return at;
}

std::string only_words(std::string_view form) {
  std::string out;
  std::ranges::copy_if(form, std::back_inserter(out), is_word);
  return out;
}

/// A value as it is looked for.
class Wanted {
 public:
  explicit Wanted(const Value& value)
      : number_(value.label.empty()), score_(std::abs(value.score)), label_(squeezed(value.label, false)) {
    const size_t begin = first_word(label_, 0);
    size_t end = label_.size();
    while (end > begin && !is_word(label_[end - 1])) --end;
    label_ = label_.substr(begin, end - begin);
  }

  bool is_number() const { return number_; }
  const std::string& label() const { return label_; }

  /// Behind the value, if it begins with the word at `at`; npos if it does not. Signs do not count.
  size_t end_at(std::string_view form, size_t at) const {
    if (at >= form.size()) return std::string_view::npos;
    if (!number_) return end_of_label(form, at);
    const size_t end = end_of_number(form, at);
    const bool fraction = end == std::string_view::npos && at > 0 && form[at - 1] == '.';
    return fraction ? end_of_number(form, at - 1) : end;
  }

 private:
  size_t end_of_label(std::string_view form, size_t at) const {
    if (label_.empty() || !form.substr(at).starts_with(label_)) return std::string_view::npos;
    const size_t end = at + label_.size();
    return end < form.size() && is_word(form[end]) ? std::string_view::npos : end;
  }

  size_t end_of_number(std::string_view form, size_t at) const {
    double number = 0;
    const auto [end, problem] = std::from_chars(form.data() + at, form.data() + form.size(), number);
    const bool same = problem == std::errc() && (number == score_ || number / 100 == score_);
    return same ? static_cast<size_t>(end - form.data()) : std::string_view::npos;
  }

  bool number_;
  double score_;
  std::string label_;  // its words, as they are in the comparable form
};

/// Whether `word` is in `text`, not as a part of a longer word or number.
bool stands_in(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || !is_word(text[at - 1]) || !is_word(word.front());
    const bool ends = end == text.size() || !is_word(text[end]) || !is_word(word.back());
    if (begins && ends) return true;
  }
  return false;
}

/// Where the value behind a key begins; npos where no colon is between.
size_t behind_separator(std::string_view form, size_t at) {
  bool separated = false;
  bool parentheses = false;
  for (; at < form.size() && !is_word(form[at]); ++at) {
    separated = separated || form[at] == ':' || form[at] == '=';
    if (form[at] != '(' || parentheses) continue;
    parentheses = true;
    const size_t close = form.substr(at, kParenthesesLimit).find(')');
    if (close != std::string_view::npos) at += close;
  }
  return separated ? at : std::string_view::npos;
}

bool has_keyed(std::string_view form, std::string_view key, const Wanted& wanted) {
  for (size_t at = form.find(key); at != std::string_view::npos; at = form.find(key, at + key.size())) {
    if (wanted.end_at(form, behind_separator(form, at + key.size())) != std::string_view::npos) return true;
  }
  return false;
}

bool has_brackets(std::string_view form, const Wanted& wanted) {
  for (size_t at = form.find("[["); at != std::string_view::npos; at = form.find("[[", at)) {
    at = first_word(form, at);
    if (wanted.end_at(form, at) != std::string_view::npos) return true;
  }
  return false;
}

/// Whether what is behind a value leaves the line a verdict: nothing, a remark, the number's scale, a model's
/// control token.
bool ends_line(std::string_view rest, bool number) {
  const std::string_view left = trim(rest);
  if (first_word(left, 0) == left.size()) return true;
  if (number) return left.find_first_of("/%<") == 0 || left.starts_with("out of");
  return !is_word(left.front());
}

/// In a line, or in a table's cell.
bool has_line(std::string_view form, const Wanted& wanted) {
  while (!form.empty()) {
    const std::string_view line = form.substr(0, form.find_first_of("\n|"));
    const size_t end = wanted.end_at(line, first_word(line, 0));
    if (end != std::string_view::npos && ends_line(line.substr(end), wanted.is_number())) return true;
    form.remove_prefix(std::min(line.size() + 1, form.size()));
  }
  return false;
}

bool has_number(std::string_view form, const Wanted& wanted) {
  for (size_t at = 0; at < form.size(); ++at) {
    const bool begins = is_digit(form[at]) && (at == 0 || !is_digit(form[at - 1]));
    if (begins && wanted.end_at(form, at) != std::string_view::npos) return true;
  }
  return false;
}

bool is_beyond_ascii(char c) {
  return static_cast<unsigned char>(c) >= 0x80;
}

/// Whether characters could be shown in another order than they stand in.
bool has_directions(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kDirections = {"\u202B", "\u202E", "\u2067", "\u200F"};
  return std::ranges::any_of(
      kDirections, [text](std::string_view mark) { return text.find(mark) != std::string_view::npos; });
}

/// Whether `found` holds of one of the texts: as it is, with its escapes undone (also those that are
/// disguised themselves), or backwards where marks of direction may show it so.
template <class Found>
bool any_form(std::span<const std::string> judged, bool lines, const Found& found) {
  return std::ranges::any_of(judged, [&](const std::string& text) {
    std::string form = squeezed(text, lines);
    if (found(form)) return true;
    if (has_escapes(text) && found(squeezed(unescaped(text), lines))) return true;
    if (std::ranges::none_of(text, is_beyond_ascii)) return false;
    if (const std::string bare = squeezed(text, lines, true);
        has_escapes(bare) && found(squeezed(unescaped(bare), lines)))
      return true;
    if (!has_directions(text)) return false;
    std::ranges::reverse(form);
    return found(form);
  });
}

}  // namespace

bool occurs_in(const Claim& claim, const Value& value, std::span<const std::string> judged) noexcept {
  const Wanted wanted(value);
  if (claim.form == Claim::Form::line) {
    return any_form(judged, true, [&](const std::string& form) { return has_line(form, wanted); });
  }
  std::vector<std::string> written;
  for (const std::string& bytes : claim.written) written.emplace_back(trim(squeezed(bytes, false), " ."));
  return any_form(judged, false, [&](const std::string& form) {
    const auto stands = [&](const std::string& bytes) { return !bytes.empty() && stands_in(form, bytes); };
    const auto keyed = [&](const std::string& key) { return has_keyed(form, key, wanted); };
    return std::ranges::any_of(written, stands) || std::ranges::any_of(claim.keys, keyed) ||
           (claim.form == Claim::Form::brackets && has_brackets(form, wanted));
  });
}

bool mentioned_in(const Value& value, std::span<const std::string> judged) noexcept {
  const Wanted wanted(value);
  const std::string letters = only_words(wanted.label());
  const std::string backwards(letters.rbegin(), letters.rend());
  return any_form(judged, false, [&](const std::string& form) {
    if (wanted.is_number()) return has_number(form, wanted);
    if (letters.size() < kShortLabel && !letters.empty()) return stands_in(form, letters);
    const std::string words = only_words(form);
    return words.find(letters) != std::string::npos || words.find(backwards) != std::string::npos;
  });
}

}  // namespace assay::judge
