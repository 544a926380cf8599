// Whether a text is the expected one.
#pragma once

#include <string_view>

#include "plugins/text/normalize.hpp"

namespace assay::text {

/// Equal after both are normalised; byte by byte, and without allocating, when nothing is to be normalised.
bool exact_match(std::string_view output, std::string_view expected, const Normalization& normalization = {});

}  // namespace assay::text
