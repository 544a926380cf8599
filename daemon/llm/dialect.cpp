#include "daemon/llm/dialect.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "daemon/llm/bounds.hpp"
#include "daemon/llm/dialects.hpp"
#include "daemon/llm/members.hpp"
#include "daemon/llm/quote.hpp"
#include "daemon/llm/usage.hpp"

namespace assay::llm {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"openai_chat", "openai_responses", "anthropic_messages"};
constexpr std::array<std::string_view, 3> kPaths = {"/chat/completions", "/responses", "/messages"};
constexpr std::string_view kAnthropicVersion = "2023-06-01";

/// The request with the schema in words, in the channel that candidates cannot write to.
Request with_schema_in_words(Request request) {
  const std::string words =
      "Answer with one JSON object and nothing else. It must follow this JSON schema:\n" +
      request.structure->schema;
  auto& messages = request.messages;
  const bool has_system = messages.front().role == Role::system || messages.front().role == Role::developer;
  if (!has_system) messages.insert(messages.begin(), Message{Role::system, {}});
  messages.front().parts.push_back({Part::Type::text, has_system ? "\n\n" + words : words});
  return request;
}

bool asks_in_words(const Request& request) {
  return request.structure && (request.structure->mode == StructureMode::json_object ||
                               request.structure->mode == StructureMode::prompt);
}

Result<std::string> own_body(Dialect dialect, const Request& request, std::vector<std::string>& left_out) {
  switch (dialect) {
    case Dialect::openai_chat:
      return chat::body(request, left_out);
    case Dialect::openai_responses:
      return responses::body(request, left_out);
    case Dialect::anthropic_messages:
      return anthropic::body(request, left_out);
  }
  return fail(ErrorKind::internal, "no such dialect");
}

/// What is forwarded, overridden by what the request says; two objects of one name are joined.
Result<std::string> joined(const std::string& forwarded, std::string own) {
  if (forwarded == "{}") return own;
  using Ordered = nlohmann::ordered_json;  // for the schema
  const auto checked = parse_json(forwarded);
  if (!checked || !checked->is_object())
    return fail(ErrorKind::config, "forwarded parameters: must be a JSON object");
  Ordered body = Ordered::parse(forwarded);
  for (auto& [name, value] : Ordered::parse(own).items()) {
    Ordered& place = body[name];
    if (place.is_object() && value.is_object())
      place.update(value);
    else
      place = std::move(value);
  }
  return body.dump(-1, ' ', false, Ordered::error_handler_t::replace);
}

Result<std::string> query_of(const Endpoint& endpoint) {
  const auto in_version = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  if (endpoint.api_version.empty()) return std::string();
  if (!std::ranges::all_of(endpoint.api_version, in_version))
    return fail(ErrorKind::config, "api_version: must be letters, digits, - and . such as 2024-10-21");
  return "?api-version=" + endpoint.api_version;
}

void set_headers(Call& call, const Endpoint& endpoint) {
  call.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
  if (endpoint.dialect == Dialect::anthropic_messages) {
    call.headers.emplace_back("anthropic-version", kAnthropicVersion);
    call.key_header = "x-api-key";
  } else if (endpoint.azure) {
    call.key_header = "api-key";
  } else {
    call.key_header = "Authorization";
    call.key_prefix = "Bearer ";
  }
}

std::optional<TokenUsage> usage_in(Dialect dialect, const Json& body) {
  const Json& usage = member(body, "usage");
  return dialect == Dialect::anthropic_messages ? usage_from_anthropic(usage) : usage_from_openai(usage);
}

std::expected<Reply, Failure> read(Dialect dialect, const Json& body, const Reading& reading) {
  if (const auto error = provider_error_from(body)) return reading.failed(*error);
  switch (dialect) {
    case Dialect::openai_chat:
      return chat::read(body, reading);
    case Dialect::openai_responses:
      return responses::read(body, reading);
    case Dialect::anthropic_messages:
      return anthropic::read(body, reading);
  }
  return reading.malformed("what no dialect reads");
}

