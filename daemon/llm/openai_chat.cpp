// OpenAI chat completions, and what the many compatible servers make of them.
#include <array>
#include <nlohmann/json.hpp>

#include "daemon/llm/dialects.hpp"
#include "daemon/llm/logprobs.hpp"
#include "daemon/llm/members.hpp"
#include "daemon/llm/object_text.hpp"
#include "daemon/llm/words.hpp"

namespace assay::llm::chat {
namespace {

std::string part_of(const Part& part) {
  if (part.type == Part::Type::text) return ObjectText().text("type", "text").text("text", part.text).end();
  return ObjectText()
      .text("type", "image_url")
      .json("image_url", ObjectText().text("url", part.text).end())
      .end();
}

std::string message_of(const Message& message) {
  ObjectText out;
  out.text("role", to_string(message.role));
  if (message.parts.size() == 1 && message.parts.front().type == Part::Type::text)
    return out.text("content", message.parts.front().text).end();
  ListText parts;
  for (const auto& part : message.parts) parts.json(part_of(part));
  return out.json("content", parts.end()).end();
}

void set_parameters(ObjectText& body, const Parameters& parameters) {
  if (parameters.temperature) body.real("temperature", *parameters.temperature);
  if (parameters.top_p) body.real("top_p", *parameters.top_p);
  if (parameters.max_tokens) {
    const bool old_name = parameters.max_tokens_name == MaxTokensName::max_tokens;
    body.number(old_name ? "max_tokens" : "max_completion_tokens", *parameters.max_tokens);
  }
  if (parameters.seed) body.number("seed", *parameters.seed);
  if (!parameters.stop.empty()) body.json("stop", list_of(parameters.stop));
  if (!parameters.reasoning_effort.empty()) body.text("reasoning_effort", parameters.reasoning_effort);
  if (!parameters.top_logprobs) return;
  body.flag("logprobs", true);
  if (*parameters.top_logprobs > 0) body.number("top_logprobs", *parameters.top_logprobs);
}

void set_structure(ObjectText& body, const Structure& structure) {
  if (structure.mode == StructureMode::json_object) {
    body.json("response_format", R"({"type":"json_object"})");
  } else if (structure.mode == StructureMode::schema) {
    const auto schema = ObjectText()
                            .text("name", structure.name)
                            .flag("strict", structure.strict)
                            .json("schema", structure.schema)
                            .end();
    body.json("response_format", ObjectText().text("type", "json_schema").json("json_schema", schema).end());
  } else if (structure.mode == StructureMode::tool) {
    ObjectText function;
    function.text("name", structure.name).json("parameters", structure.schema);
    if (structure.strict) function.flag("strict", true);  // local servers refuse what they do not know
    const auto tool = ObjectText().text("type", "function").json("function", function.end()).end();
    body.json("tools", "[" + tool + "]");
    const auto name = ObjectText().text("name", structure.name).end();
    body.json("tool_choice", ObjectText().text("type", "function").json("function", name).end());
  }
}

/// Adds a part of a content list to the reply; false for what is no part.
bool take_part(const Json& part, Reply& reply) {
  const auto type = text_of(member(part, "type"));
  if (type.empty()) return false;
  if (type == "text" || type == "output_text") {
    if (!member(part, "text").is_string()) return false;
    reply.text += text_of(member(part, "text"));
  } else if (type == "refusal") {
    reply.finish = Finish::refusal;
    reply.refusal += text_of(member(part, "refusal"));
  } else if (type == "thinking") {
    for (const auto& thought : member(part, "thinking")) reply.reasoning += text_of(member(thought, "text"));
  }
  return true;
}

bool take_content(const Json& content, Reply& reply) {
  if (content.is_null()) return true;
  if (!content.is_string() && !content.is_array()) return false;
  reply.text = text_of(content);
  if (content.is_array())
    for (const auto& part : content)
      if (!take_part(part, reply)) return false;
  return true;
}

Finish finish_from(std::string_view reason) {
  static constexpr std::array<std::string_view, 5> kStops = {"stop", "eos", "eos_token", "end_turn",
                                                             "stop_sequence"};
  static constexpr std::array<std::string_view, 3> kCuts = {"length", "max_tokens", "max_output_tokens"};
  const auto word = lower(reason);
  if (std::ranges::find(kStops, word) != kStops.end()) return Finish::stop;
  if (std::ranges::find(kCuts, word) != kCuts.end()) return Finish::length;
  if (word == "content_filter") return Finish::content_filter;
  return Finish::other;
}

/// The function that was called first, null when none was. "function_call" is what tools were before.
const Json& called_function(const Json& message) {
  const Json& call = first(member(message, "tool_calls"));
  return call.is_object() ? member(call, "function") : member(message, "function_call");
}

}  // namespace

Result<std::string> body(const Request& request, std::vector<std::string>& /*left_out*/) {
  ObjectText body;
  body.text("model", request.model);
  ListText messages;
  for (const auto& message : request.messages) messages.json(message_of(message));
  body.json("messages", messages.end());
  set_parameters(body, request.parameters);
  if (request.structure) set_structure(body, *request.structure);
  return body.end();
}

std::expected<Reply, Failure> read(const Json& body, const Reading& reading) {
  const Json& choice = first(member(body, "choices"));
  if (!choice.is_object()) return reading.malformed("no choices");
  if (member(choice, "error").is_object()) return reading.failed(*provider_error_from(choice));
  const Json& message = member(choice, "message");
  if (!message.is_object()) return reading.malformed("a choice without a message");
  Reply reply;
  reply.finish_reason = text_of(member(choice, "finish_reason"));
  reply.finish = finish_from(reply.finish_reason);
  if (!take_content(member(message, "content"), reply)) return reading.malformed("content that is no text");
  if (const auto refusal = text_of(member(message, "refusal")); !refusal.empty()) {
    reply.finish = Finish::refusal;
    reply.refusal = refusal;
  }
  for (const char* name : {"reasoning_content", "reasoning"})
    if (reply.reasoning.empty()) reply.reasoning = text_of(member(message, name));
  auto logprobs = logprobs_from(member(choice, "logprobs"));
  if (!logprobs) return reading.malformed("logprobs that are none");
  reply.logprobs = std::move(*logprobs);
  if (reply.finish != Finish::stop && reply.finish != Finish::other) return reply;
  if (const Json& function = called_function(message); function.is_object()) {
    auto tool = reading.tool_call(text_of(member(function, "name")), member(function, "arguments"));
    if (!tool) return std::unexpected(std::move(tool).error());
    reply.tool = std::move(*tool);
    reply.finish = Finish::tool;
    return reply;
  }
  if (member(message, "content").is_null()) return reading.malformed("a message without content");
  return reply;
}

}  // namespace assay::llm::chat
