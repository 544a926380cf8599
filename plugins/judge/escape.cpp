#include "plugins/judge/escape.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "plugins/common/text.hpp"
#include "plugins/judge/common.hpp"

namespace assay::judge {
namespace {

constexpr int kRounds = 4;
constexpr std::string_view kMarks = "\\&%";

struct Escape {
  size_t length = 0;  ///< bytes; 0: none begins here
  char32_t value = 0;
  bool shown = true;  ///< false for a backslash that stands for nothing
};

struct Named {
  std::string_view name;
  char32_t value;
};
constexpr std::array<Named, 11> kNamed = {{{"quot;", U'"'},
                                           {"apos;", U'\''},
                                           {"amp;", U'&'},
                                           {"lt;", U'<'},
                                           {"gt;", U'>'},
                                           {"nbsp;", U' '},
                                           {"colon;", U':'},
                                           {"lbrace;", U'{'},
                                           {"rbrace;", U'}'},
                                           {"lbrack;", U'['},
                                           {"rbrack;", U']'}}};

/// A number of `most` digits at the beginning of `text`, at least `least` of them.
Escape number(std::string_view text, int base, size_t least, size_t most) {
  uint32_t value = 0;
  const std::string_view digits = text.substr(0, most);
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  const auto length = static_cast<size_t>(end - digits.data());
  if (problem != std::errc() || length < least || value > 0x10FFFF) return {};
  return {length, value};
}

/// The same between `opening` (which is passed) and the character `closing`.
Escape enclosed(std::string_view text, size_t opening, int base, char closing) {
  if (opening > text.size()) return {};
  const Escape inner = number(text.substr(opening), base, 1, 8);
  const size_t end = opening + inner.length;
  if (inner.length == 0 || end >= text.size() || text[end] != closing) return {};
  return {end + 1, inner.value};
}

/// What is behind the backslashes.
Escape behind_backslash(std::string_view text) {
  if (text.empty()) return {0, 0, false};
  const auto with_letter = [](Escape digits) {
    return digits.length == 0 ? Escape{0, 0, false} : Escape{digits.length + 1, digits.value};
  };
  switch (text.front()) {
    case 'u':
      if (text.starts_with("u{")) return enclosed(text, 2, 16, '}');
      return with_letter(number(text.substr(1), 16, 4, 4));
    case 'U':
      return with_letter(number(text.substr(1), 16, 8, 8));
    case 'x':
      return with_letter(number(text.substr(1), 16, 2, 2));
    case 'n':
    case 'r':
      return {1, U'\n'};
    case 't':
      return {1, U'\t'};
    default:
      return {0, 0, false};
  }
}

Escape backslashes(std::string_view text) {
  const size_t run = std::min(text.find_first_not_of('\\'), text.size());
  Escape escape = behind_backslash(text.substr(run));
  if (escape.length == 0) escape.shown = false;
  escape.length += run;
  return escape;
}

/// A character beyond U+FFFF that JSON writes as two escapes.
Escape with_low_surrogate(std::string_view text, Escape high) {
  if (!high.shown || high.value < 0xD800 || high.value > 0xDBFF) return high;
  if (!text.substr(high.length).starts_with('\\')) return high;
  const Escape low = backslashes(text.substr(high.length));
  if (!low.shown || low.value < 0xDC00 || low.value > 0xDFFF) return high;
  return {high.length + low.length, 0x10000 + ((high.value - 0xD800) << 10U) + (low.value - 0xDC00)};
}

Escape reference(std::string_view text) {
  if (text.starts_with("&#x") || text.starts_with("&#X")) return enclosed(text, 3, 16, ';');
  if (text.starts_with("&#")) return enclosed(text, 2, 10, ';');
  for (const Named& named : kNamed) {
    if (text.substr(1).starts_with(named.name)) return {1 + named.name.size(), named.value};
  }
  return {};
}

Escape percent(std::string_view text) {
  Escape digits = number(text.substr(1), 16, 2, 2);
  if (digits.length == 0 || digits.value >= 0x80) return {};
  ++digits.length;
  return digits;
}

Escape escape_at(std::string_view text) {
  if (text.front() == '\\') return with_low_surrogate(text, backslashes(text));
  return text.front() == '&' ? reference(text) : percent(text);
}

std::string unescaped_once(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t plain = std::min(text.find_first_of(kMarks), text.size());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const Escape escape = escape_at(text);
    if (escape.length == 0) {
      out.push_back(text.front());
    } else if (escape.shown) {
      append_utf8(out, escape.value >= 0xD800 && escape.value <= 0xDFFF ? 0xFFFD : escape.value);
    }
    text.remove_prefix(std::max<size_t>(escape.length, 1));
  }
  return out;
}

}  // namespace

bool has_escapes(std::string_view text) noexcept {
  return text.find_first_of(kMarks) != std::string_view::npos;
}

std::string unescaped(std::string_view text) noexcept {
  std::string out = unescaped_once(text);
  for (int round = 1; round < kRounds && has_escapes(out); ++round) {
    std::string again = unescaped_once(out);
    if (again == out) break;
    out = std::move(again);
  }
  return out;
}

}  // namespace assay::judge
