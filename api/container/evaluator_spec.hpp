// What an evaluator is made of, checked.
#pragma once

#include <string>

#include "api/fields.hpp"

namespace assay::api {

struct EvaluatorSpec {
  std::string name;
  std::string container;  ///< label or id; empty: none
  std::string text;       ///< every field but these two, as one JSON object
};

/// 422 for what is not well-formed, 501 for what this build cannot run.
Answer<EvaluatorSpec> evaluator_spec_from(const Json& json);
/// The same definition, for descriptions; and that of a patch.
void describe_evaluator(Fields& fields);
void describe_evaluator_patch(Fields& fields);

}  // namespace assay::api
