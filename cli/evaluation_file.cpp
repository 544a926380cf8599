#include "cli/evaluation_file.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/data_file.hpp"
#include "cli/table_reader.hpp"
#include "core/fd.hpp"
#include "core/formula.hpp"
#include "core/json.hpp"
#include "core/requirement.hpp"
#include "core/settings.hpp"

namespace assay::cli {
namespace {

constexpr size_t kFileLimitBytes = size_t{1} << 20;

/// Paths in the file are relative to the file.
std::string beside(const std::string& evaluation_file, const std::string& path) {
  return (std::filesystem::path(evaluation_file).parent_path() / path).lexically_normal().string();
}

void check_data_file(TableReader& reader, const std::string& path) {
  if (const auto format = data_format_of(path); !format) return reader.fault("file", format.error().message);
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    return reader.fault("file", path + " is a directory, not a file");
  if (::access(path.c_str(), R_OK) != 0)
    reader.fault("file", fail_errno(ErrorKind::config, "cannot read " + path, errno).error().message);
}

void read_dataset(TableReader& reader, const std::string& evaluation_file, Faults& faults, DataSide& side) {
  const std::string file = reader.text("file");
  side.dataset = reader.text("dataset");
  if (reader.has("file") && reader.has("dataset")) {
    reader.fault("dataset", "give file or dataset, not both");
  } else if (!file.empty()) {
    side.file = beside(evaluation_file, file);
    check_data_file(reader, side.file);
  } else if (side.dataset.empty()) {
    reader.missing("file", "the path of a data file, or dataset = the name of one on the server");
  }
  if (const auto* columns = reader.table("columns")) {
    TableReader names(*columns, reader.named("columns"), faults);
    side.input_column = names.text("input");
    side.output_column = names.text("output");
  }
  side.join = reader.text("join");
  side.limit = reader.integer("limit", 1);
  side.offset = reader.integer("offset", 0);
  side.shuffle_seed = reader.integer("shuffle_seed", 0);
}

std::optional<DataSide> read_side(TableReader& top, const std::string& key, const std::string& path,
                                  Faults& faults) {
  const auto* table = top.table(key);
  if (table == nullptr) return std::nullopt;
  static const Names kTypes = {"dataset", "container", "generate"};
  DataSide side;
  TableReader reader(*table, key, faults);
  const std::string type = reader.required_text("type", "\"dataset\" or \"container\"");
  if (type == "container") {
    side.type = DataSide::Type::container;
    side.container = reader.text("container");
    side.since = reader.text("since");
    side.until = reader.text("until");
    side.limit = reader.integer("limit", 1);
    return side;
  }
  read_dataset(reader, path, faults, side);
  if (type == "generate") {
    reader.fault("type", "the type \"generate\" is not in this build");
    for (const char* known : {"models", "prompt", "inference_params"}) reader.find(known);
  } else if (!type.empty()) {
    is_one_of(reader, "type", type, kTypes);
  }
  return side;
}

std::string read_limits(TableReader& evaluator, Faults& faults) {
  const auto* table = evaluator.table("limits");
  if (table == nullptr) return "{}";
  std::string json;
  TableReader reader(*table, evaluator.named("limits"), faults);
  for (const char* name :
       {"wall_ms", "cpu_ms", "load_ms", "memory_bytes", "result_bytes", "log_bytes", "llm_calls"})
    if (const auto value = reader.integer(name, 1))
      json += (json.empty() ? "\"" : ",\"") + std::string(name) + "\":" + std::to_string(*value);
  return "{" + json + "}";
}

void read_code(TableReader& reader, const std::string& path, EvaluatorEntry& entry) {
  const std::string file = reader.text("file");
  entry.code = reader.text("code");
  if (reader.has("file") && reader.has("code")) return reader.fault("code", "give file or code, not both");
  if (file.empty()) {
    if (entry.code.empty())
      reader.missing("file", "the path of the evaluator's source, or code = the source itself");
    return;
  }
  entry.file = beside(path, file);
  auto source = read_file(entry.file, kFileLimitBytes);
  if (!source) return reader.fault("file", source.error().message);
  if (!is_valid_utf8(*source)) return reader.fault("file", entry.file + " is not UTF-8 text");
  if (source->empty()) return reader.fault("file", entry.file + " is empty");
  entry.code = std::move(*source);
}

void read_isolation(TableReader& reader, EvaluatorEntry& entry) {
  static const Names kIsolations = {"item", "run"};
  const std::string isolation = reader.text("isolation");
  if (isolation.empty() || !is_one_of(reader, "isolation", isolation, kIsolations)) return;
  if (isolation == "run" && entry.language != "node")
    return reader.fault("isolation", "only the language node can serve many items with one process");
  entry.isolation = isolation;
}

void read_requirements(TableReader& reader, EvaluatorEntry& entry) {
  entry.requirements = reader.texts("requirements");
  for (const std::string& line : entry.requirements)
    if (!is_requirement(line))
      return reader.fault("requirements", "has a line that names no package: \"" + line.substr(0, 80) + "\"");
  if (!entry.requirements.empty() && entry.language != "python" && entry.language != "node")
    reader.fault("requirements", "only evaluators in python or node can have them");
}

void read_grants(TableReader& reader, EvaluatorEntry& entry) {
  static const Names kGrants = {"candidate", "llm"};
  static const Names kLanguages = {"lua", "python", "node"};
  entry.grants = reader.texts("grants");
  for (const std::string& grant : entry.grants)
    if (!is_one_of(reader, "grants", grant, kGrants)) return;
  if (!entry.grants.empty() && std::ranges::find(kLanguages, entry.language) == kLanguages.end())
    reader.fault("grants", "only evaluators in " + joined(kLanguages) + " can use what is granted");
}

/// Text that stands in the file itself or in one beside it.
std::string read_prompt(TableReader& reader, const std::string& path) {
  const std::string file = reader.text("prompt_file");
  std::string prompt = reader.text("prompt");
  if (reader.has("prompt") && reader.has("prompt_file"))
    reader.fault("prompt_file", "give prompt or prompt_file, not both");
  if (file.empty()) return prompt;
  auto text = read_file(beside(path, file), kFileLimitBytes);
  if (!text) {
    reader.fault("prompt_file", text.error().message);
  } else if (!is_valid_utf8(*text)) {
    reader.fault("prompt_file", file + " is not UTF-8 text");
  } else {
    prompt = std::move(*text);
  }
  return prompt;
}

void read_judge(TableReader& reader, const std::string& path, EvaluatorEntry& entry) {
  static const Names kModes = {"pointwise", "pairwise"};
  static const Names kApis = {"chat.completions", "messages", "responses"};
  Json judgement = Json::object();
  const std::string model = reader.text("model");
  const auto panel = reader.texts("models");
  if (!model.empty() && !panel.empty()) reader.fault("models", "give model or models, not both");
  if (model.empty() && panel.empty())
    reader.missing("model", "the model that judges, such as \"openai/gpt-4o\"; or models = a panel of them");
  if (!model.empty()) judgement["model"] = model;
  if (!panel.empty()) judgement["models"] = panel;
  const std::string prompt = read_prompt(reader, path);
  if (!prompt.empty()) judgement["prompt"] = prompt;
  if (prompt.empty() && !reader.has("prompt_file") && !parse_json(entry.params)->contains("use"))
    reader.missing("prompt", "what to ask, or params = { use = … } to use a prompt that comes with Assay");
  if (const std::string mode = reader.text("mode"); !mode.empty() && is_one_of(reader, "mode", mode, kModes))
    judgement["mode"] = mode;
  if (const std::string api = reader.text("api"); !api.empty() && is_one_of(reader, "api", api, kApis))
    judgement["api"] = api;
  judgement["inference_params"] = *parse_json(reader.json("inference_params"));
  entry.judgement = dump_json(judgement);
}

/// What a definition of type code or judge has beside its name.
void read_definition(TableReader& reader, const std::string& path, Faults& faults, EvaluatorEntry& entry) {
  static const Names kLanguages = {"lua", "python", "node", "shell", "command", "plugin"};
  entry.params = reader.json("params");
  if (entry.judge) {
    read_judge(reader, path, entry);
  } else {
    entry.language = reader.required_text("language", "one of " + joined(kLanguages));
    if (!entry.language.empty()) is_one_of(reader, "language", entry.language, kLanguages);
    read_code(reader, path, entry);
    read_isolation(reader, entry);
    read_grants(reader, entry);
    read_requirements(reader, entry);
  }
  entry.limits = read_limits(reader, faults);
}

EvaluatorEntry read_part(const toml::table& table, const std::string& name, const std::string& place,
                         const std::string& path, Faults& faults) {
  static const Names kTypes = {"code", "judge"};
  EvaluatorEntry part;
  TableReader reader(table, place, faults);
  part.name = name;
  if (!Formula::is_name(name))
    faults.add(table.source(), place +
                                   " cannot be named in a formula: a name is a letter or _, then letters, "
                                   "digits and _");
  const std::string type = reader.required_text("type", "\"code\" or \"judge\"");
  if (!type.empty()) is_one_of(reader, "type", type, kTypes);
  part.judge = type == "judge";
  read_definition(reader, path, faults, part);
  return part;
}

void read_multi(TableReader& reader, const std::string& path, Faults& faults, EvaluatorEntry& entry) {
  entry.formula =
      reader.required_text("formula", "how the parts' scores become one, such as \"0.5 * a + 0.5 * b\"");
  const auto* parts = reader.table("parts");
  if (!reader.has("parts") || (parts != nullptr && parts->empty()))
    reader.missing("parts",
                   "tables [evaluator.parts.NAME], each with what an evaluator of type code or "
                   "judge has");
  if (parts == nullptr) return;
  Names names;
  for (const auto& [key, node] : *parts) {
    const std::string name(key.str());
    const std::string place = reader.named("parts." + name);
    names.push_back(name);
    if (const auto* table = node.as_table())
      entry.parts.push_back(read_part(*table, name, place, path, faults));
    else
      faults.add(node.source(), place + " must be a table");
  }
  if (const auto formula = Formula::parse(entry.formula, names); !formula && !entry.formula.empty())
    reader.fault("formula", reader.named("formula") + ": " + formula.error().message);
}

EvaluatorEntry read_evaluator(const toml::table& table, size_t number, const std::string& path,
                              Faults& faults) {
  static const Names kTypes = {"code", "judge", "multi"};
  EvaluatorEntry entry;
  TableReader reader(table, "evaluator " + std::to_string(number), faults);
  entry.name = reader.required_text("name", "results and gates call the evaluator by it");
  entry.description = reader.text("description");
  const std::string type = reader.required_text("type", "\"code\", \"judge\" or \"multi\"");
  if (!type.empty()) is_one_of(reader, "type", type, kTypes);
  entry.judge = type == "judge";
  if (type == "multi")
    read_multi(reader, path, faults, entry);
  else
    read_definition(reader, path, faults, entry);
  entry.pass_threshold = reader.number("pass_threshold");
  return entry;
}

std::vector<EvaluatorEntry> read_evaluators(TableReader& top, const std::string& path, Faults& faults) {
  std::vector<EvaluatorEntry> evaluators;
  const auto* node = top.find("evaluator");
  if (node == nullptr) {
    top.missing("[[evaluator]]", "an evaluation needs at least one");
    return evaluators;
  }
  const auto* list = node->as_array();
  if (list == nullptr ||
      !std::ranges::all_of(*list, [](const auto& element) { return element.is_table(); })) {
    top.wrong(*node, "evaluator", "a list of tables, written [[evaluator]]");
    return evaluators;
  }
  std::set<std::string> names;
  for (const auto& element : *list) {
    auto entry = read_evaluator(*element.as_table(), evaluators.size() + 1, path, faults);
    if (!entry.name.empty() && !names.insert(entry.name).second)
      faults.add(element.as_table()->get("name")->source(),
                 "two evaluators are named \"" + entry.name + "\"");
    evaluators.push_back(std::move(entry));
  }
  return evaluators;
}

/// Without quotes correct.pass_rate = "…" is a table in a table to TOML; it means the same gate.
void read_gates(const toml::table& table, const std::string& prefix, const Names& evaluators, Faults& faults,
                std::vector<Gate>& gates) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const auto* level = node.as_table()) {
      read_gates(*level, name + ".", evaluators, faults, gates);
      continue;
    }
    const auto* condition = node.as_string();
    if (condition == nullptr) {
      faults.add(node.source(), "gate \"" + name + "\" must be a string such as \">= 0.6\"");
      continue;
    }
    auto gate = parse_gate(name, condition->get());
    if (!gate) {
      faults.add(node.source(), "gate \"" + name + "\": " + gate.error().message);
    } else if (std::ranges::find(evaluators, gate->evaluator) == evaluators.end()) {
      const auto meant = nearest(gate->evaluator, evaluators);
      faults.add(node.source(), "gate \"" + name + "\": there is no evaluator named \"" + gate->evaluator +
                                    "\"" + (meant ? "; did you mean " + *meant + "?" : ""));
    } else {
      gates.push_back(std::move(*gate));
    }
  }
}

