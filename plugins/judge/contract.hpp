// What a judge may answer, and what each answer is worth.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plugins/judge/common.hpp"

namespace assay::judge {

struct Choice {
  std::string label;
  double score = 0;
};

/// Either a menu of labels, each with its score, or a number within a range (no menu).
struct Contract {
  std::vector<Choice> menu;
  double low = 0;      ///< of a number
  double high = 1;     ///< of a number
  bool whole = false;  ///< only whole numbers, and the range's ends are some

  /// TRUE (1) or FALSE (0): Response A is at least as good as Response B.
  static Contract truth() noexcept;
  /// A (1), B (0) or tie (0.5): which response is better.
  static Contract pairwise() noexcept;
  /// A number from `low` to `high`; the score is the number.
  static Contract number(double low, double high) noexcept;
  static Contract choices(std::vector<Choice> menu) noexcept;

  bool is_number() const noexcept { return menu.empty(); }
  bool is_truth() const noexcept;
  bool is_pairwise() const noexcept;
};

/// `config` for a contract that cannot be kept: labels empty, alike but for case, of more than 64 bytes or
/// more than 64 of them; a score or a range that is not finite, a range that is empty.
Result<Contract> checked(Contract contract) noexcept;

/// The JSON key of the verdict in a reply that nobody but this call's judge can write; "verdict" without a
/// nonce.
std::string verdict_key(std::string_view nonce) noexcept;
/// What to tell the judge about its answer: a JSON object, the reason before the verdict.
std::string answer_instruction(const Contract& contract, std::string_view nonce) noexcept;
/// The same as JSON Schema, for `response_format` or the parameters of a forced tool call.
std::string answer_schema(const Contract& contract, std::string_view nonce) noexcept;

}  // namespace assay::judge
