#include "plugins/text/ngrams.hpp"

#include <algorithm>

namespace assay::text {
namespace {

/// One n-gram: the number of its first n - 1 tokens as an n-gram, and that of its last token.
struct Ngram {
  uint64_t key;
  size_t sequence;  ///< 0 for the hypothesis, then the references
  size_t position;  ///< of its first token among all tokens
};

/// All sequences one behind the other.
class Corpus {
 public:
  Corpus(const Tokens& hypothesis, std::span<const Tokens> references) {
    add(hypothesis);
    for (const Tokens& reference : references) add(reference);
    prefixes_.assign(tokens_.size(), 0);
    ngrams_.reserve(tokens_.size());
  }

  /// Goes on from (n - 1)-grams to n-grams; returns the matches among them.
  uint64_t advance(size_t n) {
    collect(n);
    std::ranges::sort(ngrams_, {}, [](const Ngram& ngram) { return std::pair(ngram.key, ngram.sequence); });
    uint64_t matches = 0;
    uint32_t number = 0;
    for (auto begin = ngrams_.begin(); begin != ngrams_.end(); ++number) {
      const auto end =
          std::find_if(begin, ngrams_.end(), [&](const Ngram& ngram) { return ngram.key != begin->key; });
      for (auto ngram = begin; ngram != end; ++ngram) prefixes_[ngram->position] = number;
      matches += matches_of({begin, end});
      begin = end;
    }
    return matches;
  }

 private:
  void add(const Tokens& sequence) {
    tokens_.insert(tokens_.end(), sequence.begin(), sequence.end());
    ends_.push_back(tokens_.size());
  }

  void collect(size_t n) {
    ngrams_.clear();
    size_t begin = 0;
    for (size_t sequence = 0; sequence < ends_.size(); begin = ends_[sequence++])
      for (size_t i = begin; i + n <= ends_[sequence]; ++i)
        ngrams_.push_back({uint64_t{prefixes_[i]} << 32 | tokens_[i + n - 1], sequence, i});
  }

  /// Of equal n-grams, ordered by sequence.
  static uint64_t matches_of(std::span<const Ngram> equal) {
    uint64_t in_hypothesis = 0;
    uint64_t in_reference = 0;
    for (size_t begin = 0; begin < equal.size();) {
      size_t end = begin;
      while (end < equal.size() && equal[end].sequence == equal[begin].sequence) ++end;
      uint64_t& count = equal[begin].sequence == 0 ? in_hypothesis : in_reference;
      count = std::max<uint64_t>(count, end - begin);
      begin = end;
    }
    return std::min(in_hypothesis, in_reference);
  }

  Tokens tokens_;
  std::vector<size_t> ends_;
  Tokens prefixes_;  ///< the number of the (n - 1)-gram that begins at each token
  std::vector<Ngram> ngrams_;
};

}  // namespace

uint32_t Vocabulary::number(std::string_view word) {
  return numbers_.try_emplace(word, static_cast<uint32_t>(numbers_.size())).first->second;
}

Tokens Vocabulary::numbers(std::span<const std::string_view> words) {
  Tokens result;
  result.reserve(words.size());
  for (const auto word : words) result.push_back(number(word));
  return result;
}

std::vector<uint64_t> matched_ngrams(const Tokens& hypothesis, std::span<const Tokens> references,
                                     size_t max_order) {
  Corpus corpus(hypothesis, references);
  std::vector<uint64_t> matches;
  for (size_t n = 1; n <= max_order; ++n) matches.push_back(corpus.advance(n));
  return matches;
}

}  // namespace assay::text
