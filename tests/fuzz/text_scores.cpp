// Any bytes as output and expected text of every built-in score: each is a number in its range or a refusal.
// Two JSON documents are a schema and what it is to describe, too.
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/check.hpp"
#include "plugins/json/diff.hpp"
#include "plugins/json/read.hpp"
#include "plugins/json/schema.hpp"
#include "plugins/text/bleu.hpp"
#include "plugins/text/choice.hpp"
#include "plugins/text/chrf.hpp"
#include "plugins/text/contains.hpp"
#include "plugins/text/exact_match.hpp"
#include "plugins/text/levenshtein.hpp"
#include "plugins/text/numeric.hpp"
#include "plugins/text/regex.hpp"
#include "plugins/text/rouge.hpp"
#include "plugins/text/token_f1.hpp"

namespace {

using namespace assay::text;

void check_score(double score, double most = 1) {
  ASSAY_CHECK(score >= 0 && score <= most * (1 + 1e-9), "a score is out of its range");
}

void check_rouge(const RougeScore& score) {
  check_score(score.precision);
  check_score(score.recall);
  check_score(score.f1);
}

void check_matches(std::string_view output, std::string_view expected) {
  for (const auto letters : {Case::sensitive, Case::insensitive}) {
    if (contains(output, expected, letters))
      ASSAY_CHECK(output.size() * 3 >= expected.size(), "a text contains a longer one");
    if (const auto regex = Regex::compile(expected, letters)) {
      const auto found = regex->extract(output);
      ASSAY_CHECK(found.has_value() == regex->matches(output), "what matches extracts nothing");
      ASSAY_CHECK(!regex->matches_all(output) || found, "what matches all matches nowhere");
    }
  }
  ASSAY_CHECK(exact_match(output, output, kSquadNormalization), "a text is not itself");
  const auto letter = find_choice(output, "ABCD").letter;
  ASSAY_CHECK(letter == '\0' || (letter >= 'A' && letter <= 'Z'), "a choice is no letter");
  const auto only = find_number(output, Which::only);
  if (only) ASSAY_CHECK(*only == find_number(output, Which::last), "the only number is not the last");
}

void check_similarities(std::string_view output, std::string_view expected) {
  check_score(levenshtein_similarity(output, expected).value_or(0));
  ASSAY_CHECK(levenshtein_distance(output, expected) == levenshtein_distance(expected, output),
              "an edit distance depends on the order");
  check_score(fuzzy_ratio(output, expected).value_or(0));
  check_score(token_f1(output, expected));
  const std::array references = {expected, output};
  check_score(sentence_bleu(bleu_statistics(output, references)), 100);
  check_score(sentence_gleu(bleu_statistics(output, std::span(references).first(1))));
  check_score(corpus_bleu(bleu_statistics(output, std::span(references).first(1))), 100);
  check_score(chrf(chrf_statistics(output, references, Chrf::characters_and_words)), 100);
  for (const auto stemming : {Stemming::none, Stemming::porter}) {
    check_rouge(rouge_n(output, expected, 2, stemming));
    check_rouge(rouge_l(output, expected, stemming).value_or(RougeScore{}));
    check_rouge(rouge_lsum(output, expected, stemming).value_or(RougeScore{}));
  }
}

void check_json(std::string_view output, std::string_view expected) {
  namespace check = assay::json_check;
  const auto left = check::read_json(output);
  const auto right = check::read_json(expected);
  if (left)
    ASSAY_CHECK(check::json_similarity(*left, *left).value_or(1) == 1, "a document is not like itself");
  if (left && right) check_score(check::json_similarity(*left, *right).value_or(0));
  if (!left || !right) return;
  const auto schema = check::Schema::compile(*left);
  if (!schema) return;
  const auto verdict = schema->validate(*right);
  if (verdict)
    ASSAY_CHECK(verdict->valid == verdict->reason.empty(), "a document is invalid without a reason");
}

}  // namespace

/// The first half is the output, the second the expected text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto output = text.substr(0, size / 2);
  const auto expected = text.substr(size / 2);
  check_matches(output, expected);
  check_similarities(output, expected);
  check_json(output, expected);
  return 0;
}
