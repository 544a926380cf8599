// BLEU (Papineni 2002) as sacrebleu computes it: its 13a tokeniser, exponential smoothing, orders 1 to 4.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace assay::text {

inline constexpr size_t kBleuOrder = 4;

/// Counts of a sentence. Those of a corpus are their sum, in any order.
struct BleuStatistics {
  uint64_t hypothesis_length = 0;  ///< tokens
  uint64_t reference_length = 0;   ///< of the reference that is closest in length; the shorter of two
  std::array<uint64_t, kBleuOrder> matches{};
  std::array<uint64_t, kBleuOrder> totals{};

  BleuStatistics& operator+=(const BleuStatistics& other);
  bool operator==(const BleuStatistics&) const = default;
};

/// Tokens parted by single spaces, as mteval-v13a parts them.
std::string tokenize_13a(std::string_view text);

/// Without a reference nothing matches.
BleuStatistics bleu_statistics(std::string_view hypothesis, std::span<const std::string_view> references);

/// 0 to 100. `sacrebleu.corpus_bleu`: one of no n-grams of some order has 0.
double corpus_bleu(const BleuStatistics& statistics);
/// 0 to 100. `sacrebleu.sentence_bleu`: only the orders that the hypothesis is long enough for.
double sentence_bleu(const BleuStatistics& statistics);

/// 0 to 1: GLEU (Wu 2016), the smaller of precision and recall over the n-grams of all orders together, as
/// NLTK's `sentence_gleu` of one reference (on the tokens of 13a, as Hugging Face's `google_bleu`).
double sentence_gleu(const BleuStatistics& statistics);

}  // namespace assay::text
