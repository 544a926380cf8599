// A prompt or another text with `{{ dotted.path }}` in it: compiled once, filled in one pass.
//
// The prompt is a text, or a chat as the text of a JSON array: [{"role": "system", "content": "…"}, …].
// A path is names joined by dots; elements of arrays as `.0` or `[0]`. `\{{` is a literal `{{`, and `\\{{` a
// backslash before a variable; everything else is literal. There are no filters, sections or expressions.
//
// What a path begins with:
//   input question query                                           the item's input, as text
//   output answer response completion generation submission        the sample's output, as text
//   expected reference ground_truth target ideal label criterion   the ground truth's output, as text
//   response_a, response_b       the sample's and the ground truth's text; the other way round when swapped
//   context retrieval_context    `context` or `retrieval_context` of the item, its metadata or its input
//   tool_calls                   what the sample's chat message called
//   metadata.*  id  index        the item's own
//   item.*      a member of the ground truth's data; else of the item, its metadata, its input
//   sample.*    OpenAI's output_text, output_json, output_tools; a member of the sample; a member of its
//   output
// and what the evaluator adds (`also`), which are members of the item.
// With a path behind it, a name of the first three lines means the data itself:
// `output.choices.0.finish_reason`.
//
// Text goes in as it is, all else as compact JSON. What an item does not have, or has as null, is an error of
// that item: never an empty string.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/common/error.hpp"

namespace assay::plugins {

inline constexpr size_t kTemplateLimit = 256 * 1024;     ///< bytes of a template
inline constexpr size_t kVariablesLimit = 128;           ///< places where a template inserts something
inline constexpr size_t kPromptLimit = 8 * 1024 * 1024;  ///< bytes of a rendered prompt
inline constexpr size_t kDefaultBudget = 64 * 1024;      ///< bytes of a variable

struct Message {
  std::string role;  ///< system, developer, user or assistant
  std::string content;
};

struct RenderOptions {
  /// What goes in for a variable (as the template writes it) and its text; empty: the text.
  std::function<std::string(std::string_view variable, std::string_view text)> wrap;
  bool swapped = false;            ///< response_a is the ground truth, response_b the sample
  size_t budget = kDefaultBudget;  ///< bytes of each inserted text, before it is neutralised; at most 1 MiB
  std::map<std::string, size_t> budgets;  ///< by variable as the template writes it, without blanks
};

struct Rendered {
  std::vector<Message> messages;  ///< of a text: one, of the user
  std::vector<std::string> cut;   ///< variables that were larger than their budget; a marker shows where
  std::vector<std::string>
      judged;  ///< the texts that went in, as the item has them: what a verdict must not echo
};

class Template {
 public:
  /// `config` for an unknown variable or a mistake in the template, with message, line and column.
  /// `also`: further names that items have, from the evaluator's parameters.
  static Result<Template> compile(std::string_view prompt, std::span<const std::string> also = {}) noexcept;

  /// `item`, nested at most 64 deep: {"sample": {…}, "ground_truth": {…}, "id", "index", "metadata"}
  /// (docs/evaluators.md), any member absent.
  Result<Rendered> render(const nlohmann::json& item, const RenderOptions& options = {}) const noexcept;

  /// The variables, each once, as the template writes them, without blanks.
  const std::vector<std::string>& variables() const noexcept { return variables_; }
  bool is_chat() const noexcept { return chat_; }

 private:
  struct Piece {
    std::string text;               ///< literal, or the variable as written
    std::vector<std::string> path;  ///< empty: literal
    std::string place;              ///< "line 3, column 14"
  };
  struct Part {
    std::string role;
    std::vector<Piece> pieces;
  };
  class Compiler;
  class Renderer;

  std::vector<Part> parts_;
  std::vector<std::string> variables_;
  bool chat_ = false;
};

}  // namespace assay::plugins
