// The scores are those of the implementations that their names are known by (the vectors say which versions).
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "plugins/text/bleu.hpp"
#include "plugins/text/chrf.hpp"
#include "plugins/text/exact_match.hpp"
#include "plugins/text/levenshtein.hpp"
#include "plugins/text/normalize.hpp"
#include "plugins/text/porter_stemmer.hpp"
#include "plugins/text/rouge.hpp"
#include "plugins/text/token_f1.hpp"
#include "tests/unit/plugins/score_vectors.hpp"
#include "tests/unit/plugins/token_vectors.hpp"

using namespace assay::text;

namespace {

Approx equals(double value) {
  return Approx(value).epsilon(0).margin(1e-9);
}

void check_rouge(const RougeScore& score, const vectors::Rouge& expected) {
  CHECK(score.precision == equals(expected.precision));
  CHECK(score.recall == equals(expected.recall));
  CHECK(score.f1 == equals(expected.f1));
}

}  // namespace

TEST_CASE("text: BLEU and chrF are sacrebleu's", "[text][vectors]") {
  for (const auto& pair : vectors::kPairs) {
    CAPTURE(pair.output, pair.expected);
    const std::array references = {pair.expected};
    const auto bleu = bleu_statistics(pair.output, references);
    CHECK(sentence_bleu(bleu) == equals(pair.sentence_bleu));
    CHECK(corpus_bleu(bleu) == equals(pair.corpus_bleu));
    CHECK(chrf(chrf_statistics(pair.output, references)) == equals(pair.chrf));
    CHECK(chrf(chrf_statistics(pair.output, references, Chrf::characters_and_words)) ==
          equals(pair.chrf_plus_plus));
  }
}

TEST_CASE("text: BLEU and chrF take several references as sacrebleu does", "[text][vectors]") {
  for (const auto& sample : vectors::kMultipleReferences) {
    CAPTURE(sample.output, sample.references);
    CHECK(sentence_bleu(bleu_statistics(sample.output, sample.references)) == equals(sample.sentence_bleu));
    CHECK(chrf(chrf_statistics(sample.output, sample.references)) == equals(sample.chrf));
    CHECK(chrf(chrf_statistics(sample.output, sample.references, Chrf::characters_and_words)) ==
          equals(sample.chrf_plus_plus));
  }
}

TEST_CASE("text: BLEU and chrF of a corpus come from the added-up counts", "[text][vectors]") {
  for (const auto& corpus : vectors::kCorpora) {
    CAPTURE(corpus.begin, corpus.end);
    BleuStatistics bleu;
    ChrfStatistics characters;
    ChrfStatistics words;
    for (size_t i = corpus.begin; i < corpus.end; ++i) {
      const std::array references = {vectors::kPairs[i].expected};
      bleu += bleu_statistics(vectors::kPairs[i].output, references);
      characters += chrf_statistics(vectors::kPairs[i].output, references);
      words += chrf_statistics(vectors::kPairs[i].output, references, Chrf::characters_and_words);
    }
    CHECK(corpus_bleu(bleu) == equals(corpus.bleu));
    CHECK(chrf(characters) == equals(corpus.chrf));
    CHECK(chrf(words) == equals(corpus.chrf_plus_plus));
  }
}

TEST_CASE("text: ROUGE is rouge-score's, stemmed or not", "[text][vectors]") {
  for (const auto& pair : vectors::kPairs)
    for (const auto stemming : {Stemming::none, Stemming::porter}) {
      CAPTURE(pair.output, pair.expected, stemming == Stemming::porter);
      const auto* expected = pair.rouge.data() + (stemming == Stemming::porter ? 4 : 0);
      check_rouge(rouge_n(pair.output, pair.expected, 1, stemming), expected[0]);
      check_rouge(rouge_n(pair.output, pair.expected, 2, stemming), expected[1]);
      check_rouge(rouge_l(pair.output, pair.expected, stemming).value(), expected[2]);
      check_rouge(rouge_lsum(pair.output, pair.expected, stemming).value(), expected[3]);
    }
}

TEST_CASE("text: the edit similarity is autoevals'", "[text][vectors]") {
  for (const auto& pair : vectors::kPairs) {
    CAPTURE(pair.output, pair.expected);
    CHECK(levenshtein_similarity(pair.output, pair.expected).value() == equals(pair.levenshtein));
  }
}

TEST_CASE("text: token F1 and exact match are SQuAD's", "[text][vectors]") {
  for (const auto& pair : vectors::kPairs) {
    CAPTURE(pair.output, pair.expected);
    CHECK(token_f1(pair.output, pair.expected) == equals(pair.squad_f1));
    CHECK(exact_match(pair.output, pair.expected, kSquadNormalization) == pair.squad_exact);
  }
}

TEST_CASE("text: tokens, normal forms and stems are those of the references", "[text][vectors]") {
  for (const auto& [text, tokens] : vectors::kTokenized13a) CHECK(tokenize_13a(text) == tokens);
  for (const auto& [text, normal] : vectors::kSquadNormalized)
    CHECK(normalize(text, kSquadNormalization) == normal);
  for (const auto& [word, stem] : vectors::kStems) CHECK(porter_stem(word) == stem);
}
