// The plugin "judge": language models that judge.
#include <assay/evaluator.hpp>

#include <memory>

#include "plugins/common/parameters.hpp"
#include "plugins/judge/evaluation.hpp"

namespace {

class Judge {
 public:
  static constexpr std::string_view describe =
      R"({"name": "judge", "summary": "what one or more models say of the sample",
    "params": {"type": "object", "additionalProperties": false, "required": ["models"],
      "oneOf": [{"required": ["prompt"]}, {"required": ["use"]}], "properties": {
      "models": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 16,
        "description": "slugs: one judge, or a panel"},
      "prompt": {"type": ["string", "array"], "description": "template, or a chat array of templates; one without variables is followed by the request and both responses"},
      "use": {"enum": ["correctness", "faithfulness", "relevance", "safety", "preference"], "description": "a ready prompt instead"},
      "mode": {"enum": ["pointwise", "pairwise"], "default": "pointwise", "description": "pairwise: which response is better, asked in both orders"},
      "range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2, "description": "the score is a number from … to …"},
      "choices": {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 2, "description": "labels with their scores; TRUE 1 and FALSE 0 without this and range"},
      "votes": {"type": "integer", "minimum": 1, "maximum": 16, "default": 1, "description": "answers of each model"},
      "combine": {"enum": ["mean", "majority"], "description": "how votes become one; majority for labels, mean for numbers when left out"},
      "quorum": {"type": "integer", "minimum": 1, "description": "votes that must be scored; more than half when left out"},
      "expected_score": {"type": "boolean", "default": false, "description": "G-Eval: of a range of whole numbers, weighted by log probabilities where the model gives them"},
      "examples": {"type": "array", "maxItems": 32, "items": {"type": "object", "required": ["verdict"]},
        "description": "judged items: input, output, expected, verdict, reason, and what else the prompt names"},
      "variables": {"type": "array", "items": {"type": "string", "minLength": 1}, "description": "members of items that the prompt may name besides the usual"},
      "budget": {"type": "integer", "minimum": 1, "maximum": 1048576, "default": 65536, "description": "bytes of each inserted text; of a longer one the middle is cut"},
      "budgets": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 1048576}, "description": "the same by variable"},
      "inference_params": {"type": "object", "description": "temperature, max_tokens, response_format, …"}}},
    "services": ["assay.llm/1"], "max_in_flight": 1024})";

  explicit Judge(const assay::Params& params)
      : settings_(std::make_shared<const assay::judge::Settings>(
            assay::judge::settings_from(assay::plugins::checked(describe, params).all()))) {}

  void evaluate(const assay::Call& call) const { assay::judge::evaluate(settings_, call); }

 private:
  std::shared_ptr<const assay::judge::Settings> settings_;
};

}  // namespace

ASSAY_PLUGIN("judge", "1.0.0", Judge);
