// `assay import openai-eval`: an eval of OpenAI's hosted service as an evaluation file and what it needs.
#pragma once

#include <string>
#include <vector>

#include "core/error.hpp"

namespace assay::cli::openai {

struct ImportOptions {
  std::string file;  ///< the eval, JSON
  std::string run;   ///< a run of it, JSON; or empty
  std::string data;  ///< rows; or empty
  std::string out;   ///< the folder; empty: named after the eval
  std::string name;  ///< which eval of a list
};

struct Imported {
  std::string folder;
  std::vector<std::string> files;  ///< written, evaluation.toml first
  std::vector<std::string> notes;  ///< what a person should know or do
};

/// Reads and checks everything before the first file is written, and overwrites none. `config`:
/// "FILE: testing_criteria[2].model: what is wrong and what to do".
Result<Imported> import_eval(const ImportOptions& options);

}  // namespace assay::cli::openai