/// "my evaluation.v2" as "my-evaluation-v2".
std::string label_from(const std::string& path) {
  std::string label = std::filesystem::path(path).stem().string();
  for (char& c : label)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') c = '-';
  return label;
}

void read_top(const toml::table& table, EvaluationFile& file, Faults& faults) {
  TableReader top(table, "", faults);
  file.name = top.required_text("name", "what people call this evaluation");
  file.container = top.text("container");
  if (file.container.empty()) file.container = label_from(file.path);
  file.trials = static_cast<int>(top.integer("trials", 1, 1000).value_or(1));
  file.shard_size = top.integer("shard_size", 1, 1'000'000);
  file.environment = top.text("environment");
  file.labels = top.texts("labels");
  file.priority = top.integer("priority", -100, 100).value_or(0);
  file.spend_limit = top.number("spend_limit");
  if (file.spend_limit && *file.spend_limit <= 0)
    top.fault("spend_limit", "spend_limit must be more than 0, in US dollars");
  file.metadata = top.json("metadata");
  file.sample = read_side(top, "sample", file.path, faults);
  file.ground_truth = read_side(top, "ground_truth", file.path, faults);
  if (!top.has("sample") && !top.has("ground_truth"))
    top.missing("[sample]", "an evaluation needs [sample], [ground_truth] or both");
  if (file.sample && file.ground_truth && file.sample->join.empty() != file.ground_truth->join.empty()) {
    const char* with = file.sample->join.empty() ? "ground_truth" : "sample";
    faults.add(table.get(with)->source(), std::string(with) + ".join needs a join of the other side too");
  }
  file.evaluators = read_evaluators(top, file.path, faults);
  if (const auto* gates = top.table("gate")) {
    Names names;
    for (const auto& evaluator : file.evaluators) names.push_back(evaluator.name);
    read_gates(*gates, "", names, faults, file.gates);
  }
}

}  // namespace

