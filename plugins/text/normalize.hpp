// What is made equal before texts are compared.
#pragma once

#include <string>
#include <string_view>

namespace assay::text {

/// Carried out in this order.
struct Normalization {
  bool lowercase = false;           ///< Python's `str.lower`: all scripts
  bool remove_punctuation = false;  ///< ASCII's: !"#$%&'()*+,-./:;<=>?@[\]^_`{|}~
  bool remove_articles = false;     ///< the words a, an and the, in lower case
  bool collapse_space = false;      ///< one space between words, none at the ends

  bool operator==(const Normalization&) const = default;
};

/// What SQuAD's official script does to answers.
inline constexpr Normalization kSquadNormalization{
    .lowercase = true, .remove_punctuation = true, .remove_articles = true, .collapse_space = true};

/// Never fails. Bytes that are no UTF-8 may come out as U+FFFD.
std::string normalize(std::string_view text, const Normalization& normalization);

}  // namespace assay::text
