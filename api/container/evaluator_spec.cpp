#include "api/container/evaluator_spec.hpp"

#include <array>
#include <nlohmann/json.hpp>

#include "core/requirement.hpp"

namespace assay::api {
namespace {

constexpr size_t kLineLength = 4096;  // of a requirement

struct Bound {
  const char* key;
  int64_t low, high;
};
constexpr std::array<Bound, 7> kLimits = {{
    {"wall_ms", 1, 3'600'000},
    {"cpu_ms", 1, 3'600'000},
    {"load_ms", 1, 3'600'000},
    {"memory_bytes", int64_t{1} << 20, int64_t{64} << 30},
    {"result_bytes", 64, int64_t{64} << 20},
    {"log_bytes", 0, int64_t{16} << 20},
    {"llm_calls", 1, 100'000},
}};

Json read_limits(Fields& fields) {
  Json limits = Json::object();
  fields.maybe_object("limits", [&limits](Fields& inner) {
    for (const auto& bound : kLimits)
      if (const auto value = inner.maybe_integer(bound.key, bound.low, bound.high))
        limits[bound.key] = *value;
  });
  return limits;
}

Json read_object(Fields& fields, const char* key) {
  const Json* object = fields.maybe_object(key);
  return object == nullptr ? Json::object() : *object;
}

Json read_grants(Fields& fields, std::string_view language) {
  Json grants = Json::array();
  for (const std::string& grant : fields.maybe_texts("grants", 8)) {
    if (grant != "candidate") fields.fault("grants", "can hold \"candidate\" only");
    grants.push_back(grant);
  }
  if (!grants.empty() && language != "lua" && language != "python" && language != "node")
    fields.fault("grants", "are for the languages lua, python and node");
  fields.note("grants", "description",
              "\"candidate\": may run what a model wrote. Of the languages lua, python and node.");
  return grants;
}

Json read_requirements(Fields& fields, std::string_view language) {
  Json requirements = Json::array();
  for (const std::string& line : fields.maybe_texts("requirements", 256, kLineLength)) {
    if (!is_requirement(line))
      fields.fault("requirements", "has a line that names no package: \"" + line.substr(0, 80) + "\"");
    requirements.push_back(line);
  }
  if (!requirements.empty() && language != "python" && language != "node")
    fields.fault("requirements", "are for the languages python and node");
  fields.note("requirements", "description",
              "Packages to install, one a line: of the languages python and node.");
  return requirements;
}

struct Draft {
  EvaluatorSpec result;
  Json spec = Json::object();
};

void read_code(Fields& fields, Draft& draft) {
  Json& spec = draft.spec;
  spec["type"] = "code";
  const auto language =
      fields.word("language", {"lua", "python", "node", "shell", "command", "plugin"}, "python");
  spec["language"] = language;
  const auto isolation = fields.word("isolation", {"item", "run"}, "item");
  if (language != "node" && isolation == "run") fields.fault("isolation", "run is for the language node");
  fields.note("isolation", "description", "\"run\" is of the language node.");
  spec["isolation"] = isolation;
  spec["grants"] = read_grants(fields, language);
  spec["mode"] = fields.word("mode", {"pointwise", "pairwise"}, "pointwise");
  spec["api"] = fields.word("api", {"chat.completions", "messages", "responses"}, "chat.completions");
  draft.result.name = fields.text("name", kLabelLength);
  draft.result.container = fields.maybe_text("container", kLabelLength).value_or("");
  if (const auto text = fields.maybe_text("description")) spec["description"] = *text;
  spec["code"] = fields.text("code");
  // Stored for no code evaluator, so that nobody believes that they have an effect.
  for (const auto* key : {"model", "prompt", "inference_params"})
    fields.absent(key, "is for evaluators of type judge");
  spec["requirements"] = read_requirements(fields, language);
  const auto threshold = fields.maybe_number("pass_threshold");
  spec["pass_threshold"] = threshold ? Json(*threshold) : Json(nullptr);
  spec["params"] = read_object(fields, "params");
  spec["limits"] = read_limits(fields);
  spec["metadata"] = read_object(fields, "metadata");
}

void read_judge(Fields& fields, Draft& draft) {
  draft.spec["type"] = "judge";
  fields.anything_else();
}

Draft read_evaluator(Fields& fields) {
  Draft draft;
  fields.by_word("type", {{"code", [&draft](Fields& code) { read_code(code, draft); }},
                          {"judge", [&draft](Fields& judge) { read_judge(judge, draft); }}});
  return draft;
}

}  // namespace

Answer<EvaluatorSpec> evaluator_spec_from(const Json& json) {
  Fields fields(json);
  auto [result, spec] = read_evaluator(fields);
  ASSAY_OK(fields.done());
  if (spec["type"] == "judge")
    return not_implemented("type", "this build has no judges yet; evaluators of type code work");
  if (spec["mode"] == "pairwise") return not_implemented("mode", "this build does not evaluate pairwise yet");
  if (spec["language"] == "plugin")
    return not_implemented("language",
                           "this build has no plugins yet; lua, python, node, shell and command work");
  result.text = dump_json(spec);
  return result;
}

void describe_evaluator(Fields& fields) {
  read_evaluator(fields);
}

void describe_evaluator_patch(Fields& fields) {
  Draft draft;
  read_code(fields, draft);
  fields.partial();
}

}  // namespace assay::api
