// OpenAI responses. Stored nowhere ("store": false) unless the parameters say otherwise: what is evaluated is
// the user's.
#include <nlohmann/json.hpp>

#include "daemon/llm/dialects.hpp"
#include "daemon/llm/logprobs.hpp"
#include "daemon/llm/members.hpp"

namespace assay::llm::responses {
namespace {

Json content_of(const Message& message) {
  if (message.parts.size() == 1 && message.parts.front().type == Part::Type::text)
    return message.parts.front().text;
  Json parts = Json::array();
  const char* const text_type = message.role == Role::assistant ? "output_text" : "input_text";
  for (const auto& part : message.parts) {
    if (part.type == Part::Type::text)
      parts.push_back({{"type", text_type}, {"text", part.text}});
    else
      parts.push_back({{"type", "input_image"}, {"image_url", part.text}});
  }
  return parts;
}

void set_parameters(Json& body, const Parameters& parameters, std::vector<std::string>& left_out) {
  if (parameters.temperature) body["temperature"] = *parameters.temperature;
  if (parameters.top_p) body["top_p"] = *parameters.top_p;
  if (parameters.max_tokens) body["max_output_tokens"] = *parameters.max_tokens;
  if (!parameters.reasoning_effort.empty()) body["reasoning"] = {{"effort", parameters.reasoning_effort}};
  if (parameters.top_logprobs) {
    body["include"] = Json::array({"message.output_text.logprobs"});
    if (*parameters.top_logprobs > 0) body["top_logprobs"] = *parameters.top_logprobs;
  }
  if (parameters.seed) left_out.emplace_back("seed");
  if (!parameters.stop.empty()) left_out.emplace_back("stop");
}

void set_structure(Json& body, const Structure& structure, Json schema) {
  if (structure.mode == StructureMode::json_object) {
    body["text"] = {{"format", {{"type", "json_object"}}}};
  } else if (structure.mode == StructureMode::schema) {
    body["text"] = {{"format",
                     {{"type", "json_schema"},
                      {"name", structure.name},
                      {"strict", structure.strict},
                      {"schema", std::move(schema)}}}};
  } else if (structure.mode == StructureMode::tool) {
    // Here tools are strict unless they say that they are not.
    body["tools"] = Json::array({{{"type", "function"},
                                  {"name", structure.name},
                                  {"strict", structure.strict},
                                  {"parameters", std::move(schema)}}});
    body["tool_choice"] = {{"type", "function"}, {"name", structure.name}};
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

Result<Json> body(const Request& request, std::vector<std::string>& left_out) {
  Json body = {{"model", request.model}};
  for (const auto& message : request.messages)
    body["input"].push_back({{"role", to_string(message.role)}, {"content", content_of(message)}});
  set_parameters(body, request.parameters, left_out);
  if (request.structure) {
    ASSAY_TRY(auto schema, parse_json(request.structure->schema));
    set_structure(body, *request.structure, std::move(schema));
  }
  ASSAY_TRY(const auto forwarded, parse_json(request.parameters.forwarded));
  if (member(forwarded, "store").is_null()) body["store"] = false;
  return body;
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
