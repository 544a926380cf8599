// G-Eval: a score as the expected value over what the judge could have written in its place.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/judge/common.hpp"
#include "plugins/judge/scan.hpp"

namespace assay::judge {

/// What a provider gives as logprobs: a token of the reply and the likeliest ones in its place.
struct TokenChoice {
  std::string token;
  double logprob = 0;
};
struct Token {
  std::string token;
  double logprob = 0;
  std::vector<TokenChoice> top;  ///< the written one is among them or not
};

struct ExpectedScore {
  double score = 0;
  double mass = 0;  ///< probability of the scores counted, before they are made to add up to 1
};

/// Where the digits of a verdict begin: in `text` (the tokens put together), within `verdict`, the bytes that
/// were read as the number `score` (Verdict::place). Nothing when it is not written as a whole number: 4.0,
/// 80%.
std::optional<size_t> digits_of_score(std::string_view text, const Span& verdict, double score) noexcept;

/// The mean of the whole numbers from `low` to `high` (at most 1000), weighted with their probabilities at
/// the place where the judge wrote its verdict: `at` (digits_of_score), and nowhere else, since the same
/// number in the reasoning may be a quotation.
///
/// `score`: the number there; it must be whole. It may be one token or one for each digit. Where it is
/// ambiguous whether "1" would have gone on to "10", it counts for neither. A score below `tail` is dropped.
/// `judge_parse` when the number is not there, `config` when there are no logprobs there.
Result<ExpectedScore> expected_score(std::span<const Token> tokens, size_t at, double score, int low,
                                     int high, double tail = 0.01) noexcept;

}  // namespace assay::judge
