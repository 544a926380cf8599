// What a mock of a judge finds, by a rule instead of by thinking.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace assay::cli::mock {

/// How the last two texts of a message that stand in tags of their own compare, ASCII case and the blanks
/// around them aside.
enum class Comparison {
  equal,     ///< they are the same
  contains,  ///< one is found within the other
};

/// As a rule says it: a comparison, or the same for whatever is judged.
using Verdict = std::variant<Comparison, bool, double, std::string>;
/// As it is answered: yes or no, a number, or a label.
using Finding = std::variant<bool, double, std::string>;

/// What stands between tags that have lines of their own, in order: "<answer>\nParis\n</answer>" has "Paris".
/// A tag is <NAME>, or <NAME ATTRIBUTES>, and ends at the first </NAME>. Views into the message.
std::vector<std::string_view> tagged_texts(std::string_view message);

Finding find(const Verdict& verdict, std::string_view message);

/// Which of a menu's labels a finding takes: its own, whatever the case; for yes and no the menu's "true" and
/// "false" when it has them, else its first and its last. Empty: a label of its own that is not on the menu.
std::string_view choose(const Finding& finding, const std::vector<std::string_view>& menu);

/// "TRUE" and "FALSE", a number as JSON writes it, or the label.
std::string word_of(const Finding& finding);

}  // namespace assay::cli::mock
