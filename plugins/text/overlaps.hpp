// Evaluators that say how much two texts have in common: 0 to 1.
#pragma once

#include <assay/evaluator.hpp>

#include <array>
#include <expected>
#include <string>
#include <string_view>

#include "plugins/common/parameters.hpp"
#include "plugins/common/sides.hpp"
#include "plugins/text/bleu.hpp"
#include "plugins/text/chrf.hpp"
#include "plugins/text/levenshtein.hpp"
#include "plugins/text/rouge.hpp"
#include "plugins/text/token_f1.hpp"

namespace assay::text {

using plugins::checked;
using plugins::flag;
using plugins::Sides;
using plugins::word;

/// What went in is the reason why there is no score.
template <class T>
T of_item(std::expected<T, std::string> value) {
  if (!value) throw Failure(value.error(), "config");
  return *value;
}

// Parameters of an evaluator that has no others.
#define ASSAY_SIDES_ONLY                                                                                  \
  R"("params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS \
  R"(}}, "max_in_flight": 64})"

class Levenshtein {
 public:
  static constexpr std::string_view describe =
      R"({"name": "levenshtein", "summary": "1 - edit distance / length of the longer text, as autoevals'", )" ASSAY_SIDES_ONLY;
  explicit Levenshtein(const Params& params) : sides_(checked(describe, params)) {}
  Score evaluate(const Item& item) const {
    return {.score = of_item(levenshtein_similarity(sides_.output(item), sides_.expected(item)))};
  }

 private:
  Sides sides_;
};

class Fuzzy {
 public:
  static constexpr std::string_view describe =
      R"({"name": "fuzzy", "summary": "rapidfuzz's fuzz.ratio / 100: twice the longest common subsequence / the sum of the lengths", )" ASSAY_SIDES_ONLY;
  explicit Fuzzy(const Params& params) : sides_(checked(describe, params)) {}
  Score evaluate(const Item& item) const {
    return {.score = of_item(fuzzy_ratio(sides_.output(item), sides_.expected(item)))};
  }

 private:
  Sides sides_;
};

inline BleuStatistics statistics_of(const Sides& sides, const Item& item) {
  const std::string output = sides.output(item);
  const std::string expected = sides.expected(item);
  return bleu_statistics(output, std::array<std::string_view, 1>{expected});
}

class Bleu {
 public:
  static constexpr std::string_view describe =
      R"({"name": "bleu", "summary": "BLEU of one sentence / 100, as sacrebleu's sentence_bleu: 13a tokens, exponential smoothing, effective order. Its mean is not a corpus's BLEU", )" ASSAY_SIDES_ONLY;
  explicit Bleu(const Params& params) : sides_(checked(describe, params)) {}
  Score evaluate(const Item& item) const {
    const double bleu = sentence_bleu(statistics_of(sides_, item));
    return {.score = std::min(bleu / 100, 1.0), .metrics = {{"bleu", bleu}}};
  }

 private:
  Sides sides_;
};

class Gleu {
 public:
  static constexpr std::string_view describe =
      R"({"name": "gleu", "summary": "Google's BLEU of one sentence: the smaller of precision and recall over 1- to 4-grams of 13a tokens", )" ASSAY_SIDES_ONLY;
  explicit Gleu(const Params& params) : sides_(checked(describe, params)) {}
  Score evaluate(const Item& item) const { return {.score = sentence_gleu(statistics_of(sides_, item))}; }

 private:
  Sides sides_;
};

class ChrF {
 public:
  static constexpr std::string_view describe =
      R"({"name": "chrf", "summary": "chrF / 100, as sacrebleu's sentence_chrf",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS R"(,
      "words": {"type": "boolean", "default": false, "description": "chrF++: words and pairs of words as well"}}},
    "max_in_flight": 64})";
  explicit ChrF(const Params& params)
      : sides_(checked(describe, params)),
        kind_(flag(params, "words") ? Chrf::characters_and_words : Chrf::characters) {}
  Score evaluate(const Item& item) const {
    const std::string output = sides_.output(item);
    const std::string expected = sides_.expected(item);
    const double value = chrf(chrf_statistics(output, std::array<std::string_view, 1>{expected}, kind_));
    return {.score = std::min(value / 100, 1.0), .metrics = {{"chrf", value}}};
  }

 private:
  Sides sides_;
  Chrf kind_;
};

class Rouge {
 public:
  static constexpr std::string_view describe =
      R"({"name": "rouge", "summary": "ROUGE's F1 as rouge-score computes it; precision, recall and f1 are metrics",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS R"(,
      "variant": {"enum": ["rouge-l", "rouge-1", "rouge-2", "rouge-3", "rouge-4", "rouge-5", "rouge-lsum"], "default": "rouge-l",
        "description": "n-grams, the longest common subsequence, or that of sentences on lines of their own"},
      "measure": {"enum": ["f1", "precision", "recall"], "default": "f1", "description": "which is the score"},
      "stemming": {"type": "boolean", "default": false, "description": "Porter's, of English"}}},
    "max_in_flight": 64})";
  explicit Rouge(const Params& params)
      : sides_(checked(describe, params)),
        variant_(word(params, "variant",
                      {"rouge-l", "rouge-1", "rouge-2", "rouge-3", "rouge-4", "rouge-5", "rouge-lsum"})),
        measure_(word(params, "measure", {"f1", "precision", "recall"})),
        stemming_(flag(params, "stemming") ? Stemming::porter : Stemming::none) {}

  Score evaluate(const Item& item) const {
    const RougeScore rouge = score(sides_.output(item), sides_.expected(item));
    return {.score = measure_ == "f1"       ? rouge.f1
                     : measure_ == "recall" ? rouge.recall
                                            : rouge.precision,
            .metrics = {{"precision", rouge.precision}, {"recall", rouge.recall}, {"f1", rouge.f1}}};
  }

 private:
  RougeScore score(std::string_view output, std::string_view expected) const {
    if (variant_ == "rouge-l") return of_item(rouge_l(output, expected, stemming_));
    if (variant_ == "rouge-lsum") return of_item(rouge_lsum(output, expected, stemming_));
    return rouge_n(output, expected, static_cast<size_t>(variant_.back() - '0'), stemming_);
  }

  Sides sides_;
  std::string variant_;
  std::string measure_;
  Stemming stemming_;
};

class TokenF1 {
 public:
  static constexpr std::string_view describe =
      R"({"name": "token-f1", "summary": "F1 over words, as SQuAD's script: without case, punctuation and articles", )" ASSAY_SIDES_ONLY;
  explicit TokenF1(const Params& params) : sides_(checked(describe, params)) {}
  Score evaluate(const Item& item) const {
    return {.score = token_f1(sides_.output(item), sides_.expected(item))};
  }

 private:
  Sides sides_;
};

}  // namespace assay::text
