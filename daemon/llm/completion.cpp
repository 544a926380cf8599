#include "daemon/llm/completion.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "daemon/llm/quote.hpp"
#include "daemon/llm/words.hpp"

namespace assay::llm {
namespace {

constexpr std::array<std::string_view, 4> kRoles = {"system", "developer", "user", "assistant"};

/// Members that the request says otherwise, or that make an answer that is not one chat message.
constexpr std::array<std::string_view, 17> kOwnMembers = {"model",
                                                          "messages",
                                                          "input",
                                                          "system",
                                                          "instructions",
                                                          "n",
                                                          "stream",
                                                          "stream_options",
                                                          "tools",
                                                          "tool_choice",
                                                          "functions",
                                                          "function_call",
                                                          "background",
                                                          "conversation",
                                                          "stop_sequences",
                                                          "response_format",
                                                          "previous_response_id"};

constexpr std::array<std::string_view, 10> kOwnParameters = {
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "max_output_tokens",
    "seed",        "stop",  "logprobs",   "top_logprobs",          "reasoning_effort"};
constexpr size_t kNameLimit = 64;

/// Without case and separators.
std::string folded(std::string_view name) {
  std::string out = lower(name);
  std::erase_if(out, [](char c) { return c == '_' || c == '-' || c == '.'; });
  return out;
}

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.';
}

std::unexpected<Error> bad(std::string_view where, std::string_view what) {
  return fail(ErrorKind::config, std::string(where) + ": " + std::string(what));
}

Result<Part> part_from(const Json& json, const std::string& where) {
  if (!json.is_object()) return bad(where, "must be an object with \"type\"");
  const auto type = json.find("type");
  if (type != json.end() && *type == "text") {
    const auto text = json.find("text");
    if (text == json.end() || !text->is_string()) return bad(where + ".text", "must be a string");
    return Part{Part::Type::text, text->get<std::string>()};
  }
  if (type != json.end() && *type == "image_url") {
    const auto image = json.find("image_url");
    if (image == json.end() || !image->is_object() || !image->contains("url") || !(*image)["url"].is_string())
      return bad(where + ".image_url", "must be an object with \"url\", a string");
    return Part{Part::Type::image, (*image)["url"].get<std::string>()};
  }
  return bad(where + ".type", "must be \"text\" or \"image_url\"");
}

Result<Message> message_from(const Json& json, const std::string& where) {
  if (!json.is_object()) return bad(where, "must be an object with \"role\" and \"content\"");
  for (const auto& [name, value] : json.items())
    if (name != "role" && name != "content")
      return bad(where + "." + name, R"(is not known; a message has "role" and "content")");
  const auto role = json.find("role");
  const auto* known = role != json.end() && role->is_string()
                          ? std::ranges::find(kRoles, role->get_ref<const std::string&>())
                          : kRoles.end();
  if (known == kRoles.end())
    return bad(where + ".role", R"(must be "system", "developer", "user" or "assistant")");
  Message message{static_cast<Role>(known - kRoles.begin()), {}};
  const auto content = json.find("content");
  if (content != json.end() && content->is_string()) {
    message.parts.push_back({Part::Type::text, content->get<std::string>()});
    return message;
  }
  if (content == json.end() || !content->is_array() || content->empty())
    return bad(where + ".content", "must be a string or a list of parts");
  for (size_t i = 0; i < content->size(); ++i) {
    ASSAY_TRY(auto part, part_from((*content)[i], where + ".content[" + std::to_string(i) + "]"));
    message.parts.push_back(std::move(part));
  }
  return message;
}

Result<double> number_between(const Json& json, std::string_view name, double low, double high) {
  if (json.is_number())
    if (const auto value = json.get<double>(); value >= low && value <= high) return value;
  return bad(name, "must be a number from " + dump_json(low) + " to " + dump_json(high));
}

Result<int64_t> integer_between(const Json& json, std::string_view name, int64_t low, int64_t high) {
  const bool fits =
      json.is_number_integer() && (!json.is_number_unsigned() || json.get<uint64_t>() <= INT64_MAX);
  if (fits)
    if (const auto value = json.get<int64_t>(); value >= low && value <= high) return value;
  return bad(name, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
}

Result<std::vector<std::string>> stop_from(const Json& json) {
  const Json list = json.is_string() ? Json::array({json}) : json;
  std::vector<std::string> stop;
  if (!list.is_array()) return bad("stop", "must be a string or a list of strings");
  for (const auto& text : list) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty())
      return bad("stop", "must be a string or a list of strings, none of them empty");
    stop.push_back(text.get<std::string>());
  }
  return stop;
}

bool is_max_tokens(std::string_view name) {
  return name == "max_tokens" || name == "max_completion_tokens" || name == "max_output_tokens";
}

