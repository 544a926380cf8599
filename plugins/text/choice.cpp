#include "plugins/text/choice.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <string>

#include "plugins/text/utf8.hpp"

namespace assay::text {
namespace {

/// What may stand between the word "answer" and its letter.
constexpr std::string_view kGlue =
    R"((?:\s*[*_"'`]*\s*(?i:is|was|must be|would be|should be|will be|option|choice|letter|therefore|thus|:|=|-|–|—))*)";
constexpr std::string_view kOpening =
    R"([\s*_"'`$(\[{]*(?:\\(?i:boxed|text|textbf|mathrm|mathbf)\s*\{[\s*($]*)*)";
/// A capital letter that is a word; or a small one that is not the article: nothing but a mark or the end of
/// the line follows.
constexpr std::string_view kLetter =
    R"((?:([A-Z])(?:[^A-Za-z0-9_'’]|['’](?:[^A-Za-z]|$)|$)|([a-z])(?:[^\sA-Za-z0-9_'’-]|[ \t]*$|[ \t]*\n)))";

std::string stated_answer() {
  std::string pattern = R"((?m)(?:\b(?i:answer|(?:correct|right|best|final) (?:option|choice|letter))\b)";
  pattern += kGlue;
  pattern += kOpening;
  return pattern + R"(|\\boxed\s*\{(?:\\(?:text|textbf|mathrm|mathbf)\s*\{)*[\s(*]*))" + std::string(kLetter);
}

constexpr std::string_view kSetApart =
    R"re((?m)\(([A-Za-z])\)|\[([A-Za-z])\]|\*\*[("']?([A-Za-z])[)"']?[.:)]?\*\*|\b(?i:option|choice) ([A-Z])\b)re"
    R"(|^[ \t]*([A-Z])(?:[).:]|[ \t\r]*$)|[ \t:]([A-Z])[.!]?[ \t\r]*$)";

constexpr int kMostGroups = 7;

/// The last letter that `pattern` finds, in any of its groups; '\0' for none.
char last_letter(const re2::RE2& pattern, std::string_view reply, std::string_view menu) {
  const re2::StringPiece text(reply.data(), reply.size());
  const int groups = pattern.NumberOfCapturingGroups() + 1;
  re2::StringPiece found[kMostGroups];
  char last = '\0';
  for (size_t at = 0; pattern.Match(text, at, text.size(), re2::RE2::UNANCHORED, found, groups);) {
    const auto* letter =
        std::find_if(found + 1, found + groups, [](const auto& group) { return !group.empty(); });
    const auto position = static_cast<size_t>(letter->data() - text.data());
    at = position + 1;
    // "The answer, I think" chooses nothing, unless I is offered.
    const bool pronoun = reply[position] == 'I' && !menu.contains('I') && reply.substr(at).starts_with(' ');
    if (!pronoun) last = static_cast<char>(ascii_lower(reply[position]) - 'a' + 'A');
  }
  return last;
}

re2::RE2::Options options() {
  re2::RE2::Options result;
  result.set_log_errors(false);
  return result;
}

char chosen_letter(std::string_view reply, std::string_view menu) {
  static const re2::RE2 kStated(stated_answer(), options());
  static const re2::RE2 kApart(re2::StringPiece(kSetApart.data(), kSetApart.size()), options());
  static const re2::RE2 kAlone(R"(^\s*([A-Za-z])[.:)]?\s*$)", options());
  for (const auto* pattern : {&kAlone, &kStated, &kApart})
    if (const char letter = last_letter(*pattern, reply, menu); letter != '\0') return letter;
  return '\0';
}

}  // namespace

Choice find_choice(std::string_view reply, std::string_view menu) {
  const char letter = chosen_letter(reply, menu);
  if (letter == '\0') return {};
  return {menu.contains(letter) ? Choice::Kind::chosen : Choice::Kind::off_menu, letter};
}

}  // namespace assay::text
