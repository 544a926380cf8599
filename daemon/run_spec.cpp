#include "daemon/run_spec.hpp"

#include "sandbox/runtime/language.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace assay::daemon {
namespace {

// The API checked all this when it was submitted, so a mismatch is a protocol error: nlohmann's exceptions
// are turned into one at the two entry points below.
Result<Side> side_from(const Json& json) {
  Side side;
  const auto type = json.at("type").get<std::string>();
  if (type == "generate") {
    side.type = Side::Type::generate;
    ASSAY_TRY(side.generation, generation_from(json));
    return side;
  }
  side.type = type == "container" ? Side::Type::container : Side::Type::dataset;
  side.id = json.at(side.type == Side::Type::container ? "container" : "dataset").get<std::string>();
  side.first = json.value("first", int64_t{0});
  if (const auto it = json.find("columns"); it != json.end() && it->is_object()) {
    if (it->contains("input")) side.input.emplace((*it)["input"].get<std::string>());
    if (it->contains("output")) side.output.emplace((*it)["output"].get<std::string>());
  }
  return side;
}

sandbox::Limits limits_from(const Json& json, sandbox::Limits limits) {
  limits.wall = std::chrono::milliseconds(json.value("wall_ms", limits.wall.count()));
  limits.cpu = std::chrono::milliseconds(json.value("cpu_ms", limits.cpu.count()));
  limits.load = std::chrono::milliseconds(json.value("load_ms", limits.load.count()));
  limits.memory_bytes = json.value("memory_bytes", limits.memory_bytes);
  limits.result_bytes = json.value("result_bytes", limits.result_bytes);
  limits.log_bytes = json.value("log_bytes", limits.log_bytes);
  limits.llm_calls = json.value("llm_calls", limits.llm_calls);
  return limits;
}

Lease lease_from(const Json& json) {
  Lease lease;
  lease.run = json.at("run").get<std::string>();
  lease.shard = json.at("shard").get<int64_t>();
  lease.epoch = json.at("epoch").get<int64_t>();
  lease.token = json.at("token").get<std::string>();
  lease.ttl = std::chrono::milliseconds(json.at("ttl_ms").get<int64_t>());
  lease.lo = json.at("lo").get<int64_t>();
  lease.hi = json.at("hi").get<int64_t>();
  lease.done = json.at("done").get<std::vector<std::pair<int64_t, int64_t>>>();
  if (json.contains("sample_rows")) lease.sample_rows = json["sample_rows"].get<std::vector<int64_t>>();
  if (json.contains("ground_truth_rows"))
    lease.ground_truth_rows = json["ground_truth_rows"].get<std::vector<int64_t>>();
  return lease;
}

bool covers(const std::optional<std::vector<int64_t>>& rows, const Lease& lease) {
  return !rows || static_cast<int64_t>(rows->size()) == lease.hi - lease.lo;
}

/// A judge is an evaluator of the plugin `judge`: what its definition says besides becomes parameters.
Json judge_params(const Json& evaluator) {
  Json params = evaluator.value("params", Json::object());
  const auto said = [&](const char* key) {
    const auto it = evaluator.find(key);
    return it != evaluator.end() && !it->is_null() ? &*it : nullptr;
  };
  if (const Json* model = said("model")) params["models"] = Json::array({*model});
  for (const char* key : {"models", "prompt", "mode"})
    if (const Json* value = said(key)) params[key] = *value;
  // Evaluation files and the API write {} where none are given, which takes none of the parameters' own away.
  if (const Json* value = said("inference_params")) params["inference_params"].update(*value);
  return params;
}

/// An evaluator's code and limits.
Result<std::shared_ptr<const sandbox::Program>> program_from(const Json& evaluator, const std::string& name,
                                                             const Plugins& plugins, const std::string& run) {
  auto program = std::make_shared<sandbox::Program>();
  program->name = name;
  if (evaluator.at("type") == "judge") {
    program->language = "plugin";
    program->source = "judge/judge";
    program->params = dump_json(judge_params(evaluator));
  } else {
    program->language = evaluator.at("language").get<std::string>();
    program->source = evaluator.at("code").get<std::string>();
    if (evaluator.contains("params")) program->params = dump_json(evaluator["params"]);
  }
  if (program->language == sandbox::kPlugin) {
    auto path = plugins.path(program->source.substr(0, program->source.find('/')));
    if (!path) return std::unexpected(std::move(path.error()).with("evaluator " + program->name));
    program->plugin = std::move(*path);
  }
  program->isolation = evaluator.value("isolation", program->isolation);
  if (program->isolation == "run") program->run = run;
  program->grants = evaluator.value("grants", program->grants);
  program->requirements = evaluator.value("requirements", program->requirements);
  const auto* const language = sandbox::language_named(program->language);
  if (language == nullptr)
    return fail(ErrorKind::config,
                "evaluator " + program->name + ": this worker has no runtime for " + program->language);
  program->limits.memory_bytes = language->memory_bytes;
  if (evaluator.contains("limits")) program->limits = limits_from(evaluator["limits"], program->limits);
  return program;
}

Result<std::shared_ptr<const Multi>> multi_from(const Json& evaluator, const Plugins& plugins,
                                                const std::string& run) {
  auto multi = std::make_shared<Multi>();
  std::vector<std::string> names;
  for (const auto& [name, definition] : evaluator.at("evaluators").items()) {
    ASSAY_TRY(auto program,
              program_from(definition, evaluator.at("name").get<std::string>() + "." + name, plugins, run));
    multi->parts.push_back({name, std::move(program)});
    names.push_back(name);
  }
  if (names.empty()) return fail(ErrorKind::transport, "the API sent a multi evaluator without parts");
  auto formula = Formula::parse(evaluator.at("formula").get<std::string>(), names);
  if (!formula) return std::unexpected(std::move(formula.error()).with("formula"));
  multi->formula = std::move(*formula);
  return multi;
}

}  // namespace

