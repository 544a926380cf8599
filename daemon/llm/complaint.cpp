#include "daemon/llm/complaint.hpp"

#include <array>
#include <optional>

#include "daemon/llm/words.hpp"
#include "daemon/llm/wrote.hpp"

namespace assay::llm {
namespace {

constexpr std::array<std::string_view, 19> kComplaints = {"unsupported",
                                                          "not supported",
                                                          "not support",
                                                          "unrecognized",
                                                          "unknown parameter",
                                                          "unknown field",
                                                          "unknown_parameter",
                                                          "unexpected keyword",
                                                          "extra inputs",
                                                          "extra_forbidden",
                                                          "not permitted",
                                                          "deprecated",
                                                          "cannot both",
                                                          "not allowed",
                                                          "unavailable",
                                                          "requires --",
                                                          "requires logprobs",
                                                          "enabled only",
                                                          "no endpoints found that support"};

/// Spellings of structured output; "no endpoints found that support tool use" is OpenRouter's 404.
constexpr std::array<std::string_view, 15> kStructureWords = {
    "response_format",   "response format", "json_schema",     "json_object",
    "json schema",       "text.format",     "output_format",   "output_config.format",
    "structured output", "tool_choice",     "tool choice",     "support tools",
    "tool use",          "tools",           "function calling"};

struct Spelling {
  std::string_view word;       ///< in lower case, as providers write it
  std::string_view parameter;  ///< as Parameters has it
  bool plain_english;          ///< also a word of ordinary sentences: must be quoted or end in a colon
};
constexpr std::array<Spelling, 15> kParameters = {{{"temperature", "temperature", false},
                                                   {"top_p", "top_p", false},
                                                   {"max_completion_tokens", "max_completion_tokens", false},
                                                   {"max_output_tokens", "max_tokens", false},
                                                   {"max_tokens", "max_tokens", false},
                                                   {"top_logprobs", "top_logprobs", false},
                                                   {"logprobs", "top_logprobs", false},
                                                   {"reasoning_effort", "reasoning_effort", false},
                                                   {"reasoning.effort", "reasoning_effort", false},
                                                   {"output_config.effort", "reasoning_effort", false},
                                                   {"effort", "reasoning_effort", true},
                                                   {"reasoning", "reasoning_effort", true},
                                                   {"stop_sequences", "stop", false},
                                                   {"stop", "stop", true},
                                                   {"seed", "seed", true}}};

bool in_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

bool is_quoted(std::string_view text, size_t at, size_t end) {
  if (end < text.size() && text[end] == ':') return true;
  return at > 0 && std::string_view("'\"`").contains(text[at - 1]);
}

/// Where `spelling` stands in `text` as a whole word, npos when nowhere.
size_t place_of(const Spelling& spelling, std::string_view text) {
  for (size_t at = text.find(spelling.word); at != std::string_view::npos;
       at = text.find(spelling.word, at + 1)) {
    const size_t end = at + spelling.word.size();
    if ((at > 0 && in_word(text[at - 1])) || (end < text.size() && in_word(text[end]))) continue;
    if (!spelling.plain_english || is_quoted(text, at, end)) return at;
  }
  return std::string_view::npos;
}

/// The parameter named first; of two that exclude each other the last, so that temperature stays.
const Spelling* parameter_in(std::string_view text) {
  const bool last = text.contains("cannot both");
  const Spelling* found = nullptr;
  size_t best = 0;
  for (const auto& spelling : kParameters) {
    const size_t at = place_of(spelling, text);
    if (at == std::string_view::npos || (found != nullptr && (last ? at <= best : at >= best))) continue;
    best = at;
    found = &spelling;
  }
  return found;
}

/// "tools" of "tools[0].function.strict".
std::string_view root_of(std::string_view param) {
  return param.substr(0, param.find_first_of(".["));
}

/// As spelled: "Temperature" is none of ours.
Complaint about_param(const std::string& param) {
  for (const auto& spelling : kParameters)
    if (param == spelling.word) return {Complaint::About::parameter, std::string(spelling.parameter), true};
  const auto root = root_of(param);
  const bool format = param.starts_with("text.format") || param.starts_with("output_config.format");
  if (format || root == "response_format" || root == "tools" || root == "tool_choice")
    return {Complaint::About::structure, {}, true};
  return {Complaint::About::parameter, std::string(root), false};
}

Complaint about_words(std::string_view message, const Request* asked) {
  // What names both ("'strict' in tools is not supported", "… to use logprobs with tools") is about the
  // parameter only when that is all it names.
  if (has_any(message, kStructureWords))
    return {Complaint::About::structure, {}, says_itself(message, kStructureWords, asked)};
  if (const Spelling* spelling = parameter_in(message))
    return {Complaint::About::parameter, std::string(spelling->parameter), !stands_in(asked, spelling->word)};
  return {};
}

}  // namespace

Complaint complaint_of(const ProviderError& error, const Request* asked) {
  const std::string message = lower(error.message);
  const bool by_code = has_any(lower(error.code), kComplaints);
  if (!by_code && !has_any(message, kComplaints)) return {};
  Complaint complaint = error.param.empty() ? about_words(message, asked) : about_param(error.param);
  if (complaint.of_model)
    complaint.of_model = (by_code || says_itself(message, kComplaints, asked)) &&
                         !message.contains("invalid schema") && !names_what_was_asked(asked, message);
  return complaint;
}

}  // namespace assay::llm
