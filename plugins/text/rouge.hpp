// ROUGE (Lin 2004) as Google's rouge-score computes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace assay::text {

struct RougeScore {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
};

enum class Stemming { none, porter };

/// The work of ROUGE-L and Lsum is the product of the two numbers of tokens; at this many, that is two texts
/// of 8,192 words, about a tenth of a second.
inline constexpr uint64_t kRougeCellLimit = uint64_t{1} << 26;

/// Runs of ASCII letters and digits, in lower case; of more than three, their Porter stems if `stemming` says
/// so.
std::vector<std::string> rouge_tokens(std::string_view text, Stemming stemming);

/// Of n-grams of `n` tokens; n > 0.
RougeScore rouge_n(std::string_view output, std::string_view expected, size_t n, Stemming stemming);

/// Of the longest common subsequence. The error says that the texts are too long.
std::expected<RougeScore, std::string> rouge_l(std::string_view output, std::string_view expected,
                                               Stemming stemming);

/// Of the union of the longest common subsequences of all pairs of sentences, which stand on lines of their
/// own. The error says that the texts are too long.
std::expected<RougeScore, std::string> rouge_lsum(std::string_view output, std::string_view expected,
                                                  Stemming stemming);

}  // namespace assay::text
