// What a definition says of its judge: the parameters of the evaluator `judge` (docs/judges.md), read once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/common/template.hpp"
#include "plugins/judge/contract.hpp"

namespace assay::judge {

/// Who says what the judge's reply looks like.
enum class Format {
  ours,    ///< a JSON object of the contract, with the nonce in the verdict's key; asked for in words and by
           ///< schema
  schema,  ///< the schema in inference_params.response_format, which is sent along
  prompt,  ///< the prompt alone: response_format {"type": "text"}
};

/// An item whose verdict is known, shown to the judge before the one that it judges.
struct Example {
  std::string item;     ///< JSON, as the template is filled with
  std::string verdict;  ///< JSON: a label as the contract spells it, or a number
  std::string reason;   ///< may be empty
};

struct Settings {
  std::vector<std::string> models;  ///< one judge, or a panel
  Template prompt;
  bool pairwise = false;
  Contract contract;
  Format format = Format::ours;
  std::string schema;            ///< of Format::schema: {"name", "schema", "strict"}
  std::string inference_params;  ///< a JSON object, without what is said elsewhere here
  std::string max_tokens_name;   ///< "max_tokens", or as the definition has it
  std::optional<int64_t> max_tokens;
  size_t votes = 1;   ///< of each model
  size_t quorum = 1;  ///< votes that must be scored
  bool majority = true;
  bool expected_score = false;
  std::vector<Example> examples;
  size_t budget = kDefaultBudget;
  std::map<std::string, size_t> budgets;

  size_t voters() const { return models.size() * votes; }
};

/// `params`: a JSON object. Throws Failure (`config`) that names the parameter, for what could fail before
/// the first call: templates, unknown variables, contracts, examples.
Settings settings_from(std::string_view params);

}  // namespace assay::judge
