// The files that OpenAI's API gives out: an eval, and a run of it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace assay::cli::openai {

/// What a file says is graded, and of what shape the rows are.
struct EvalFile {
  enum class Rows {
    unsaid,       ///< bare graders
    items,        ///< {"item": {…}}
    with_sample,  ///< {"item": {…}, "sample": {…}}
    stored,       ///< completions that OpenAI stored: they are nowhere else
  };
  std::string name;  ///< may be empty
  Rows rows = Rows::unsaid;
  std::string rows_path;                                     ///< where the file says so
  std::vector<std::pair<std::string, std::string>> graders;  ///< path, JSON; at least one
};

/// An eval, a list of which `name` (or, when empty, the only one) is taken, an object with `grader` as
/// fine-tuning has it, a list of graders, or one. `config` that says what it is instead.
Result<EvalFile> read_eval(const Json& json, const std::string& name);

/// Where a run's samples and rows come from.
struct RunFile {
  std::optional<std::string> rows;  ///< a JSON array; without: they are elsewhere
  std::string rows_elsewhere;       ///< what to do about that
  bool generates = false;           ///< and what it asks
  std::string model;
  std::string messages;  ///< JSON, as OpenAI writes them
  std::string messages_path;
  std::string sampling_params = "null";  ///< JSON
  std::string sampling_path;
};

/// A run, or a list of one.
Result<RunFile> read_run(const Json& json);

}  // namespace assay::cli::openai
