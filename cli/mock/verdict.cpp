#include "cli/mock/verdict.hpp"

#include <algorithm>

#include "core/json.hpp"

namespace assay::cli::mock {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool alike(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

bool within(std::string_view text, std::string_view part) {
  return !std::ranges::search(text, part, {}, lower, lower).empty() || part.empty();
}

bool holds(Comparison comparison, std::string_view message) {
  const auto texts = tagged_texts(message);
  if (texts.size() < 2) return false;
  const auto a = trimmed(texts[texts.size() - 2]), b = trimmed(texts.back());
  if (comparison == Comparison::equal) return alike(a, b);
  return !a.empty() && !b.empty() && (within(a, b) || within(b, a));
}

/// The name of the tag that `text` begins with, "<name …>\n"; empty: it begins with none. `size`: of all of
/// it.
std::string_view opened(std::string_view text, size_t& size) {
  const auto letter = [](char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_'; };
  if (text.size() < 2 || !letter(text[1])) return {};
  const size_t end = text.find_first_of(">\n");
  if (end == std::string_view::npos || !text.substr(end).starts_with(">\n")) return {};
  size = end + 2;
  return text.substr(1, text.find_first_of(" >") - 1);
}

}  // namespace

std::vector<std::string_view> tagged_texts(std::string_view message) {
  std::vector<std::string_view> texts;
  for (size_t at = message.find('<'); at != std::string_view::npos; at = message.find('<', at)) {
    size_t size = 0;
    const auto name = opened(message.substr(at), size);
    if (name.empty()) {
      ++at;
      continue;
    }
    const size_t begin = at + size;
    const std::string closing = "\n</" + std::string(name) + ">";
    // The line break before the closing tag may be the one behind the opening tag: nothing is between them.
    const size_t end = message.find(closing, begin - 1);
    if (end == std::string_view::npos) {
      at = begin;
      continue;
    }
    texts.push_back(message.substr(begin, end < begin ? 0 : end - begin));
    at = end + closing.size();
  }
  return texts;
}

Finding find(const Verdict& verdict, std::string_view message) {
  if (const auto* comparison = std::get_if<Comparison>(&verdict)) return holds(*comparison, message);
  if (const auto* truth = std::get_if<bool>(&verdict)) return *truth;
  if (const auto* number = std::get_if<double>(&verdict)) return *number;
  return std::get<std::string>(verdict);
}

std::string_view choose(const Finding& finding, const std::vector<std::string_view>& menu) {
  const std::string word = word_of(finding);
  const auto own = std::ranges::find_if(menu, [&](std::string_view label) { return alike(label, word); });
  if (own != menu.end()) return *own;
  const auto* truth = std::get_if<bool>(&finding);
  if (truth == nullptr || menu.empty()) return {};
  return *truth ? menu.front() : menu.back();
}

std::string word_of(const Finding& finding) {
  if (const auto* truth = std::get_if<bool>(&finding)) return *truth ? "TRUE" : "FALSE";
  if (const auto* label = std::get_if<std::string>(&finding)) return *label;
  std::string text;
  append_json_number(text, std::get<double>(finding));
  return text;
}

}  // namespace assay::cli::mock