std::string id_in(const Json& body, std::string_view key) {
  const auto id = text_of(member(body, "request_id"));
  return quote(id.empty() ? text_of(member(body, "id")) : id, key, 128);
}

}  // namespace

std::unexpected<Failure> Reading::malformed(std::string_view what) const {
  return std::unexpected(llm::malformed(answer_, what, key_));
}

std::unexpected<Failure> Reading::failed(const ProviderError& error) const {
  return std::unexpected(failure_of(answer_, error, now_, key_, asked_));
}

std::unexpected<Failure> Reading::refused(ErrorKind kind, std::string_view what,
                                          std::string_view wrote) const {
  Failure failure = llm::malformed(answer_, what, key_);
  failure.error = {kind, std::string(what)};
  if (!wrote.empty()) failure.error.message += ": " + quote(wrote, key_);
  failure.remedy = Remedy::none;
  return std::unexpected(std::move(failure));
}

std::expected<ToolCall, Failure> Reading::tool_call(std::string_view name, const Json& arguments) const {
  const auto parsed =
      arguments.is_string() ? parse_bounded(text_of(arguments), kReplyValues) : Result<Json>(arguments);
  if (!parsed || !parsed->is_object())
    return refused(ErrorKind::judge_parse, "the model called its tool with what is no JSON object",
                   arguments.is_string() ? std::string(text_of(arguments)) : dump_json(arguments));
  return ToolCall{std::string(name), dump_json(*parsed)};
}

std::string_view to_string(Dialect dialect) {
  return kNames.at(static_cast<size_t>(dialect));
}

Result<Dialect> dialect_from(std::string_view name) {
  const auto* const known = std::ranges::find(kNames, name);
  if (known == kNames.end())
    return fail(ErrorKind::config, "dialect \"" + std::string(name) +
                                       "\": must be openai_chat, openai_responses or anthropic_messages");
  return static_cast<Dialect>(known - kNames.begin());
}

Result<Call> build(const Endpoint& endpoint, const Request& request) {
  if (request.messages.empty()) return fail(ErrorKind::config, "messages: must have at least one message");
  if (request.structure) {
    ASSAY_OK(check_structure(*request.structure));
  }
  Call call;
  ASSAY_TRY(const auto query, query_of(endpoint));
  call.path = std::string(kPaths.at(static_cast<size_t>(endpoint.dialect))) + query;
  set_headers(call, endpoint);
  auto own = asks_in_words(request) ? own_body(endpoint.dialect, with_schema_in_words(request), call.left_out)
                                    : own_body(endpoint.dialect, request, call.left_out);
  if (!own) return std::unexpected(std::move(own).error());
  ASSAY_TRY(call.body, joined(request.parameters.forwarded, std::move(*own)));
  return call;
}

std::expected<Reply, Failure> decode(Dialect dialect, const Answer& answer, Time now, std::string_view key,
                                     const Request* asked) {
  if (answer.status < 200 || answer.status > 299) return std::unexpected(failure_of(answer, now, key, asked));
  const Reading reading(answer, now, key, asked);
  if (has_more_values(answer.body, kReplyValues))
    return reading.refused(ErrorKind::output_limit, "the model endpoint answered with more than " +
                                                        std::to_string(kReplyValues) +
                                                        " JSON values: ask for fewer log probabilities");
  const auto body = parse_json(answer.body);
  if (!body) return reading.malformed("what is no JSON");
  auto reply = read(dialect, *body, reading);
  const auto usage = usage_in(dialect, *body);
  auto id = request_id(answer.headers, key);
  if (id.empty()) id = id_in(*body, key);
  if (reply) {
    reply->usage = usage;
    reply->model = text_of(member(*body, "model"));
    reply->request_id = std::move(id);
  } else {
    reply.error().usage = usage;
    if (usage) reply.error().possibly_billed = false;
    reply.error().request_id = std::move(id);
  }
  return reply;
}

}  // namespace assay::llm