std::string Side::rows_path() const {
  return type == Type::dataset ? "/v1/datasets/" + id + "/rows" : "/v1/containers/" + id + "/logs";
}

std::vector<std::string> models_of(const Json& evaluator) {
  std::vector<std::string> models;
  if (evaluator.value("type", "") == "multi")
    for (const Json& part : evaluator.at("evaluators"))
      for (std::string& model : models_of(part)) models.push_back(std::move(model));
  if (evaluator.value("type", "") != "judge") return models;
  const Json params = judge_params(evaluator);
  return params.value("models", std::vector<std::string>());
}

std::vector<std::shared_ptr<const sandbox::Program>> RunEvaluator::programs() const {
  if (!multi) return {program};
  std::vector<std::shared_ptr<const sandbox::Program>> programs;
  for (const Multi::Part& part : multi->parts) programs.push_back(part.program);
  return programs;
}

bool RunEvaluator::may_ask_models() const {
  return std::ranges::any_of(programs(), [](const auto& each) { return each->may_ask_models(); });
}

Result<RunEvaluator> evaluator_from(const Json& definition, const Plugins& plugins, const std::string& run) {
  RunEvaluator evaluator;
  evaluator.name = definition.at("name").get<std::string>();
  if (definition.at("type") == "multi") {
    ASSAY_TRY(evaluator.multi, multi_from(definition, plugins, run));
  } else {
    ASSAY_TRY(evaluator.program, program_from(definition, evaluator.name, plugins, run));
  }
  evaluator.models = models_of(definition);
  if (definition.contains("pass_threshold") && definition["pass_threshold"].is_number())
    evaluator.pass_threshold = definition["pass_threshold"].get<double>();
  return evaluator;
}

Result<RunSpec> run_spec_from(std::string_view text, const Plugins& plugins) {
  const auto json_or = parse_json(text);
  if (!json_or) return fail(ErrorKind::transport, "the API sent no run specification");
  const Json& json = *json_or;
  try {
    RunSpec spec;
    spec.id = json.at("id").get<std::string>();
    spec.items = json.at("items").get<int64_t>();
    spec.trials = json.at("trials").get<int>();
    if (json.contains("spend_limit")) spec.spend_limit = json["spend_limit"].get<int64_t>();
    spec.models = json.at("models").get<std::vector<std::string>>();
    for (const auto& entry : json.at("evaluators")) {
      ASSAY_TRY(auto evaluator, evaluator_from(entry, plugins, spec.id));
      spec.evaluators.push_back(std::move(evaluator));
    }
    for (auto [name, side] : {std::pair("sample", &spec.sample), {"ground_truth", &spec.ground_truth}}) {
      auto read = side_from(json.at(name));
      if (!read) return std::unexpected(std::move(read.error()).with(name));
      *side = std::move(*read);
    }
    return spec;
  } catch (const Json::exception& e) {
    return fail(ErrorKind::transport, std::string("the API sent no run specification: ") + e.what());
  }
}

const Generation* RunSpec::generation() const {
  for (const Side* side : {&sample, &ground_truth})
    if (side->generation) return &*side->generation;
  return nullptr;
}

bool Lease::is_done(int64_t code) const {
  const auto after = std::upper_bound(done.begin(), done.end(), code,
                                      [](int64_t c, const auto& range) { return c < range.first; });
  return after != done.begin() && code < std::prev(after)->second;
}

Result<std::vector<Lease>> leases_from(const Json& list) {
  std::vector<Lease> leases;
  try {
    for (const auto& entry : list) {
      Lease lease = lease_from(entry);
      if (lease.hi < lease.lo || !covers(lease.sample_rows, lease) || !covers(lease.ground_truth_rows, lease))
        return fail(ErrorKind::transport, "the API sent a lease whose rows do not cover its items");
      leases.push_back(std::move(lease));
    }
  } catch (const Json::exception& e) {
    return fail(ErrorKind::transport, std::string("the API sent no lease: ") + e.what());
  }
  return leases;
}

}  // namespace assay::daemon
