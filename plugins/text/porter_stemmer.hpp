// Porter's stemmer ("An algorithm for suffix stripping", 1980) with NLTK's extensions, which ROUGE's
// reference implementation uses.
#pragma once

#include <string>
#include <string_view>

namespace assay::text {

/// The stem of `word`, which is in lower case. Time linear in its length.
std::string porter_stem(std::string_view word);

}  // namespace assay::text
