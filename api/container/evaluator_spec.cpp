#include "api/container/evaluator_spec.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "core/requirement.hpp"

namespace assay::api {
namespace {

struct Bound {
  const char* key;
  int64_t low, high;
};
constexpr std::array<Bound, 6> kLimits = {{
    {"wall_ms", 1, 3'600'000},
    {"cpu_ms", 1, 3'600'000},
    {"load_ms", 1, 3'600'000},
    {"memory_bytes", int64_t{1} << 20, int64_t{64} << 30},
    {"result_bytes", 64, int64_t{64} << 20},
    {"log_bytes", 0, int64_t{16} << 20},
}};

void read_limits(Fields& fields, Json& spec) {
  const Json* limits = fields.maybe_object("limits");
  if (limits == nullptr) return;
  Fields inner(*limits, "limits");
  Json read = Json::object();
  for (const auto& bound : kLimits)
    if (const auto value = inner.maybe_integer(bound.key, bound.low, bound.high)) read[bound.key] = *value;
  fields.absorb(inner);
  spec["limits"] = std::move(read);
}

void keep(Json& spec, const char* key, const std::optional<std::string>& value) {
  if (value) spec[key] = *value;
}

/// What only judges have; stored for no code evaluator, so that nobody believes it has an effect.
void refuse_judge_fields(Fields& fields) {
  for (const auto* key : {"model", "prompt", "inference_params"}) {
    fields.know(key);
    if (fields.has(key) && !fields.is_null(key)) fields.fault(key, "is for evaluators of type judge");
  }
}

}  // namespace

Answer<EvaluatorSpec> evaluator_spec_from(const Json& json) {
  Fields fields(json);
  EvaluatorSpec result;
  Json spec = Json::object();
  const auto type = fields.word("type", {"judge", "code"});
  if (type == "judge")
    return not_implemented("type", "this build has no judges yet; evaluators of type code work");
  spec["type"] = type;
  const auto language =
      fields.word("language", {"lua", "python", "node", "shell", "command", "plugin"}, "python");
  spec["language"] = language;
  spec["isolation"] = fields.word("isolation", {"item", "run"}, "item");
  if (language != "node" && spec["isolation"] == "run")
    fields.fault("isolation", "run is for the language node");
  spec["grants"] = Json::array();
  for (const std::string& grant : fields.maybe_texts("grants", 8)) {
    if (grant != "candidate") fields.fault("grants", "can hold \"candidate\" only");
    spec["grants"].push_back(grant);
  }
  if (!spec["grants"].empty() && language != "lua" && language != "python" && language != "node")
    fields.fault("grants", "are for the languages lua, python and node");
  const auto mode = fields.word("mode", {"pointwise", "pairwise"}, "pointwise");
  spec["mode"] = mode;
  spec["api"] = fields.word("api", {"chat.completions", "messages", "responses"}, "chat.completions");
  result.name = fields.text("name", kLabelLength);
  result.container = fields.maybe_text("container", kLabelLength).value_or("");
  keep(spec, "description", fields.maybe_text("description"));
  spec["code"] = fields.text("code");
  refuse_judge_fields(fields);
  spec["requirements"] = Json::array();
  for (const std::string& line : fields.maybe_texts("requirements", 256)) {
    if (!is_requirement(line))
      fields.fault("requirements", "has a line that names no package: \"" + line.substr(0, 80) + "\"");
    spec["requirements"].push_back(line);
  }
  if (!spec["requirements"].empty() && language != "python" && language != "node")
    fields.fault("requirements", "are for the languages python and node");
  const auto threshold = fields.maybe_number("pass_threshold");
  spec["pass_threshold"] = threshold ? Json(*threshold) : Json(nullptr);
  const Json* params = fields.maybe_object("params");
  spec["params"] = params != nullptr ? *params : Json::object();
  spec["limits"] = Json::object();
  read_limits(fields, spec);
  const Json* metadata = fields.maybe_object("metadata");
  spec["metadata"] = metadata != nullptr ? *metadata : Json::object();
  ASSAY_OK(fields.done());
  if (mode == "pairwise") return not_implemented("mode", "this build does not evaluate pairwise yet");
  if (language == "plugin")
    return not_implemented("language",
                           "this build has no plugins yet; lua, python, node, shell and command work");
  result.text = dump_json(spec);
  return result;
}

}  // namespace assay::api
