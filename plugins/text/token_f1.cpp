#include "plugins/text/token_f1.hpp"

#include <string>

#include "plugins/text/ngrams.hpp"
#include "plugins/text/normalize.hpp"
#include "plugins/text/utf8.hpp"

namespace assay::text {

double token_f1(std::string_view output, std::string_view expected) {
  const std::string output_text = normalize(output, kSquadNormalization);
  const std::string expected_text = normalize(expected, kSquadNormalization);
  Vocabulary vocabulary;
  const Tokens own = vocabulary.numbers(split_words(output_text));
  const Tokens reference = vocabulary.numbers(split_words(expected_text));
  if (own.empty() || reference.empty()) return own.empty() && reference.empty() ? 1 : 0;
  const auto same = static_cast<double>(matched_ngrams(own, {&reference, 1}, 1).front());
  return 2 * same / static_cast<double>(own.size() + reference.size());
}

}  // namespace assay::text
