#include "cli/openai/conversion.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

#include "cli/openai/members.hpp"
#include "plugins/common/template.hpp"

namespace assay::cli::openai {
namespace {

constexpr size_t kNameBytes = 128;

/// What the API and tables of results show as one line.
std::string label_of(const std::string& text) {
  std::string label;
  for (const char c : text.substr(0, kNameBytes))
    label += static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/' || c == '"' ? '-' : c;
  while (!label.empty() && label.back() == ' ') label.pop_back();
  while (!label.empty() && label.front() == ' ') label.erase(0, 1);
  return to_valid_utf8(label);
}

std::string first_free(std::set<std::string>& taken, const std::string& stem, const std::string& ending) {
  std::string name = stem + ending;
  for (int number = 2; !taken.insert(name).second; ++number)
    name = stem + "-" + std::to_string(number) + ending;
  return name;
}

/// A variable of a template: "sample.output_json.city".
Result<> check_variable(const std::string& variable, const std::string& path, Conversion& into) {
  const size_t end = variable.find_first_of(".[");
  const std::string space = variable.substr(0, end);
  const std::string shown = "{{ " + variable + " }} ";
  if ((space != "item" && space != "sample") || end == std::string::npos || variable[end] != '.')
    return fault(path, shown + "is no variable of a grader: those are item.NAME and sample.NAME");
  if (variable.starts_with("sample.output_audio"))
    return fault(
        path, shown + "is audio, which no evaluator here hears; use its transcript as a member of the item");
  if (space == "sample" && into.sample_used.empty()) into.sample_used = path;
  return {};
}

/// The text of a message: a string, a part with a text, or a list of them.
Result<std::string> content_text(const Json& content, const std::string& path) {
  if (content.is_string()) return content.get<std::string>();
  if (content.is_array() && !content.empty()) {
    std::string text;
    for (size_t i = 0; i < content.size(); ++i) {
      ASSAY_TRY(const std::string part, content_text(content[i], path + "[" + std::to_string(i) + "]"));
      text += (i > 0 ? "\n" : "") + part;
    }
    return text;
  }
  if (!content.is_object()) return fault(path, "must be a text or a list of parts with a text");
  ASSAY_TRY(Members part, Members::of(content, path));
  ASSAY_TRY(const std::string type, part.text("type"));
  if (type == "input_image" || type == "input_audio")
    return fault(part.at("type"), type + " has no counterpart: models are asked with text alone");
  if (type != "input_text" && type != "output_text" && type != "text")
    return fault(part.at("type"), "must be input_text or output_text");
  ASSAY_TRY(std::string text, part.text_or("text", ""));
  part.ignore({"annotations", "logprobs"});
  ASSAY_OK(part.done());
  return text;
}

}  // namespace

std::string Conversion::new_name(const std::string& wanted) {
  const std::string label = label_of(wanted);
  return first_free(names_, label.empty() ? "grader" : label, "");
}

std::string Conversion::new_file(const std::string& name, const std::string& ending, std::string text) {
  files.push_back({first_free(file_names_, plain_name(name, "grader"), ending), std::move(text)});
  return files.back().name;
}

std::string plain_name(const std::string& text, const std::string& otherwise) {
  std::string name;
  for (const char c : text) {
    const bool plain = c == '_' || std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (plain)
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  name.resize(std::min<size_t>(name.size(), 64));
  while (name.ends_with('-')) name.pop_back();
  return name.empty() ? otherwise : name;
}

Result<size_t> check_template(const std::string& text, const std::string& path, Conversion& into) {
  const auto made = plugins::Template::compile(text);
  if (!made) return fault(path, made.error().message);
  for (const std::string& variable : made->variables()) {
    ASSAY_OK(check_variable(variable, path, into));
  }
  return made->variables().size();
}

Result<Json> chat_from(const Json& messages, const std::string& path, Conversion& into) {
  static constexpr std::array<std::string_view, 4> kRoles = {"system", "developer", "user", "assistant"};
  Json chat = Json::array();
  size_t variables = 0;
  bool asks = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    ASSAY_TRY(Members message, Members::of(messages[i], path + "[" + std::to_string(i) + "]"));
    ASSAY_TRY(const std::string role, message.text("role"));
    if (std::ranges::find(kRoles, role) == kRoles.end())
      return fault(message.at("role"), "must be system, developer, user or assistant");
    const Json* content = message.find("content");
    if (content == nullptr) return fault(message.at("content"), "is missing");
    ASSAY_TRY(const std::string text, content_text(*content, message.at("content")));
    ASSAY_TRY(const size_t named, check_template(text, message.at("content"), into));
    message.ignore({"type", "phase"});
    ASSAY_OK(message.done());
    variables += named;
    asks = asks || role == "user" || role == "assistant";
    chat.push_back({{"role", role}, {"content", text}});
  }
  if (variables == 0)
    return fault(path, "names no {{ item.… }} and no {{ sample.… }}: every row would be the same");
  if (!asks) {
    chat.back()["role"] = "user";
    into.notes.push_back(path + ": all messages are the system's; the last one is asked as the user's");
  }
  return chat;
}

Result<Json> inference_params_from(const Json* params, const std::string& path) {
  Json out = Json::object();
  if (params == nullptr) return out;
  ASSAY_TRY(Members members, Members::of(*params, path));
  for (const char* name : {"temperature", "top_p", "seed", "reasoning_effort", "response_format"})
    if (const Json* value = members.find(name)) out[name] = *value;
  // The API's own spelling differs between graders and runs.
  for (const char* name :
       {"max_completions_tokens", "max_completion_tokens", "max_tokens", "max_output_tokens"})
    if (const Json* value = members.find(name)) out["max_completion_tokens"] = *value;
  if (const Json* tools = members.find("tools"); tools != nullptr && !tools->empty())
    return fault(members.at("tools"),
                 "have no counterpart: models are asked for text. Run it with your own "
                 "program and give its answers as samples, with --data");
  ASSAY_OK(members.done());
  return out;
}

}  // namespace assay::cli::openai