Result<EvaluationFile> load_evaluation_file(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path, kFileLimitBytes));
  ASSAY_TRY(const toml::table table, parse_toml(path, text));
  EvaluationFile file;
  file.path = path;
  Faults faults(path);
  read_top(table, file, faults);
  if (!faults.empty()) return faults.error();
  return file;
}

namespace {

/// What the API keeps of a definition of type code or judge beside its name.
Json definition_json(const EvaluatorEntry& entry) {
  Json json{{"params", *parse_json(entry.params)}, {"limits", *parse_json(entry.limits)}};
  if (entry.judge) {
    json.update({{"type", "judge"}, {"mode", "pointwise"}});
    json.update(*parse_json(entry.judgement));
  } else {
    json.update({{"type", "code"},
                 {"language", entry.language},
                 {"isolation", entry.isolation},
                 {"grants", entry.grants},
                 {"requirements", entry.requirements},
                 {"code", entry.code}});
  }
  return json;
}

}  // namespace

Json evaluator_json(const EvaluatorEntry& entry, const std::string& container) {
  Json json{{"name", entry.name}, {"description", entry.description}, {"container", container}};
  // What is left out is said to be nothing, so that an evaluator that is there already loses it.
  const Json otherwise = entry.judge ? Json(1.0) : Json();
  json["pass_threshold"] = entry.pass_threshold ? Json(*entry.pass_threshold) : otherwise;
  if (entry.parts.empty()) {
    for (const char* key : {"model", "models", "prompt", "api"})
      if (entry.judge) json[key] = nullptr;
    json.update(definition_json(entry));
    return json;
  }
  json.update({{"type", "multi"}, {"formula", entry.formula}});
  for (const EvaluatorEntry& part : entry.parts) json["evaluators"][part.name] = definition_json(part);
  return json;
}

}  // namespace assay::cli
