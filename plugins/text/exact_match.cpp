#include "plugins/text/exact_match.hpp"

namespace assay::text {

bool exact_match(std::string_view output, std::string_view expected, const Normalization& normalization) {
  if (output == expected) return true;
  if (normalization == Normalization{}) return false;
  return normalize(output, normalization) == normalize(expected, normalization);
}

}  // namespace assay::text
