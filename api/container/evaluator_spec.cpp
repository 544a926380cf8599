#include "api/container/evaluator_spec.hpp"

#include <array>
#include <nlohmann/json.hpp>
#include <regex>

#include "core/formula.hpp"
#include "core/requirement.hpp"

namespace assay::api {
namespace {

constexpr size_t kLineLength = 4096;  // of a requirement
constexpr size_t kMostModels = 16;    // of a panel
constexpr size_t kMostParts = 16;     // of a multi

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
    if (grant != "candidate" && grant != "llm")
      fields.fault("grants", "can hold \"candidate\" and \"llm\" only");
    grants.push_back(grant);
  }
  if (!grants.empty() && language != "lua" && language != "python" && language != "node")
    fields.fault("grants", "are for the languages lua, python and node");
  fields.note(
      "grants", "description",
      "\"candidate\": may run what a model wrote. \"llm\": may ask models. Of the languages lua, python "
      "and node.");
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

constexpr std::array kOfJudges = {"model", "models", "prompt", "inference_params"};

struct Draft {
  EvaluatorSpec result;
  Json spec = Json::object();
};

/// What evaluators of every type have.
void read_common(Fields& fields, Draft& draft, const Json& pass_threshold) {
  Json& spec = draft.spec;
  draft.result.name = fields.text("name", kLabelLength);
  draft.result.container = fields.maybe_text("container", kLabelLength).value_or("");
  if (const auto text = fields.maybe_text("description")) spec["description"] = *text;
  const auto threshold = fields.maybe_number("pass_threshold");
  spec["pass_threshold"] = threshold ? Json(*threshold) : pass_threshold;
  spec["metadata"] = read_object(fields, "metadata");
}

/// "text/exact": which plugin's which evaluator.
bool names_plugin(std::string_view code) {
  static const std::regex kShape("^[a-z0-9_-]{1,64}/[a-z0-9_-]{1,64}$");
  return std::regex_match(code.begin(), code.end(), kShape);
}

/// What runs, and with what: of an evaluator, or of a part of one.
void read_program(Fields& fields, Json& spec) {
  spec["type"] = "code";
  const auto language =
      fields.word("language", {"lua", "python", "node", "shell", "command", "plugin"}, "python");
  spec["language"] = language;
  const auto isolation = fields.word("isolation", {"item", "run"}, "item");
  if (language != "node" && isolation == "run") fields.fault("isolation", "run is for the language node");
  fields.note("isolation", "description", "\"run\" is of the language node.");
  spec["isolation"] = isolation;
  spec["grants"] = read_grants(fields, language);
  const auto code = fields.text("code");
  spec["code"] = code;
  if (language == "plugin" && !code.empty() && !names_plugin(code))
    fields.fault("code", "must be PLUGIN/EVALUATOR for the language plugin, such as text/exact");
  // Stored for no code evaluator, so that nobody believes that they have an effect.
  for (const auto* key : kOfJudges) fields.absent(key, "is for evaluators of type judge");
  spec["requirements"] = read_requirements(fields, language);
  spec["params"] = read_object(fields, "params");
  spec["limits"] = read_limits(fields);
}

void read_code(Fields& fields, Draft& draft) {
  read_program(fields, draft.spec);
  draft.spec["mode"] = fields.word("mode", {"pointwise", "pairwise"}, "pointwise");
  draft.spec["api"] = fields.word("api", {"chat.completions", "messages", "responses"}, "chat.completions");
  read_common(fields, draft, nullptr);
}

/// What a judge asks: a prompt, or the name of one that is ready to use.
void read_question(Fields& fields, Json& spec) {
  const auto prompt = fields.maybe_text("prompt");
  if (prompt) spec["prompt"] = *prompt;
  const bool ready = spec["params"].contains("use");
  if (prompt && ready) fields.fault("prompt", "and params.use are both given: use one of them");
  if (!prompt && !ready)
    fields.fault("prompt", "is missing: write one, or name one that is ready to use by params.use");
  fields.note("prompt", "description", "Required, unless params.use names one that is ready to use.");
}

/// What a judge is beside its name: of an evaluator, or of a part of one.
void read_judgement(Fields& fields, Json& spec) {
  spec["type"] = "judge";
  spec["params"] = read_object(fields, "params");
  spec["limits"] = read_limits(fields);
  const auto model = fields.maybe_text("model", kLabelLength);
  const auto panel = fields.maybe_texts("models", kMostModels);
  if (model && !panel.empty()) fields.fault("models", "and model are both given: use one of them");
  if (!model && panel.empty())
    fields.fault("model", "is missing: the slug of a model, such as openai/gpt-4o");
  fields.note("model", "description", "Required, unless models gives a panel of them.");
  if (model) spec["model"] = *model;
  if (!panel.empty()) spec["models"] = panel;
  read_question(fields, spec);
  spec["mode"] = fields.word("mode", {"pointwise", "pairwise"}, "pointwise");
  if (const auto api = fields.maybe_word("api", {"chat.completions", "messages", "responses"}))
    spec["api"] = *api;
  spec["inference_params"] = read_object(fields, "inference_params");
  for (const auto* key : {"code", "language", "requirements", "grants", "isolation"})
    fields.absent(key, "is for evaluators of type code");
}

void read_judge(Fields& fields, Draft& draft) {
  read_judgement(fields, draft.spec);
  read_common(fields, draft, 1.0);
}

/// A part is a definition that lacks what the whole has: a name, a threshold, a place.
Json read_part(Fields& fields) {
  Json spec = Json::object();
  fields.by_word("type", {{"code", [&spec](Fields& code) { read_program(code, spec); }},
                          {"judge", [&spec](Fields& judge) { read_judgement(judge, spec); }}});
  return spec;
}

void read_multi(Fields& fields, Draft& draft) {
  Json& spec = draft.spec;
  spec["type"] = "multi";
  std::vector<std::string> names;
  Json parts = Json::object();
  fields.named_objects("evaluators", kMostParts, [&](const std::string& name, Fields& part) {
    names.push_back(name);
    parts[name] = read_part(part);
  });
  for (const auto& [name, part] : parts.items())
    if (!name.empty() && !Formula::is_name(name))
      fields.fault("evaluators." + name,
                   "cannot be named in a formula: a name is a letter or _, then letters, digits and _");
  fields.note("evaluators", "description",
              "The parts: definitions of type code or judge, by the name that the formula uses.");
  spec["evaluators"] = std::move(parts);
  const auto formula = fields.text("formula", kFormulaLength);
  fields.note("formula", "description",
              "What makes one score of theirs: names, numbers, + - * / ^, min, max, abs, floor, ceil, exp, "
              "sqrt, log.");
  if (const auto parsed = Formula::parse(formula, names); !parsed && !formula.empty())
    fields.fault("formula", "is none: " + parsed.error().message);
  spec["formula"] = formula;
  read_common(fields, draft, nullptr);
}

Draft read_evaluator(Fields& fields) {
  Draft draft;
  fields.by_word("type", {{"code", [&draft](Fields& code) { read_code(code, draft); }},
                          {"judge", [&draft](Fields& judge) { read_judge(judge, draft); }},
                          {"multi", [&draft](Fields& multi) { read_multi(multi, draft); }}});
  return draft;
}

}  // namespace

Answer<EvaluatorSpec> evaluator_spec_from(const Json& json) {
  Fields fields(json);
  auto [result, spec] = read_evaluator(fields);
  ASSAY_OK(fields.done());
  if (spec["type"] == "code" && spec["mode"] == "pairwise")
    return not_implemented("mode", "only judges evaluate pairwise");
  // Of a judge null is not the default: it has no threshold.
  if (const auto threshold = json.find("pass_threshold"); threshold != json.end() && threshold->is_null())
    spec["pass_threshold"] = nullptr;
  result.text = dump_json(spec);
  return result;
}

void describe_evaluator(Fields& fields) {
  read_evaluator(fields);
}

void describe_evaluator_patch(Fields& fields) {
  Draft draft;
  read_code(fields, draft);
  for (const auto* key : kOfJudges) fields.anything(key);
  for (const auto* key : {"formula", "evaluators"}) fields.anything(key);
  fields.partial();
}

}  // namespace assay::api
