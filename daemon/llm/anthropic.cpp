// Anthropic messages.
#include <nlohmann/json.hpp>

#include "daemon/llm/dialects.hpp"
#include "daemon/llm/members.hpp"
#include "daemon/llm/object_text.hpp"

namespace assay::llm::anthropic {
namespace {

/// {"type":"base64",…} of a data URL, {"type":"url",…} of any other.
Result<std::string> image_source(const std::string& url) {
  if (!url.starts_with("data:")) return ObjectText().text("type", "url").text("url", url).end();
  const size_t comma = url.find(";base64,");
  if (comma == std::string::npos)
    return fail(ErrorKind::config, "image_url.url: a data URL must be \"data:TYPE;base64,…\"");
  return ObjectText()
      .text("type", "base64")
      .text("media_type", std::string_view(url).substr(5, comma - 5))
      .text("data", std::string_view(url).substr(comma + 8))
      .end();
}

Result<void> add_parts(const Message& message, ListText& parts) {
  for (const auto& part : message.parts) {
    if (part.type == Part::Type::text) {
      parts.json(ObjectText().text("type", "text").text("text", part.text).end());
      continue;
    }
    if (message.role != Role::user && message.role != Role::assistant)
      return fail(ErrorKind::config, "messages: Anthropic takes no image in a system message");
    ASSAY_TRY(const auto source, image_source(part.text));
    parts.json(ObjectText().text("type", "image").json("source", source).end());
  }
  return {};
}

/// System messages become the top-level `system`, so they must come before all others.
Result<void> set_messages(ObjectText& body, const std::vector<Message>& messages) {
  ListText system, others;
  for (const auto& message : messages) {
    const bool is_system = message.role == Role::system || message.role == Role::developer;
    if (is_system && !others.empty())
      return fail(ErrorKind::config, "messages: Anthropic takes system messages only before all others");
    if (is_system) {
      ASSAY_OK(add_parts(message, system));
      continue;
    }
    ListText parts;
    ASSAY_OK(add_parts(message, parts));
    others.json(ObjectText().text("role", to_string(message.role)).json("content", parts.end()).end());
  }
  if (others.empty()) return fail(ErrorKind::config, "messages: Anthropic wants one of role user");
  if (!system.empty()) body.json("system", system.end());
  body.json("messages", others.end());
  return {};
}

Result<void> set_parameters(ObjectText& body, const Parameters& parameters,
                            std::vector<std::string>& left_out) {
  if (parameters.temperature && *parameters.temperature > 1)
    return fail(ErrorKind::config, "temperature: Anthropic takes 0 to 1");
  if (parameters.temperature) body.real("temperature", *parameters.temperature);
  if (parameters.top_p) body.real("top_p", *parameters.top_p);
  body.number("max_tokens", parameters.max_tokens.value_or(kAnthropicMaxTokens));
  if (!parameters.stop.empty()) body.json("stop_sequences", list_of(parameters.stop));
  if (parameters.seed) left_out.emplace_back("seed");
  if (parameters.top_logprobs) left_out.emplace_back("top_logprobs");
  return {};
}

/// How hard it is to think, and the schema: both in `output_config`.
void set_output(ObjectText& body, const Request& request) {
  const auto& structure = request.structure;
  const auto& effort = request.parameters.reasoning_effort;
  const bool by_schema = structure && structure->mode == StructureMode::schema;
  ObjectText config;
  if (!effort.empty()) config.text("effort", effort);
  if (by_schema)
    config.json("format", ObjectText().text("type", "json_schema").json("schema", structure->schema).end());
  if (by_schema || !effort.empty()) body.json("output_config", config.end());
  if (!structure || structure->mode != StructureMode::tool) return;
  const auto tool = ObjectText().text("name", structure->name).json("input_schema", structure->schema).end();
  body.json("tools", "[" + tool + "]");
  body.json("tool_choice", ObjectText().text("type", "tool").text("name", structure->name).end());
}

Finish finish_from(std::string_view reason) {
  if (reason == "end_turn" || reason == "stop_sequence") return Finish::stop;
  if (reason == "max_tokens") return Finish::length;
  if (reason == "refusal") return Finish::refusal;
  return Finish::other;  // pause_turn, and tool_use until the tool is found
}

}  // namespace

Result<std::string> body(const Request& request, std::vector<std::string>& left_out) {
  ObjectText body;
  body.text("model", request.model);
  ASSAY_OK(set_messages(body, request.messages));
  ASSAY_OK(set_parameters(body, request.parameters, left_out));
  set_output(body, request);
  return body.end();
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