Result<void> set_max_tokens(Parameters& parameters, const std::string& name, const Json& value) {
  if (parameters.max_tokens) return bad(name, "the limit of the output is given twice");
  ASSAY_TRY(parameters.max_tokens, integer_between(value, name, 1, kMostOutputTokens));
  if (name == "max_completion_tokens") parameters.max_tokens_name = MaxTokensName::max_completion_tokens;
  return {};
}

Result<void> set_logprobs(Parameters& parameters, const Json& wanted, const Json& top) {
  if (!wanted.is_null() && !wanted.is_boolean()) return bad("logprobs", "must be true or false");
  if (!top.is_null()) {
    if (wanted == false) return bad("top_logprobs", "needs \"logprobs\": true");
    ASSAY_TRY(const auto count, integer_between(top, "top_logprobs", 0, 20));
    parameters.top_logprobs = static_cast<int>(count);
  } else if (wanted == true) {
    parameters.top_logprobs = 0;
  }
  return {};
}

/// Whether `name` is one of Parameters' own, which is then set.
Result<bool> set_parameter(Parameters& parameters, const std::string& name, const Json& value) {
  if (name == "temperature") {
    ASSAY_TRY(parameters.temperature, number_between(value, name, 0, 2));
  } else if (name == "top_p") {
    ASSAY_TRY(parameters.top_p, number_between(value, name, 0, 1));
  } else if (is_max_tokens(name)) {
    ASSAY_OK(set_max_tokens(parameters, name, value));
  } else if (name == "seed") {
    ASSAY_TRY(parameters.seed, integer_between(value, name, INT64_MIN, INT64_MAX));
  } else if (name == "stop") {
    ASSAY_TRY(parameters.stop, stop_from(value));
  } else if (name == "reasoning_effort") {
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
      return bad(name, "must be a string such as \"low\" or \"high\"");
    parameters.reasoning_effort = value.get<std::string>();
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::string_view to_string(Role role) {
  return kRoles.at(static_cast<size_t>(role));
}

std::string_view to_string(StructureMode mode) {
  static constexpr std::array<std::string_view, 4> kNames = {"schema", "tool", "json_object", "prompt"};
  return kNames.at(static_cast<size_t>(mode));
}

std::string_view to_string(Finish finish) {
  static constexpr std::array<std::string_view, 6> kNames = {"stop",    "length", "content_filter",
                                                             "refusal", "tool",   "other"};
  return kNames.at(static_cast<size_t>(finish));
}

Result<std::vector<Message>> messages_from(const Json& array) {
  if (!array.is_array() || array.empty()) return bad("messages", "must be a list with at least one message");
  if (array.size() > kMostMessages)
    return bad("messages", "has " + std::to_string(array.size()) + " messages; " +
                               std::to_string(kMostMessages) + " are the most");
  std::vector<Message> messages;
  for (size_t i = 0; i < array.size(); ++i) {
    ASSAY_TRY(auto message, message_from(array[i], "messages[" + std::to_string(i) + "]"));
    messages.push_back(std::move(message));
  }
  return messages;
}

Result<void> check_forwardable(const std::string& name) {
  if (name.empty() || name.size() > kNameLimit || !std::ranges::all_of(name, in_name))
    return bad(quote(name, {}, kNameLimit),
               "the name of a parameter must be 1 to 64 letters, digits, _, - or .");
  const auto is_it = [own = folded(name)](std::string_view other) { return folded(other) == own; };
  if (std::ranges::any_of(kOwnMembers, is_it) || std::ranges::any_of(kOwnParameters, is_it))
    return bad(name, "cannot be set as a parameter of inference");
  return {};
}

Result<Parameters> parameters_from(const Json& object) {
  if (!object.is_object()) return bad("parameters", "must be an object");
  Parameters parameters;
  Json forwarded = Json::object();
  for (const auto& [name, value] : object.items()) {
    if (name == "logprobs" || name == "top_logprobs") continue;
    ASSAY_TRY(const bool own, set_parameter(parameters, name, value));
    if (own) continue;
    ASSAY_OK(check_forwardable(name));
    forwarded[name] = value;
  }
  ASSAY_OK(set_logprobs(parameters, object.value("logprobs", Json()), object.value("top_logprobs", Json())));
  parameters.forwarded = dump_json(forwarded);
  return parameters;
}

Result<void> check_structure(const Structure& structure) {
  const auto in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (structure.name.empty() || structure.name.size() > 64 || !std::ranges::all_of(structure.name, in_name))
    return bad("structure.name", "must be 1 to 64 letters, digits, _ or -");
  auto schema = parse_json(structure.schema);
  if (!schema) return std::unexpected(std::move(schema.error()).with("structure.schema"));
  if (!schema->is_object()) return bad("structure.schema", "must be a JSON schema, an object");
  return {};
}

}  // namespace assay::llm
