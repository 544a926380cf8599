#include "daemon/llm/completion.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace assay::llm {
namespace {

TEST_CASE("messages: strings and parts of content", "[llm][completion]") {
  const auto messages = messages_from(Json::parse(R"([
    {"role":"system","content":"Judge."},
    {"role":"user","content":[{"type":"text","text":"Look:"},
                              {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}}]},
    {"role":"assistant","content":""}])"));
  REQUIRE(messages);
  REQUIRE(messages->size() == 3);
  CHECK((*messages)[0].role == Role::system);
  CHECK((*messages)[0].parts[0].text == "Judge.");
  REQUIRE((*messages)[1].parts.size() == 2);
  CHECK((*messages)[1].parts[1].type == Part::Type::image);
  CHECK((*messages)[1].parts[1].text == "https://x/y.png");
  CHECK((*messages)[2].role == Role::assistant);
}

TEST_CASE("messages: what is wrong is named by its place", "[llm][completion]") {
  struct Row {
    const char* json;
    const char* place;
  };
  const std::vector<Row> rows = {
      {R"({})", "messages:"},
      {R"([])", "messages:"},
      {R"(["hi"])", "messages[0]:"},
      {R"([{"content":"x"}])", "messages[0].role:"},
      {R"([{"role":"tool","content":"x"}])", "messages[0].role:"},
      {R"([{"role":7,"content":"x"}])", "messages[0].role:"},
      {R"([{"role":"user"}])", "messages[0].content:"},
      {R"([{"role":"user","content":null}])", "messages[0].content:"},
      {R"([{"role":"user","content":[]}])", "messages[0].content:"},
      {R"([{"role":"user","content":"x"},{"role":"user","content":[7]}])", "messages[1].content[0]:"},
      {R"([{"role":"user","content":[{"type":"audio"}]}])", "messages[0].content[0].type:"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text:"},
      {R"([{"role":"user","content":[{"type":"image_url","image_url":"u"}]}])",
       "messages[0].content[0].image_url:"},
      {R"([{"role":"user","content":"x","nmae":"y"}])", "messages[0].nmae:"},
  };
  for (const auto& row : rows) {
    INFO(row.json);
    const auto messages = messages_from(Json::parse(row.json));
    REQUIRE_FALSE(messages);
    CHECK(messages.error().kind == ErrorKind::config);
    CHECK(messages.error().message.starts_with(row.place));
  }
}

TEST_CASE("parameters: the known are checked, others forwarded", "[llm][completion]") {
  const auto parameters = parameters_from(Json::parse(
      R"({"temperature":0,"top_p":1,"max_completion_tokens":256,"seed":-7,"stop":"END","logprobs":true,
          "top_logprobs":5,"reasoning_effort":"low","top_k":40,"text":{"verbosity":"low"}})"));
  REQUIRE(parameters);
  CHECK(parameters->temperature == 0);
  CHECK(parameters->top_p == 1);
  CHECK(parameters->max_tokens == 256);
  CHECK(parameters->max_tokens_name == MaxTokensName::max_completion_tokens);
  CHECK(parameters->seed == -7);
  CHECK(parameters->stop == std::vector<std::string>{"END"});
  CHECK(parameters->top_logprobs == 5);
  CHECK(parameters->reasoning_effort == "low");
  CHECK(Json::parse(parameters->forwarded) == Json::parse(R"({"top_k":40,"text":{"verbosity":"low"}})"));
  const auto none = parameters_from(Json::parse(R"({"logprobs":false})"));
  REQUIRE(none);
  CHECK_FALSE(none->top_logprobs);
  CHECK_FALSE(none->temperature);
  CHECK(none->forwarded == "{}");
  const auto only = parameters_from(Json::parse(R"({"logprobs":true})"));
  REQUIRE(only);
  CHECK(only->top_logprobs == 0);
}

TEST_CASE("parameters: what is wrong is named", "[llm][completion]") {
  for (const auto& [json, name] : std::vector<std::pair<const char*, const char*>>{
           {R"([])", "parameters:"},
           {R"({"temperature":2.5})", "temperature:"},
           {R"({"temperature":"0"})", "temperature:"},
           {R"({"top_p":-0.1})", "top_p:"},
           {R"({"max_tokens":0})", "max_tokens:"},
           {R"({"max_tokens":1.5})", "max_tokens:"},
           {R"({"max_tokens":5,"max_completion_tokens":5})", "max_tokens:"},
           {R"({"seed":18446744073709551615})", "seed:"},
           {R"({"stop":[""]})", "stop:"},
           {R"({"stop":{"a":1}})", "stop:"},
           {R"({"top_logprobs":21})", "top_logprobs:"},
           {R"({"top_logprobs":2,"logprobs":false})", "top_logprobs:"},
           {R"({"logprobs":5})", "logprobs:"},
           {R"({"reasoning_effort":3})", "reasoning_effort:"},
           {R"({"stream":true})", "stream:"},
           {R"({"n":2})", "n:"},
           {R"({"tools":[]})", "tools:"},
           {R"({"response_format":{"type":"text"}})", "response_format:"}}) {
    INFO(json);
    const auto parameters = parameters_from(Json::parse(json));
    REQUIRE_FALSE(parameters);
    CHECK(parameters.error().kind == ErrorKind::config);
    CHECK(parameters.error().message.starts_with(name));
  }
}

TEST_CASE("structure: a name of providers and a schema", "[llm][completion]") {
  CHECK(check_structure({"verdict_1-a", R"({"type":"object"})"}));
  CHECK(check_structure({std::string(64, 'a'), "{}"}));
  for (const auto& structure :
       {Structure{"", "{}"}, Structure{std::string(65, 'a'), "{}"}, Structure{"ver dict", "{}"}})
    CHECK_FALSE(check_structure(structure));
  for (const char* schema : {"", "[]", "true", "{", R"({"a":1,"a":2})"}) {
    const auto checked = check_structure({"verdict", schema});
    REQUIRE_FALSE(checked);
    CHECK(checked.error().message.starts_with("structure.schema"));
  }
}

}  // namespace
}  // namespace assay::llm
