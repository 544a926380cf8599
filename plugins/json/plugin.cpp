// The plugin "json": whether a text is JSON, as a schema says, and how alike two documents are.
#include <assay/evaluator.hpp>

#include <nlohmann/json.hpp>

#include "plugins/common/parameters.hpp"
#include "plugins/common/sides.hpp"
#include "plugins/json/diff.hpp"
#include "plugins/json/read.hpp"
#include "plugins/json/schema.hpp"

namespace {

using namespace assay::json_check;  // NOLINT(google-build-using-namespace)
using assay::Failure;
using assay::Item;
using assay::Params;
using assay::Score;
using assay::plugins::checked;
using assay::plugins::Sides;
using assay::plugins::word;

class Valid {
 public:
  static constexpr std::string_view describe = R"({"name": "valid", "summary": "1 when the sample is JSON",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_OUTPUT_PARAMETER R"(,
      "top_level": {"enum": ["any", "object_or_array"], "default": "any"}}},
    "max_in_flight": 64})";

  explicit Valid(const Params& params)
      : sides_(checked(describe, params)),
        top_level_(word(params, "top_level", {"any", "object_or_array"}) == "any"
                       ? TopLevel::any
                       : TopLevel::object_or_array) {}

  Score evaluate(const Item& item) const {
    const auto valid = check_json(sides_.output(item), top_level_);
    return {.score = valid ? 1.0 : 0.0, .reason = valid ? "" : valid.error()};
  }

 private:
  Sides sides_;
  TopLevel top_level_;
};

class Fits {
 public:
  static constexpr std::string_view describe =
      R"({"name": "schema", "summary": "1 when the sample is JSON as a JSON schema describes it",
    "params": {"type": "object", "additionalProperties": false, "required": ["schema"], "properties": {)" ASSAY_OUTPUT_PARAMETER
      R"(,
      "schema": {"type": ["object", "boolean"], "description": "JSON Schema of drafts 6 to 2020-12"}}},
    "max_in_flight": 64})";

  explicit Fits(const Params& params) : sides_(checked(describe, params)), schema_(compiled(params)) {}

  Score evaluate(const Item& item) const {
    const auto document = read_json(sides_.output(item));
    if (!document) return {.score = 0, .reason = document.error()};
    const auto verdict = schema_.validate(*document);
    if (!verdict) throw Failure("schema: " + verdict.error(), "config");
    return {.score = verdict->valid ? 1.0 : 0.0, .reason = verdict->reason};
  }

 private:
  static Schema compiled(const Params& params) {
    const auto written = params.json("schema");
    if (!written) throw assay::plugins::bad_parameter("schema", "a JSON schema");
    const auto document = read_json(*written);
    auto schema = document ? Schema::compile(*document) : std::unexpected(document.error());
    if (!schema) throw Failure("schema: " + schema.error(), "config");
    return std::move(*schema);
  }

  Sides sides_;
  Schema schema_;
};

class Diff {
 public:
  static constexpr std::string_view describe =
      R"({"name": "diff", "summary": "how alike the sample and the ground truth are as JSON, 0 to 1, as autoevals' JSONDiff; what is no JSON is a string",
    "params": {"type": "object", "additionalProperties": false, "properties": {)" ASSAY_SIDES_PARAMETERS R"(,
      "strings": {"enum": ["parse", "preserve"], "default": "parse",
        "description": "whether a string within that holds an object or array as JSON is compared as that"}}},
    "max_in_flight": 64})";

  explicit Diff(const Params& params)
      : sides_(checked(describe, params)),
        strings_(word(params, "strings", {"parse", "preserve"}) == "parse" ? Strings::parse
                                                                           : Strings::preserve) {}

  Score evaluate(const Item& item) const {
    const auto similarity =
        json_similarity(document(sides_.output(item)), document(sides_.expected(item)), strings_);
    if (!similarity) throw Failure(similarity.error(), "config");
    return {.score = *similarity};
  }

 private:
  static nlohmann::json document(const std::string& text) {
    auto read = read_json(text);
    return read ? std::move(*read) : nlohmann::json(text);
  }

  Sides sides_;
  Strings strings_;
};

}  // namespace

ASSAY_PLUGIN("json", "1.0.0", Valid, Fits, Diff);
