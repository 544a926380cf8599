#include "daemon/llm/ask.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace assay::llm {
namespace {

std::string with(const std::string& members) {
  return R"({"model":"m","messages":[{"role":"user","content":"hi"}])" + members + "}";
}

TEST_CASE("ask: a whole request is read", "[llm][ask]") {
  const auto ask = ask_from(with(
      R"(,"params":{"temperature":0.5,"max_tokens":20,"service_tier":"flex"},"schema":{"name":"v","schema":{"type":"object"},"strict":false},"cache":"vote 2")"));
  REQUIRE(ask);
  CHECK(ask->model == "m");
  CHECK(ask->request.messages.size() == 1);
  CHECK(ask->request.parameters.temperature == 0.5);
  CHECK(ask->request.parameters.max_tokens == 20);
  CHECK(ask->request.parameters.forwarded == R"({"service_tier":"flex"})");
  REQUIRE(ask->request.structure);
  CHECK(ask->request.structure->name == "v");
  CHECK(ask->request.structure->schema == R"({"type":"object"})");
  CHECK_FALSE(ask->request.structure->strict);
  CHECK(ask->cache.on);
  CHECK(ask->cache.name == "vote 2");
}

TEST_CASE("ask: what is not said is kept when the temperature is 0, and only then", "[llm][ask]") {
  CHECK_FALSE(ask_from(with(""))->cache.on);  // providers then take 1
  CHECK_FALSE(ask_from(with(R"(,"params":{"temperature":0.1})"))->cache.on);
  CHECK(ask_from(with(R"(,"params":{"temperature":0})"))->cache.on);
  CHECK(ask_from(with(R"(,"params":{"temperature":0.0})"))->cache.on);
  CHECK_FALSE(ask_from(with(R"(,"params":{"temperature":0},"cache":false)"))->cache.on);
  CHECK(ask_from(with(R"(,"cache":true)"))->cache.on);
}

TEST_CASE("ask: the member at fault is named", "[llm][ask]") {
  const auto [json, name] = GENERATE(table<std::string, std::string>(
      {{"", "completion request"},
       {"[]", "completion request"},
       {R"({"messages":[{"role":"user","content":"x"}]})", "model"},
       {R"({"model":"m"})", "messages"},
       {with(R"(,"stream":true)"), "stream"},
       {with(R"(,"params":[])"), "parameters"},
       {with(R"(,"params":{"temperature":3})"), "temperature"},
       {with(R"(,"schema":{"name":"v"})"), "structure.schema"},
       {with(R"(,"schema":{"name":"v","schema":{},"x":1})"), "schema.x"},
       {with(R"(,"schema":{"name":"v","schema":{},"strict":1})"), "schema.strict"},
       {with(R"(,"schema":null)"), "schema"},
       {with(R"(,"cache":5)"), "cache"},
       {with(R"(,"cache":"")"), "cache"}}));
  const auto ask = ask_from(json);
  REQUIRE_FALSE(ask);
  CHECK(ask.error().kind == ErrorKind::config);
  CHECK_THAT(ask.error().message, Catch::StartsWith(name));
}

TEST_CASE("ask: more than anybody needs is refused before it is read", "[llm][ask]") {
  std::string list, messages;
  for (int i = 0; i < 100'000; ++i) list += i == 0 ? "[]" : ",[]";
  const auto values = ask_from(with(R"(,"params":{"x":[)" + list + "]}"));
  REQUIRE_FALSE(values);
  CHECK(values.error().kind == ErrorKind::config);
  CHECK_THAT(values.error().message, Catch::Contains("has more than 50000 JSON values"));
  for (int i = 0; i < 5000; ++i)
    messages += std::string(i == 0 ? "" : ",") + R"({"role":"user","content":"x"})";
  const auto many = ask_from(R"({"model":"m","messages":[)" + messages + "]}");
  REQUIRE_FALSE(many);
  CHECK_THAT(many.error().message, Catch::StartsWith("messages: has 5000 messages; 4096 are the most"));
  // Only what is JSON counts: a long text is one value.
  std::string text(200'000, ',');
  text += R"(\"[[)";
  CHECK(ask_from(R"({"model":"m","messages":[{"role":"user","content":")" + text + "\"}]}"));
}

Answered whole() {
  Answered answered;
  answered.reply.text = "yes";
  answered.reply.finish = Finish::tool;
  answered.reply.finish_reason = "tool_calls";
  answered.reply.model = "m-1";
  answered.reply.reasoning = "hm";
  answered.reply.tool = ToolCall{"v", "{\"a\":1}"};
  answered.reply.logprobs = {{"yes", -0.5, {{"yes", -0.5}, {"no", -1.25}}}};
  answered.reply.request_id = "req";
  answered.usage = {.input = 10, .cached = 5, .cache_write_5m = 2, .output = 7, .reasoning = 3};
  answered.cost = 1'500'000;
  answered.changes = {"seed left out"};
  return answered;
}

TEST_CASE("ask: a reply is written as the contract has it", "[llm][ask]") {
  const auto json = parse_json(to_json(whole()));
  REQUIRE(json);
  CHECK(*json == *parse_json(R"({"text":"yes","finish":"tool","finish_reason":"tool_calls","model":"m-1",
    "reasoning":"hm","tool":{"name":"v","arguments":"{\"a\":1}"},"request_id":"req","changes":["seed left out"],
    "logprobs":[{"token":"yes","logprob":-0.5,"top":[{"token":"yes","logprob":-0.5},{"token":"no","logprob":-1.25}]}],
    "usage":{"input":12,"cached":5,"output":7,"reasoning":3,"estimated":false},"cost":0.0015,"from_cache":false})"));
  Answered unpriced = whole();
  unpriced.cost.reset();
  CHECK_FALSE(parse_json(to_json(unpriced))->contains("cost"));
}

TEST_CASE("ask: a reply comes back from the cache as it was", "[llm][ask]") {
  const Answered before = whole();
  auto after = answered_from(to_json(before));
  REQUIRE(after);
  CHECK_FALSE(after->cost);
  after->cost = before.cost;
  CHECK(to_json(*after) == to_json(before));
  for (const char* bad : {"", "3", "{}", R"({"text":"x"})"}) CHECK_FALSE(answered_from(bad));
}

}  // namespace
}  // namespace assay::llm
