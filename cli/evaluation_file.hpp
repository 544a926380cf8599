// The evaluation file: what `assay run` and `assay submit` are given. TOML; docs and examples/quickstart show
// its keys.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/gate.hpp"
#include "core/error.hpp"
#include "core/json.hpp"

namespace assay::cli {

/// One side of the items: [sample] or [ground_truth].
struct DataSide {
  enum class Type { dataset, container, generate };
  Type type = Type::dataset;
  std::vector<std::string> models;      ///< generate: slugs
  std::string prompt;                   ///< generate: a template; empty: the other side's input is asked
  std::string inference_params = "{}";  ///< generate: JSON object
  std::string file;       ///< dataset: path as it can be opened, or empty when `dataset` is given
  std::string dataset;    ///< dataset: name or id of one that is on the server
  std::string container;  ///< container: label or id; empty: the evaluation's own
  std::string input_column, output_column;  ///< dotted paths; empty: not selected
  std::string join;                         ///< dataset: column that pairs the two sides
  std::string since, until;                 ///< container: times as ISO 8601
  std::optional<int64_t> limit, offset, shuffle_seed;
};

struct EvaluatorEntry {
  std::string name;
  std::string description;
  bool judge = false;                 ///< of type judge: it has `judgement`, and nothing down to requirements
  std::string formula;                ///< of type multi: it has `parts`, and nothing down to requirements
  std::vector<EvaluatorEntry> parts;  ///< of type code or judge; no description, no pass_threshold
  std::string judgement = "{}";       ///< JSON object: model or models, prompt, mode, api, inference_params
  std::string language;               ///< lua, python, node, shell, command, plugin
  std::string isolation = "item";     ///< or "run"
  std::string code;                   ///< source, from `code` or read from `file`
  std::string file;                   ///< path the code came from; empty when it stood in the evaluation file
  std::vector<std::string> grants;    ///< "candidate", "llm"
  std::vector<std::string> requirements;
  std::optional<double> pass_threshold;
  std::string params = "{}";  ///< JSON object
  std::string limits =
      "{}";  ///< JSON object: wall_ms, cpu_ms, load_ms, memory_bytes, result_bytes, log_bytes, llm_calls
};

/// A side of the type generate, as the API takes it.
Json generation_json(const DataSide& side);

/// The evaluator as the API takes it.
Json evaluator_json(const EvaluatorEntry& entry, const std::string& container);

struct EvaluationFile {
  std::string path;
  std::string name;
  std::string container;  ///< label; by default made from the file's name
  int trials = 1;
  std::optional<int64_t> shard_size;
  std::string environment;                       ///< whose workers take it; empty: the API's default, "main"
  std::vector<std::string> labels;               ///< what its workers must have
  int64_t priority = 0;                          ///< among the runs of a project, -100 to 100
  std::optional<double> spend_limit;             ///< US dollars that model calls may cost
  std::string metadata = "{}";                   ///< JSON object
  std::optional<DataSide> sample, ground_truth;  ///< at least one
  std::vector<EvaluatorEntry> evaluators;        ///< at least one, names unique
  std::vector<Gate> gates;
};

/// Reads and checks the file, the evaluators' sources with it; data files must exist and be readable. Every
/// fault is in the one `config` error, a line each: FILE:LINE: what is wrong and what to do.
Result<EvaluationFile> load_evaluation_file(const std::string& path);

}  // namespace assay::cli
