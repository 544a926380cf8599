#include "plugins/text/chrf.hpp"

#include <string>
#include <vector>

#include "plugins/text/ngrams.hpp"
#include "plugins/text/utf8.hpp"

namespace assay::text {
namespace {

constexpr double kBetaSquared = 4;

bool is_ascii_punctuation(char c) {
  return c > ' ' && c < 0x7F && !is_ascii_letter(c) && !is_ascii_digit(c);
}

bool is_one_code_point(std::string_view word) {
  take_code_point(word);
  return word.empty();
}

/// Words, with one mark of punctuation parted from their end or else from their beginning.
std::vector<std::string_view> chrf_words(std::string_view text) {
  std::vector<std::string_view> parts;
  for (const auto word : split_words(text)) {
    if (!is_one_code_point(word) && is_ascii_punctuation(word.back())) {
      parts.push_back(word.substr(0, word.size() - 1));
      parts.push_back(word.substr(word.size() - 1));
    } else if (!is_one_code_point(word) && is_ascii_punctuation(word.front())) {
      parts.push_back(word.substr(0, 1));
      parts.push_back(word.substr(1));
    } else {
      parts.push_back(word);
    }
  }
  return parts;
}

struct Sequences {
  Tokens characters;
  Tokens words;
};

Sequences sequences_of(std::string_view text, Chrf kind, Vocabulary& vocabulary) {
  Sequences result;
  result.characters.reserve(text.size());
  std::string_view rest = text;
  while (!rest.empty())
    if (const char32_t c = take_code_point(rest); !is_space(c)) result.characters.push_back(c);
  if (kind == Chrf::characters_and_words) result.words = vocabulary.numbers(chrf_words(text));
  return result;
}

void count(const Tokens& hypothesis, const Tokens& reference, std::span<ChrfStatistics::Counts> counts) {
  const auto matches = matched_ngrams(hypothesis, {&reference, 1}, counts.size());
  for (size_t n = 1; n <= counts.size(); ++n) {
    const uint64_t in_reference = ngram_count(reference.size(), n);
    // Where the reference has none, the hypothesis is not blamed for having some.
    counts[n - 1] = {in_reference > 0 ? ngram_count(hypothesis.size(), n) : 0, in_reference, matches[n - 1]};
  }
}

ChrfStatistics compare(const Sequences& hypothesis, const Sequences& reference, Chrf kind) {
  ChrfStatistics statistics;
  const std::span counts(statistics.counts);
  count(hypothesis.characters, reference.characters, counts.first(kChrfCharacterOrder));
  if (kind == Chrf::characters_and_words)
    count(hypothesis.words, reference.words, counts.subspan(kChrfCharacterOrder));
  return statistics;
}

}  // namespace

ChrfStatistics& ChrfStatistics::operator+=(const ChrfStatistics& other) {
  for (size_t i = 0; i < counts.size(); ++i) {
    counts[i].hypothesis += other.counts[i].hypothesis;
    counts[i].reference += other.counts[i].reference;
    counts[i].matches += other.counts[i].matches;
  }
  return *this;
}

ChrfStatistics chrf_statistics(std::string_view hypothesis, std::span<const std::string_view> references,
                               Chrf kind) {
  Vocabulary vocabulary;
  const Sequences own = sequences_of(hypothesis, kind, vocabulary);
  ChrfStatistics best;
  double best_score = -1;
  for (const auto reference : references) {
    const ChrfStatistics statistics = compare(own, sequences_of(reference, kind, vocabulary), kind);
    const double score = chrf(statistics);
    if (score <= best_score) continue;
    best_score = score;
    best = statistics;
  }
  return best;
}

double chrf(const ChrfStatistics& statistics) {
  double precision = 0;
  double recall = 0;
  int orders = 0;
  for (const auto& [hypothesis, reference, matches] : statistics.counts) {
    if (hypothesis == 0 || reference == 0) continue;
    precision += static_cast<double>(matches) / static_cast<double>(hypothesis);
    recall += static_cast<double>(matches) / static_cast<double>(reference);
    ++orders;
  }
  if (precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  return 100 * (1 + kBetaSquared) * precision * recall / (kBetaSquared * precision + recall);
}

}  // namespace assay::text
