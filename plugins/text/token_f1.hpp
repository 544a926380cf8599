// Token F1, as SQuAD's official script computes it.
#pragma once

#include <string_view>

namespace assay::text {

/// The harmonic mean of precision and recall over the words that both have, each as often as both have it,
/// after `kSquadNormalization`. Two texts without words score 1, one without words 0.
double token_f1(std::string_view output, std::string_view expected);

}  // namespace assay::text
