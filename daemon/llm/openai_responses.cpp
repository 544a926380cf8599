// OpenAI responses. Stored nowhere ("store": false) unless the parameters say otherwise: what is evaluated is
// the user's.
#include <nlohmann/json.hpp>

#include "daemon/llm/dialects.hpp"
#include "daemon/llm/logprobs.hpp"
#include "daemon/llm/members.hpp"
#include "daemon/llm/object_text.hpp"

namespace assay::llm::responses {
namespace {

std::string message_of(const Message& message) {
  ObjectText out;
  out.text("role", to_string(message.role));
  if (message.parts.size() == 1 && message.parts.front().type == Part::Type::text)
    return out.text("content", message.parts.front().text).end();
  ListText parts;
  const char* const text_type = message.role == Role::assistant ? "output_text" : "input_text";
  for (const auto& part : message.parts) {
    if (part.type == Part::Type::text)
      parts.json(ObjectText().text("type", text_type).text("text", part.text).end());
    else
      parts.json(ObjectText().text("type", "input_image").text("image_url", part.text).end());
  }
  return out.json("content", parts.end()).end();
}

void set_parameters(ObjectText& body, const Parameters& parameters, std::vector<std::string>& left_out) {
  if (parameters.temperature) body.real("temperature", *parameters.temperature);
  if (parameters.top_p) body.real("top_p", *parameters.top_p);
  if (parameters.max_tokens) body.number("max_output_tokens", *parameters.max_tokens);
  if (!parameters.reasoning_effort.empty())
    body.json("reasoning", ObjectText().text("effort", parameters.reasoning_effort).end());
  if (parameters.top_logprobs) {
    body.json("include", R"(["message.output_text.logprobs"])");
    if (*parameters.top_logprobs > 0) body.number("top_logprobs", *parameters.top_logprobs);
  }
  if (parameters.seed) left_out.emplace_back("seed");
  if (!parameters.stop.empty()) left_out.emplace_back("stop");
}

void set_structure(ObjectText& body, const Structure& structure) {
  if (structure.mode == StructureMode::json_object) {
    body.json("text", R"({"format":{"type":"json_object"}})");
  } else if (structure.mode == StructureMode::schema) {
    const auto format = ObjectText()
                            .text("type", "json_schema")
                            .text("name", structure.name)
                            .flag("strict", structure.strict)
                            .json("schema", structure.schema)
                            .end();
    body.json("text", ObjectText().json("format", format).end());
  } else if (structure.mode == StructureMode::tool) {
    // Here tools are strict unless they say that they are not.
    const auto tool = ObjectText()
                          .text("type", "function")
                          .text("name", structure.name)
                          .flag("strict", structure.strict)
                          .json("parameters", structure.schema)
                          .end();
    body.json("tools", "[" + tool + "]");
    body.json("tool_choice", ObjectText().text("type", "function").text("name", structure.name).end());
  }
}

std::expected<Finish, Failure> finish_from(const Json& body, const Reading& reading) {
  const auto status = text_of(member(body, "status"));
  if (status == "completed") return Finish::stop;
  if (status != "incomplete") return reading.malformed("a response that is not completed");
  const auto reason = text_of(member(member(body, "incomplete_details"), "reason"));
  if (reason == "max_output_tokens") return Finish::length;
  return reason == "content_filter" ? Finish::content_filter : Finish::other;
}

std::string reason_of(const Json& body) {
  const auto reason = text_of(member(member(body, "incomplete_details"), "reason"));
  return std::string(reason.empty() ? text_of(member(body, "status")) : reason);
}

/// Adds one part of a message; false for what is no part.
bool take_part(const Json& part, Reply& reply) {
  const auto type = text_of(member(part, "type"));
  if (type == "refusal") {
    reply.finish = Finish::refusal;
    reply.refusal += text_of(member(part, "refusal"));
    return true;
  }
  if (type != "output_text") return !type.empty();
  auto logprobs = logprobs_from(member(part, "logprobs"));
  if (!member(part, "text").is_string() || !logprobs) return false;
  reply.text += text_of(member(part, "text"));
  std::ranges::move(*logprobs, std::back_inserter(reply.logprobs));
  return true;
}

bool take_message(const Json& content, Reply& reply) {
  if (!content.is_array()) return false;
  for (const auto& part : content)
    if (!take_part(part, reply)) return false;
  return true;
}

void take_reasoning(const Json& item, Reply& reply) {
  for (const char* name : {"summary", "content"})
    for (const auto& part : member(item, name)) reply.reasoning += text_of(member(part, "text"));
}

}  // namespace

Result<std::string> body(const Request& request, std::vector<std::string>& left_out) {
  ObjectText body;
  body.text("model", request.model);
  ListText messages;
  for (const auto& message : request.messages) messages.json(message_of(message));
  body.json("input", messages.end());
  set_parameters(body, request.parameters, left_out);
  if (request.structure) set_structure(body, *request.structure);
  ASSAY_TRY(const auto forwarded, parse_json(request.parameters.forwarded));
  if (member(forwarded, "store").is_null()) body.flag("store", false);
  return body.end();
}

std::expected<Reply, Failure> read(const Json& body, const Reading& reading) {
  const Json& output = member(body, "output");
  if (!output.is_array()) return reading.malformed("no output");
  auto finish = finish_from(body, reading);
  if (!finish) return std::unexpected(std::move(finish).error());
  Reply reply;
  reply.finish = *finish;
  reply.finish_reason = reason_of(body);
  bool said_something = false;
  const Json* call = nullptr;
  for (const auto& item : output) {
    const auto type = text_of(member(item, "type"));
    if (type == "message") {
      if (!take_message(member(item, "content"), reply)) return reading.malformed("content that is no text");
      said_something = true;
    } else if (type == "reasoning") {
      take_reasoning(item, reply);
    } else if (type == "function_call" && call == nullptr) {
      call = &item;
    }
  }
  if (reply.finish != Finish::stop) return reply;
  if (call != nullptr) {
    auto tool = reading.tool_call(text_of(member(*call, "name")), member(*call, "arguments"));
    if (!tool) return std::unexpected(std::move(tool).error());
    reply.tool = std::move(*tool);
    reply.finish = Finish::tool;
    return reply;
  }
  if (!said_something) return reading.malformed("a response without a message");
  return reply;
}

}  // namespace assay::llm::responses
