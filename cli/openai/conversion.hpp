// What becomes of a file of OpenAI's: evaluators of an evaluation file, files beside it, and what to tell.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/json.hpp"

namespace assay::cli::openai {

/// The table of an evaluator: keys with their values as TOML.
struct EvaluatorTable {
  std::string name;
  std::vector<std::pair<std::string, std::string>> keys;
  std::vector<EvaluatorTable> parts;  ///< of a multi

  void add(std::string key, std::string value) { keys.emplace_back(std::move(key), std::move(value)); }
};

struct BesideFile {
  std::string name, text;
};

struct Conversion {
  std::vector<EvaluatorTable> evaluators;
  std::vector<BesideFile> files;
  std::vector<std::string> notes;  ///< what a person should know: "testing_criteria[0].image_tag: …"
  std::string sample_used;         ///< the path of a template that names the sample, or empty

  /// A name that no evaluator has yet.
  std::string new_name(const std::string& wanted);
  /// A file's name, made of an evaluator's, that no file has yet; `ending` is ".py".
  std::string new_file(const std::string& name, const std::string& ending, std::string text);

 private:
  std::set<std::string> names_, file_names_;
};

/// A name as a file's or a container's: letters, digits, - and _.
std::string plain_name(const std::string& text, const std::string& otherwise);

/// Checks a text that may name `{{ item.… }}` and `{{ sample.… }}`, and notes in `into` whether it names the
/// sample. The number of variables.
Result<size_t> check_template(const std::string& text, const std::string& path, Conversion& into);
/// Messages as OpenAI writes them as a chat of templates: [{"role", "content"}, …].
Result<Json> chat_from(const Json& messages, const std::string& path, Conversion& into);
/// Sampling parameters under the names that models are asked with.
Result<Json> inference_params_from(const Json* params, const std::string& path);

/// One grader and what it brings; `config` that names the path of what has no counterpart.
Result<> convert_grader(const Json& grader, const std::string& path, Conversion& into);

}  // namespace assay::cli::openai
