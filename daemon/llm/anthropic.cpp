// Anthropic messages.
#include <nlohmann/json.hpp>

#include "daemon/llm/dialects.hpp"
#include "daemon/llm/members.hpp"

namespace assay::llm::anthropic {
namespace {

/// {"type":"base64",…} of a data URL, {"type":"url",…} of any other.
Result<Json> image_source(const std::string& url) {
  if (!url.starts_with("data:")) return Json{{"type", "url"}, {"url", url}};
  const size_t comma = url.find(";base64,");
  if (comma == std::string::npos)
    return fail(ErrorKind::config, "image_url.url: a data URL must be \"data:TYPE;base64,…\"");
  return Json{{"type", "base64"}, {"media_type", url.substr(5, comma - 5)}, {"data", url.substr(comma + 8)}};
}

Result<Json> content_of(const Message& message) {
  Json parts = Json::array();
  for (const auto& part : message.parts) {
    if (part.type == Part::Type::text) {
      parts.push_back({{"type", "text"}, {"text", part.text}});
      continue;
    }
    if (message.role != Role::user && message.role != Role::assistant)
      return fail(ErrorKind::config, "messages: Anthropic takes no image in a system message");
    ASSAY_TRY(auto source, image_source(part.text));
    parts.push_back({{"type", "image"}, {"source", std::move(source)}});
  }
  return parts;
}

/// System messages become the top-level `system`, so they must come before all others.
Result<void> set_messages(Json& body, const std::vector<Message>& messages) {
  for (const auto& message : messages) {
    const bool system = message.role == Role::system || message.role == Role::developer;
    if (system && body.contains("messages"))
      return fail(ErrorKind::config, "messages: Anthropic takes system messages only before all others");
    ASSAY_TRY(auto content, content_of(message));
    if (!system)
      body["messages"].push_back({{"role", to_string(message.role)}, {"content", std::move(content)}});
    else
      for (auto& part : content) body["system"].push_back(std::move(part));
  }
  if (!body.contains("messages"))
    return fail(ErrorKind::config, "messages: Anthropic wants one of role user");
  return {};
}

Result<void> set_parameters(Json& body, const Parameters& parameters, std::vector<std::string>& left_out) {
  if (parameters.temperature && *parameters.temperature > 1)
    return fail(ErrorKind::config, "temperature: Anthropic takes 0 to 1");
  if (parameters.temperature) body["temperature"] = *parameters.temperature;
  if (parameters.top_p) body["top_p"] = *parameters.top_p;
  body["max_tokens"] = parameters.max_tokens.value_or(kAnthropicMaxTokens);
  if (!parameters.stop.empty()) body["stop_sequences"] = parameters.stop;
  if (!parameters.reasoning_effort.empty()) body["output_config"]["effort"] = parameters.reasoning_effort;
  if (parameters.seed) left_out.emplace_back("seed");
  if (parameters.top_logprobs) left_out.emplace_back("top_logprobs");
  return {};
}

void set_structure(Json& body, const Structure& structure, Json schema) {
  if (structure.mode == StructureMode::schema) {
    body["output_config"]["format"] = {{"type", "json_schema"}, {"schema", std::move(schema)}};
  } else if (structure.mode == StructureMode::tool) {
    body["tools"] = Json::array({{{"name", structure.name}, {"input_schema", std::move(schema)}}});
    body["tool_choice"] = {{"type", "tool"}, {"name", structure.name}};
  }
}

Finish finish_from(std::string_view reason) {
  if (reason == "end_turn" || reason == "stop_sequence") return Finish::stop;
  if (reason == "max_tokens") return Finish::length;
  if (reason == "refusal") return Finish::refusal;
  return Finish::other;  // pause_turn, and tool_use until the tool is found
}

}  // namespace

Result<Json> body(const Request& request, std::vector<std::string>& left_out) {
  Json body = {{"model", request.model}};
  ASSAY_OK(set_messages(body, request.messages));
  ASSAY_OK(set_parameters(body, request.parameters, left_out));
  if (request.structure) {
    ASSAY_TRY(auto schema, parse_json(request.structure->schema));
    set_structure(body, *request.structure, std::move(schema));
  }
  return body;
}

std::expected<Reply, Failure> read(const Json& body, const Reading& reading) {
  const Json& content = member(body, "content");
  if (!content.is_array()) return reading.malformed("no content");
  Reply reply;
  reply.finish_reason = text_of(member(body, "stop_reason"));
  if (reply.finish_reason == "model_context_window_exceeded")
    return reading.refused(ErrorKind::context_too_long,
                           "the answer went past the end of the model's context window");
  reply.finish = finish_from(reply.finish_reason);
  const Json* call = nullptr;
  for (const auto& block : content) {
    const auto type = text_of(member(block, "type"));
    if (type.empty()) return reading.malformed("content that is no block");
    if (type == "text") reply.text += text_of(member(block, "text"));
    if (type == "thinking") reply.reasoning += text_of(member(block, "thinking"));
    if (type == "tool_use" && call == nullptr) call = &block;
  }
  if (reply.finish == Finish::refusal) reply.refusal = reply.text;
  if (call == nullptr || reply.finish == Finish::length || reply.finish == Finish::refusal) return reply;
  auto tool = reading.tool_call(text_of(member(*call, "name")), member(*call, "input"));
  if (!tool) return std::unexpected(std::move(tool).error());
  reply.tool = std::move(*tool);
  reply.finish = Finish::tool;
  return reply;
}

}  // namespace assay::llm::anthropic
