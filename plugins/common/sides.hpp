// The two texts that an evaluator compares: what the sample says and what was expected.
#pragma once

#include <assay/evaluator.hpp>

#include <optional>
#include <string>
#include <string_view>

#include "plugins/common/template.hpp"

// The properties of the parameters that Sides reads, for `describe`.
#define ASSAY_OUTPUT_PARAMETER                                                                   \
  R"("output": {"type": "string", "description": "template of the text that is scored, such as)" \
  R"( {{ sample.output_json.answer }}; the sample's text when left out"})"
#define ASSAY_EXPECTED_PARAMETER                                                                     \
  R"("expected": {"type": "string", "description": "template of the text that it is compared with,)" \
  R"( such as {{ metadata.answer }}; the ground truth's text when left out"})"
#define ASSAY_SIDES_PARAMETERS ASSAY_OUTPUT_PARAMETER ", " ASSAY_EXPECTED_PARAMETER

namespace assay::plugins {

/// Reads the parameters `output` and `expected`, templates each; without them the sides of the item.
class Sides {
 public:
  /// Throws Failure for a template that is none.
  explicit Sides(const Params& params);

  /// Throw Failure (`config`) that names what the item lacks.
  std::string output(const Item& item) const;
  std::string expected(const Item& item) const;

 private:
  std::optional<Template> output_;
  std::optional<Template> expected_;
};

}  // namespace assay::plugins
