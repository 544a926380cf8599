#include "cli/evaluation_file.hpp"

#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/data_file.hpp"
#include "core/fd.hpp"
#include "core/json.hpp"
#include "core/requirement.hpp"
#include "core/settings.hpp"

namespace assay::cli {
namespace {

constexpr size_t kFileLimitBytes = size_t{1} << 20;
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

using Names = std::vector<std::string>;

std::string joined(const Names& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// What is wrong with the file, in the order of its lines.
class Faults {
 public:
  explicit Faults(std::string path) : path_(std::move(path)) {}
  void add(const toml::source_region& where, std::string what) {
    found_.emplace(where.begin.line, std::move(what));
  }
  bool empty() const { return found_.empty(); }
  std::unexpected<Error> error() {
    std::string text;
    for (const auto& [line, what] : found_)
      text += (text.empty() ? "" : "\n") + path_ + ":" + std::to_string(line) + ": " + what;
    return fail(ErrorKind::config, std::move(text));
  }

 private:
  std::string path_;
  std::multimap<toml::source_index, std::string> found_;  // by line
};

/// Reads the keys of one table. A key that nobody asked for is a fault when the reader is done with.
class TableReader {
 public:
  /// `place` is how messages name the table: "sample", "evaluator 2"; empty for the file's top.
  TableReader(const toml::table& table, std::string place, Faults& faults)
      : table_(table), place_(std::move(place)), faults_(faults) {}
  TableReader(const TableReader&) = delete;
  TableReader& operator=(const TableReader&) = delete;
  ~TableReader() {
    for (const auto& [key, node] : table_) {
      const std::string name(key.str());
      if (std::ranges::find(known_, name) != known_.end()) continue;
      const auto meant = nearest(name, known_);
      faults_.add(key.source(),
                  "unknown key " + named(name) +
                      (meant ? "; did you mean " + *meant + "?" : "; the keys here are " + joined(known_)));
    }
  }

  const toml::node* find(const std::string& key) {
    known_.push_back(key);
    return table_.get(key);
  }
  std::string text(const std::string& key) {
    const auto* node = find(key);
    if (node == nullptr) return {};
    if (const auto* value = node->as_string()) return value->get();
    wrong(*node, key, "a string");
    return {};
  }
  std::vector<std::string> texts(const std::string& key) {
    std::vector<std::string> list;
    const auto* node = find(key);
    if (node == nullptr) return list;
    const auto* array = node->as_array();
    const auto is_text = [](const auto& element) { return element.is_string(); };
    if (array == nullptr || !std::ranges::all_of(*array, is_text)) {
      wrong(*node, key, "a list of strings");
      return list;
    }
    for (const auto& element : *array) list.push_back(element.as_string()->get());
    return list;
  }
  std::string required_text(const std::string& key, const std::string& for_what) {
    std::string value = text(key);
    if (value.empty() && (!has(key) || table_.get(key)->is_string())) missing(key, for_what);
    return value;
  }
  std::optional<int64_t> integer(const std::string& key, int64_t low, int64_t high = kMost) {
    const auto* node = find(key);
    if (node == nullptr) return std::nullopt;
    const auto* value = node->as_integer();
    if (value == nullptr) {
      wrong(*node, key, "a whole number");
    } else if (value->get() < low || value->get() > high) {
      const std::string range = high == kMost ? "at least " + std::to_string(low)
                                              : "from " + std::to_string(low) + " to " + std::to_string(high);
      faults_.add(node->source(), named(key) + " must be " + range + ", not " + std::to_string(value->get()));
    } else {
      return value->get();
    }
    return std::nullopt;
  }
  std::optional<double> number(const std::string& key) {
    const auto* node = find(key);
    if (node == nullptr) return std::nullopt;
    const auto value = node->value<double>();
    if (value && node->is_number() && std::isfinite(*value)) return value;
    wrong(*node, key, "a number");
    return std::nullopt;
  }
  const toml::table* table(const std::string& key) {
    const auto* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) wrong(*node, key, "a table");
    return node->as_table();
  }
  /// A table as JSON, "{}" when there is none.
  std::string json(const std::string& key) {
    const auto* value = table(key);
    if (value == nullptr) return "{}";
    if (!is_finite(*value)) {
      faults_.add(value->source(), named(key) + " holds nan or inf, which JSON cannot carry");
      return "{}";
    }
    std::ostringstream out;
    out << toml::json_formatter{*value, toml::format_flags::quote_dates_and_times};
    const auto parsed = parse_json(out.str());
    if (!parsed) faults_.add(value->source(), named(key) + ": " + parsed.error().message);
    return parsed ? dump_json(*parsed) : "{}";
  }

  bool has(const std::string& key) const { return table_.contains(key); }
  const toml::source_region& source() const { return table_.source(); }
  /// "sample.file"; evaluators are numbered: "file of evaluator 2".
  std::string named(const std::string& key) const {
    if (place_.empty()) return key;
    return place_.contains(' ') ? key + " of " + place_ : place_ + "." + key;
  }
  void wrong(const toml::node& node, const std::string& key, const std::string& expected) {
    faults_.add(node.source(), named(key) + " must be " + expected);
  }
  void missing(const std::string& key, const std::string& for_what) {
    faults_.add(source(), named(key) + " is missing: " + for_what);
  }
  void fault(const std::string& key, std::string what) {
    faults_.add(table_.get(key)->source(), std::move(what));
  }

 private:
  static bool is_finite(const toml::node& node) {
    if (const auto* value = node.as_floating_point()) return std::isfinite(value->get());
    if (const auto* list = node.as_array())
      return std::ranges::all_of(*list, [](const auto& e) { return is_finite(e); });
    if (const auto* level = node.as_table())
      for (const auto& [key, value] : *level)
        if (!is_finite(value)) return false;
    return true;
  }

  const toml::table& table_;
  std::string place_;
  Faults& faults_;
  Names known_;
};

/// A word of a fixed set; a fault names the set.
bool is_one_of(TableReader& reader, const std::string& key, const std::string& word, const Names& words) {
  if (std::ranges::find(words, word) != words.end()) return true;
  const auto meant = nearest(word, words);
  reader.fault(key, "unknown " + key + " \"" + word + "\"" +
                        (meant ? "; did you mean " + *meant + "?" : "; it is one of " + joined(words)));
  return false;
}

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
  static const Names kGrants = {"candidate"};
  static const Names kLanguages = {"lua", "python", "node"};
  entry.grants = reader.texts("grants");
  for (const std::string& grant : entry.grants)
    if (!is_one_of(reader, "grants", grant, kGrants)) return;
  if (!entry.grants.empty() && std::ranges::find(kLanguages, entry.language) == kLanguages.end())
    reader.fault("grants", "only evaluators in " + joined(kLanguages) + " can use what is granted");
}

EvaluatorEntry read_evaluator(const toml::table& table, size_t number, const std::string& path,
                              Faults& faults) {
  static const Names kTypes = {"code", "judge"};
  static const Names kLanguages = {"lua", "python", "node", "shell", "command", "plugin"};
  EvaluatorEntry entry;
  TableReader reader(table, "evaluator " + std::to_string(number), faults);
  entry.name = reader.required_text("name", "results and gates call the evaluator by it");
  entry.description = reader.text("description");
  const std::string type = reader.required_text("type", "\"code\"");
  if (type == "judge") {
    reader.fault("type", "the type \"judge\" is not in this build");
    for (const char* known : {"model", "prompt", "mode", "api", "inference_params"}) reader.find(known);
  } else if (!type.empty()) {
    is_one_of(reader, "type", type, kTypes);
  }
  if (type == "judge") {
    for (const char* known : {"language", "isolation", "grants", "requirements", "file", "code"})
      reader.find(known);
  } else {
    entry.language = reader.required_text("language", "one of " + joined(kLanguages));
    if (!entry.language.empty()) is_one_of(reader, "language", entry.language, kLanguages);
    read_code(reader, path, entry);
    read_isolation(reader, entry);
    read_grants(reader, entry);
    read_requirements(reader, entry);
  }
  entry.pass_threshold = reader.number("pass_threshold");
  entry.params = reader.json("params");
  entry.limits = read_limits(reader, faults);
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
  toml::table table;
  try {
    table = toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    return fail(ErrorKind::config,
                path + ":" + std::to_string(e.source().begin.line) + ": " + std::string(e.description()));
  }
  EvaluationFile file;
  file.path = path;
  Faults faults(path);
  read_top(table, file, faults);
  if (!faults.empty()) return faults.error();
  return file;
}

Json evaluator_json(const EvaluatorEntry& entry, const std::string& container) {
  Json json{{"name", entry.name},
            {"description", entry.description},
            {"container", container},
            {"language", entry.language},
            {"isolation", entry.isolation},
            {"grants", entry.grants},
            {"requirements", entry.requirements},
            {"code", entry.code},
            {"params", *parse_json(entry.params)},
            {"limits", *parse_json(entry.limits)}};
  json["pass_threshold"] = entry.pass_threshold ? Json(*entry.pass_threshold) : Json();
  return json;
}

}  // namespace assay::cli
