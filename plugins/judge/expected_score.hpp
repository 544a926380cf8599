// G-Eval: a score as the expected value over what the judge could have written in its place.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "plugins/judge/common.hpp"

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

/// The mean of the whole numbers from `low` to `high` (at most 1000), weighted with their probabilities where
/// the reply has its score for the last time.
///
/// `score`: the number that read_verdict found; it must be whole. Its last occurrence is one that is no part
/// of a word, a longer number, a decimal, or what stands behind "/" or "out of ". A number may be one token
/// or one for each digit. Where it is ambiguous whether "1" would have gone on to "10", it counts for
/// neither. A score below `tail` is dropped. `judge_parse` when the reply has no such number, `config` when
/// there are no logprobs there.
Result<ExpectedScore> expected_score(std::span<const Token> tokens, double score, int low, int high,
                                     double tail = 0.01) noexcept;

}  // namespace assay::judge
