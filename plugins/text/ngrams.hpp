// Counting n-grams, which BLEU, chrF, ROUGE-N and token F1 have in common.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace assay::text {

/// Words or code points as numbers: equal ones have equal numbers.
using Tokens = std::vector<uint32_t>;

/// Gives words their numbers. Holds views: the texts must outlive it.
class Vocabulary {
 public:
  uint32_t number(std::string_view word);
  Tokens numbers(std::span<const std::string_view> words);
  size_t size() const { return numbers_.size(); }

 private:
  std::unordered_map<std::string_view, uint32_t> numbers_;
};

/// How many n-grams a sequence of `length` tokens has.
constexpr uint64_t ngram_count(uint64_t length, size_t n) {
  return length >= n ? length - n + 1 : 0;
}

/// For each n from 1 to `max_order` (at index n - 1): how many n-grams of `hypothesis` also are in the
/// references, each as often as it is in the reference that has it most often. Time and memory: n log n of
/// all tokens.
std::vector<uint64_t> matched_ngrams(const Tokens& hypothesis, std::span<const Tokens> references,
                                     size_t max_order);

}  // namespace assay::text
