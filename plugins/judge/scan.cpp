#include "plugins/judge/scan.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "plugins/common/json.hpp"
#include "plugins/common/text.hpp"
#include "plugins/judge/common.hpp"

namespace assay::judge {
namespace {

constexpr size_t kObjectsLimit = 64;
constexpr size_t kScanFactor = 8;  // bytes looked at, as a multiple of the text's size
constexpr size_t kBracketLimit = 64;
constexpr std::string_view kLineMarks = " \t\r*_#`-";

constexpr std::array<std::string_view, 4> kAdjectives = {"final", "overall", "my", "the"};
constexpr std::array<std::string_view, 13> kLineKeys = {
    "grade",  "score",    "rating",    "verdict",  "answer", "choice",    "label",
    "result", "decision", "judgement", "judgment", "winner", "preference"};

/// Behind the brace that closes the one at `begin`; npos when none does.
size_t closing_brace(std::string_view text, size_t begin) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t at = begin; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return std::string_view::npos;
}

/// Behind the JSON string that begins at `at`.
size_t behind_string(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

/// Behind the JSON value that begins at `at` in an object: its comma or the object's brace.
size_t behind_value(std::string_view text, size_t at) {
  for (size_t depth = 0; at < text.size();) {
    const char c = text[at];
    if (c == '"') {
      at = behind_string(text, at);
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}')) break;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    ++at;
  }
  return at;
}

std::string_view word_at(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && lower(text[end]) >= 'a' && lower(text[end]) <= 'z') ++end;
  return text.substr(0, end);
}

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::ranges::any_of(words, [word](std::string_view one) { return equal_ignoring_case(one, word); });
}

void skip(std::string_view& text, std::string_view characters) {
  text.remove_prefix(std::min(text.find_first_not_of(characters), text.size()));
}

/// "(1-5)" between the key and the colon.
void skip_parentheses(std::string_view& text) {
  if (!text.starts_with('(')) return;
  const size_t close = text.substr(0, kBracketLimit).find(')');
  if (close != std::string_view::npos) text.remove_prefix(close + 1);
}

bool skip_colon(std::string_view& text) {
  for (const std::string_view colon :
       {std::string_view(":"), std::string_view("="), std::string_view("：")}) {
    if (!text.starts_with(colon)) continue;
    text.remove_prefix(colon.size());
    return true;
  }
  return false;
}

struct Keyed {
  std::string_view key;
  std::string_view rest;  ///< behind the colon
};

/// The key of a line and what is behind its colon; nothing for a line of something else.
std::optional<Keyed> keyed(std::string_view line) {
  skip(line, kLineMarks);
  while (is_one_of(kAdjectives, word_at(line))) {
    line.remove_prefix(word_at(line).size());
    skip(line, " ");
  }
  const std::string_view key = word_at(line);
  if (!is_one_of(kLineKeys, key)) return std::nullopt;
  line.remove_prefix(key.size());
  skip(line, kLineMarks);
  skip_parentheses(line);
  skip(line, kLineMarks);
  if (!skip_colon(line)) return std::nullopt;
  return Keyed{key, line};
}

Span span_of(std::string_view whole, std::string_view part) {
  const auto begin = static_cast<size_t>(part.data() - whole.data());
  return {begin, begin + part.size()};
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (const auto line = trim(text.substr(0, end)); !line.empty()) lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

std::optional<std::vector<Span>> find_objects(std::string_view text) noexcept {
  std::vector<Span> objects;
  size_t looked_at = 0;
  for (size_t begin = text.find('{'); begin != std::string_view::npos;) {
    const size_t end = closing_brace(text, begin);
    const Span span{begin, std::min(end, text.size())};
    looked_at += span.end - span.begin;
    if (looked_at > kScanFactor * text.size() + 4096) return std::nullopt;
    const bool object = end != std::string_view::npos && parse_json(span.of(text)).has_value();
    if (object && objects.size() == kObjectsLimit) return std::nullopt;
    if (object) objects.push_back(span);
    begin = text.find('{', object ? end : begin + 1);
  }
  return objects;
}

std::vector<Member> members_of(std::string_view text, const Span& object) noexcept {
  std::vector<Member> members;
  const std::string_view whole = text.substr(0, object.end);
  for (size_t at = object.begin + 1; (at = whole.find('"', at)) != std::string_view::npos;) {
    const size_t colon = behind_string(whole, at);
    const auto key = parse_json(whole.substr(at, colon - at));
    const size_t value = std::min(whole.find_first_not_of(" \t\r\n:", colon), whole.size());
    const size_t end = behind_value(whole, value);
    const size_t last = whole.find_last_not_of(" \t\r\n", end - 1) + 1;
    if (const std::string* name = key ? as_string(&*key) : nullptr)
      members.push_back({*name, {at, last}, {value, last}});
    at = end;
  }
  return members;
}

std::vector<Match> find_lines(std::string_view text) noexcept {
  std::vector<Match> matches;
  const auto lines = lines_of(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto found = keyed(lines[i]);
    if (!found) continue;
    Span span = span_of(text, lines[i]);
    std::string_view rest = found->rest;
    skip(rest, kLineMarks.substr(0, kLineMarks.size() - 1));  // a "-" could be a sign
    if (rest.empty() && i + 1 < lines.size()) rest = lines[i + 1];
    const Span value_span = span_of(text, rest);
    span.end = std::max(span.end, value_span.end);
    matches.push_back({span, value_span, found->key});
  }
  return matches;
}

std::vector<Match> find_brackets(std::string_view text) noexcept {
  std::vector<Match> matches;
  for (size_t begin = text.find("[["); begin != std::string_view::npos; begin = text.find("[[", begin + 1)) {
    const std::string_view rest = text.substr(begin + 2, kBracketLimit + 1);
    const size_t end = rest.find_first_of("[]\n");
    if (end == std::string_view::npos || end == 0 || !text.substr(begin + 2 + end).starts_with("]]"))
      continue;
    const Span value{begin + 2, begin + 2 + end};
    matches.push_back({{begin, value.end + 2}, value});
  }
  return matches;
}

std::vector<Span> find_all_lines(std::string_view text) noexcept {
  std::vector<Span> spans;
  for (const std::string_view line : lines_of(text)) spans.push_back(span_of(text, line));
  return spans;
}

std::optional<Span> first_line(std::string_view text) noexcept {
  const std::string_view rest = trim(text);
  if (rest.empty()) return std::nullopt;
  return span_of(text, trim(rest.substr(0, rest.find('\n'))));
}

std::optional<Span> last_line(std::string_view text) noexcept {
  const std::string_view rest = trim(text);
  if (rest.empty()) return std::nullopt;
  const size_t end = rest.rfind('\n');
  return span_of(text, trim(rest.substr(end == std::string_view::npos ? 0 : end)));
}

std::optional<std::string_view> without_thinking(std::string_view text) noexcept {
  static constexpr std::string_view kOpen = "<think>";
  static constexpr std::string_view kClose = "</think>";
  const std::string_view rest = trim(text);
  if (!rest.starts_with(kOpen)) return text;
  const size_t close = rest.find(kClose);
  if (close == std::string_view::npos) return std::nullopt;
  return rest.substr(close + kClose.size());
}

}  // namespace assay::judge
