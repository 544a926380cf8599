#include "daemon/llm/ask.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/row.hpp"
#include "daemon/llm/bounds.hpp"
#include "daemon/llm/members.hpp"
#include "daemon/llm/object_text.hpp"

namespace assay::llm {
namespace {

constexpr size_t kCacheNameLimit = 128;
constexpr std::array<std::string_view, 5> kMembers = {"model", "messages", "params", "schema", "cache"};
constexpr std::array<std::string_view, 3> kSchemaMembers = {"name", "schema", "strict"};

std::unexpected<Error> bad(std::string_view where, std::string_view what) {
  return fail(ErrorKind::config, std::string(where) + ": " + std::string(what));
}

template <size_t N>
Result<void> only(const Json& object, const std::array<std::string_view, N>& known, std::string_view prefix) {
  for (const auto& [name, value] : object.items())
    if (std::ranges::find(known, name) == known.end())
      return bad(std::string(prefix) + name, "is not known to a completion request");
  return {};
}

/// The schema as it was written: its order of properties is that in which the model writes them.
std::string schema_in(std::string_view request) {
  static thread_local RowReader reader;
  static const ColumnPath kPath("schema.schema");
  if (!reader.parse(request)) return {};
  return reader.select(kPath).value_or("");
}

Result<Structure> structure_from(const Json& json, std::string_view request) {
  if (!json.is_object()) return bad("schema", "must be an object with \"name\" and \"schema\"");
  ASSAY_OK(only(json, kSchemaMembers, "schema."));
  Structure structure;
  structure.name = text_of(member(json, "name"));
  if (!member(json, "schema").is_object()) return bad("structure.schema", "must be a JSON schema, an object");
  structure.schema = schema_in(request);
  const Json& strict = member(json, "strict");
  if (!strict.is_null() && !strict.is_boolean()) return bad("schema.strict", "must be true or false");
  if (strict.is_boolean()) structure.strict = strict.get<bool>();
  return structure;
}

Result<CacheWish> cache_from(const Json& json, const Parameters& parameters) {
  if (json.is_null()) return CacheWish{parameters.temperature == 0.0, {}};
  if (json.is_boolean()) return CacheWish{json.get<bool>(), {}};
  const auto name = text_of(json);
  if (name.empty() || name.size() > kCacheNameLimit)
    return bad("cache", "must be true, false or a name of 1 to 128 bytes");
  return CacheWish{true, std::string(name)};
}

std::string logprobs_to(const std::vector<TokenLogprob>& logprobs) {
  ListText list;
  for (const auto& token : logprobs) {
    ListText top;
    for (const auto& alternative : token.top)
      top.json(ObjectText().text("token", alternative.token).real("logprob", alternative.logprob).end());
    list.json(
        ObjectText().text("token", token.token).real("logprob", token.logprob).json("top", top.end()).end());
  }
  return list.end();
}

double number_of(const Json& json) {
  return json.is_number() ? json.get<double>() : 0;
}

std::vector<TokenLogprob> logprobs_back(const Json& list) {
  std::vector<TokenLogprob> logprobs;
  for (const auto& token : list) {
    TokenLogprob one{std::string(text_of(member(token, "token"))), number_of(member(token, "logprob")), {}};
    for (const auto& alternative : member(token, "top"))
      one.top.push_back(
          {std::string(text_of(member(alternative, "token"))), number_of(member(alternative, "logprob"))});
    logprobs.push_back(std::move(one));
  }
  return logprobs;
}

std::string usage_to(const TokenUsage& usage) {
  return ObjectText()
      .number("input", usage.input + usage.cache_write_5m + usage.cache_write_1h)
      .number("cached", usage.cached)
      .number("output", usage.output)
      .number("reasoning", usage.reasoning)
      .flag("estimated", usage.estimated)
      .end();
}

Finish finish_from(std::string_view name) {
  for (const auto finish :
       {Finish::stop, Finish::length, Finish::content_filter, Finish::refusal, Finish::tool})
    if (to_string(finish) == name) return finish;
  return Finish::other;
}

}  // namespace

Result<Ask> ask_from(std::string_view text) {
  auto json = parse_bounded(text, kRequestValues);
  if (!json) return std::unexpected(std::move(json.error()).with("completion request"));
  if (!json->is_object()) return bad("completion request", "must be an object");
  ASSAY_OK(only(*json, kMembers, ""));
  Ask ask;
  ask.model = text_of(member(*json, "model"));
  if (ask.model.empty()) return bad("model", "must be the name of a model, such as \"openai/gpt-4o-mini\"");
  ASSAY_TRY(ask.request.messages, messages_from(member(*json, "messages")));
  if (json->contains("params")) {
    ASSAY_TRY(ask.request.parameters, parameters_from((*json)["params"]));
  }
  if (json->contains("schema")) {
    ASSAY_TRY(ask.request.structure, structure_from((*json)["schema"], text));
  }
  ASSAY_TRY(ask.cache, cache_from(member(*json, "cache"), ask.request.parameters));
  return ask;
}

std::string to_json(const Answered& answered) {
  const Reply& reply = answered.reply;
  ObjectText out;
  out.text("text", reply.text).text("finish", to_string(reply.finish));
  out.text("finish_reason", reply.finish_reason).text("model", reply.model);
  out.json("usage", usage_to(answered.usage)).flag("from_cache", answered.from_cache);
  if (reply.finish == Finish::refusal) out.text("refusal", reply.refusal);
  if (!reply.reasoning.empty()) out.text("reasoning", reply.reasoning);
  if (reply.tool)
    out.json("tool",
             ObjectText().text("name", reply.tool->name).text("arguments", reply.tool->arguments).end());
  if (!reply.logprobs.empty()) out.json("logprobs", logprobs_to(reply.logprobs));
  if (!reply.request_id.empty()) out.text("request_id", reply.request_id);
  if (answered.cost) out.real("cost", static_cast<double>(*answered.cost) * 1e-9);
  if (!answered.changes.empty()) out.json("changes", list_of(answered.changes));
  return out.end();
}

Result<Answered> answered_from(std::string_view text) {
  ASSAY_TRY(const auto json, parse_json(text));
  Answered answered;
  Reply& reply = answered.reply;
  if (!member(json, "text").is_string() || !member(json, "usage").is_object())
    return bad("cached reply", "has no text or usage");
  reply.text = text_of(member(json, "text"));
  reply.finish = finish_from(text_of(member(json, "finish")));
  reply.finish_reason = text_of(member(json, "finish_reason"));
  reply.model = text_of(member(json, "model"));
  reply.refusal = text_of(member(json, "refusal"));
  reply.reasoning = text_of(member(json, "reasoning"));
  reply.request_id = text_of(member(json, "request_id"));
  if (const Json& tool = member(json, "tool"); tool.is_object())
    reply.tool =
        ToolCall{std::string(text_of(member(tool, "name"))), std::string(text_of(member(tool, "arguments")))};
  reply.logprobs = logprobs_back(member(json, "logprobs"));
  const Json& usage = member(json, "usage");
  answered.usage.input = count_of(member(usage, "input")).value_or(0);
  answered.usage.cached = count_of(member(usage, "cached")).value_or(0);
  answered.usage.output = count_of(member(usage, "output")).value_or(0);
  answered.usage.reasoning = count_of(member(usage, "reasoning")).value_or(0);
  answered.usage.estimated = member(usage, "estimated") == true;
  for (const auto& change : member(json, "changes")) answered.changes.emplace_back(text_of(change));
  return answered;
}

}  // namespace assay::llm
