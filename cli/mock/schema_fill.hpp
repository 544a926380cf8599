// A value for a JSON schema, made by a rule. Private to this folder: it brings simdjson.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

#include "cli/mock/verdict.hpp"

namespace assay::cli::mock {

struct Filled {
  std::string json;                         ///< compact
  size_t verdict_at = 0, verdict_size = 0;  ///< where the last value stands that follows from the finding
};

/// Every menu (`enum`), number and boolean of the schema says the finding: a menu its label, or one that
/// stands for yes or no; a number the number, or the top or bottom of its range; a label or number that the
/// schema does not allow is said all the same. Strings say `text`. All properties are there, in the schema's
/// order; lists have as many elements as they must, and one if they may.
Filled fill_schema(simdjson::dom::element schema, const Finding& finding, std::string_view text);

}  // namespace assay::cli::mock
