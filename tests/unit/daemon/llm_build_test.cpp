#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/llm/dialect.hpp"

namespace assay::llm {
namespace {

constexpr const char* kSchema =
    R"({"type":"object","properties":{"pass":{"type":"boolean","default":null}}})";

Request request_of(const char* messages, const char* parameters = "{}") {
  Request request;
  request.model = "m-1";
  request.messages = *messages_from(Json::parse(messages));
  request.parameters = *parameters_from(Json::parse(parameters));
  return request;
}

Request plain(const char* parameters = "{}") {
  return request_of(R"([{"role":"system","content":"S"},{"role":"user","content":"U"}])", parameters);
}

Request structured(StructureMode mode) {
  Request request = plain();
  request.structure = Structure{"verdict", kSchema, true, mode};
  return request;
}

Json body_of(Dialect dialect, const Request& request) {
  const auto call = build({dialect}, request);
  INFO((call ? "" : call.error().message));
  REQUIRE(call);
  return Json::parse(call->body);
}

std::string_view sent(const Call& call, std::string_view name) {
  return header(call.headers, name);
}

TEST_CASE("build: where a call goes and which header takes the key", "[llm][build]") {
  const auto chat = build({Dialect::openai_chat}, plain());
  REQUIRE(chat);
  CHECK(chat->path == "/chat/completions");
  CHECK(chat->key_header == "Authorization");
  CHECK(chat->key_prefix == "Bearer ");
  CHECK(sent(*chat, "content-type") == "application/json");
  CHECK(sent(*chat, "authorization").empty());
  const auto azure = build({Dialect::openai_chat, true, "2024-10-21"}, plain());
  REQUIRE(azure);
  CHECK(azure->path == "/chat/completions?api-version=2024-10-21");
  CHECK(azure->key_header == "api-key");
  CHECK(azure->key_prefix.empty());
  const auto responses = build({Dialect::openai_responses}, plain());
  REQUIRE(responses);
  CHECK(responses->path == "/responses");
  const auto anthropic = build({Dialect::anthropic_messages}, plain());
  REQUIRE(anthropic);
  CHECK(anthropic->path == "/messages");
  CHECK(anthropic->key_header == "x-api-key");
  CHECK(anthropic->key_prefix.empty());
  CHECK(sent(*anthropic, "anthropic-version") == "2023-06-01");
  const auto bad = build({Dialect::openai_chat, true, "1&x=y"}, plain());
  REQUIRE_FALSE(bad);
  CHECK(bad.error().message.starts_with("api_version:"));
}

TEST_CASE("build: chat completions", "[llm][build]") {
  CHECK(body_of(Dialect::openai_chat, plain()) ==
        Json::parse(
            R"({"model":"m-1","messages":[{"role":"system","content":"S"},{"role":"user","content":"U"}]})"));
  const auto body =
      body_of(Dialect::openai_chat, plain(R"({"temperature":0,"top_p":0.5,"max_tokens":9,"seed":1,
      "stop":["a","b"],"top_logprobs":4,"reasoning_effort":"low","user":"u"})"));
  CHECK(body["temperature"] == 0);
  CHECK(body["top_p"] == 0.5);
  CHECK(body["max_tokens"] == 9);
  CHECK_FALSE(body.contains("max_completion_tokens"));
  CHECK(body["seed"] == 1);
  CHECK(body["stop"] == Json({"a", "b"}));
  CHECK(body["logprobs"] == true);
  CHECK(body["top_logprobs"] == 4);
  CHECK(body["reasoning_effort"] == "low");
  CHECK(body["user"] == "u");
  const auto renamed = body_of(Dialect::openai_chat, plain(R"({"max_completion_tokens":9})"));
  CHECK(renamed["max_completion_tokens"] == 9);
  CHECK_FALSE(renamed.contains("max_tokens"));
}

constexpr const char* kImages = R"([{"role":"user","content":[{"type":"text","text":"see"},
    {"type":"image_url","image_url":{"url":"https://x/y.png"}},
    {"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]}])";

TEST_CASE("build: parts of content", "[llm][build]") {
  CHECK(body_of(Dialect::openai_chat, request_of(kImages))["messages"] == Json::parse(kImages));
  CHECK(
      body_of(Dialect::openai_responses, request_of(kImages))["input"][0]["content"] ==
      Json::parse(R"([{"type":"input_text","text":"see"},{"type":"input_image","image_url":"https://x/y.png"},
                        {"type":"input_image","image_url":"data:image/png;base64,QUJD"}])"));
  CHECK(body_of(Dialect::anthropic_messages, request_of(kImages))["messages"][0]["content"] ==
        Json::parse(R"([
      {"type":"text","text":"see"},{"type":"image","source":{"type":"url","url":"https://x/y.png"}},
      {"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}])"));
}

TEST_CASE("build: responses", "[llm][build]") {
  const auto request =
      plain(R"({"max_tokens":9,"top_logprobs":0,"reasoning_effort":"high","seed":1,"stop":"x",
                                 "text":{"verbosity":"low"}})");
  const auto call = build({Dialect::openai_responses}, request);
  REQUIRE(call);
  CHECK(call->left_out == std::vector<std::string>{"seed", "stop"});
  CHECK(Json::parse(call->body) ==
        Json::parse(R"({"model":"m-1","input":[{"role":"system","content":"S"},{"role":"user","content":"U"}],
            "max_output_tokens":9,"include":["message.output_text.logprobs"],"reasoning":{"effort":"high"},
            "store":false,"text":{"verbosity":"low"}})"));
  CHECK(body_of(Dialect::openai_responses, plain(R"({"store":true})"))["store"] == true);
}

TEST_CASE("build: Anthropic messages", "[llm][build]") {
  const auto call = build({Dialect::anthropic_messages},
                          plain(R"({"temperature":1,"stop":"x","seed":1,"top_logprobs":3,"top_k":5})"));
  REQUIRE(call);
  CHECK(call->left_out == std::vector<std::string>{"seed", "top_logprobs"});
  CHECK(
      Json::parse(call->body) ==
      Json::parse(R"({"model":"m-1","system":[{"type":"text","text":"S"}],"max_tokens":4096,"temperature":1.0,
            "messages":[{"role":"user","content":[{"type":"text","text":"U"}]}],"stop_sequences":["x"],"top_k":5})"));
  CHECK(body_of(Dialect::anthropic_messages, plain(R"({"max_tokens":7})"))["max_tokens"] == 7);
  Request effort = structured(StructureMode::schema);
  effort.parameters.reasoning_effort = "low";
  const auto config = body_of(Dialect::anthropic_messages, effort)["output_config"];
  CHECK(config["effort"] == "low");
  CHECK(config["format"] == Json({{"type", "json_schema"}, {"schema", Json::parse(kSchema)}}));
}

TEST_CASE("build: what Anthropic cannot be asked is said", "[llm][build]") {
  for (const auto& [request, word] : std::vector<std::pair<Request, const char*>>{
           {plain(R"({"temperature":1.5})"), "temperature:"},
           {request_of(R"([{"role":"system","content":"S"}])"), "role user"},
           {request_of(R"([{"role":"user","content":"U"},{"role":"system","content":"S"}])"),
            "before all others"},
           {request_of(R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]}])"),
            "base64"},
           {request_of(R"([{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://x"}}]},
                           {"role":"user","content":"U"}])"),
            "system message"}}) {
    INFO(word);
    const auto call = build({Dialect::anthropic_messages}, request);
    REQUIRE_FALSE(call);
    CHECK(call.error().kind == ErrorKind::config);
    CHECK(call.error().message.find(word) != std::string::npos);
    CHECK(build({Dialect::openai_chat}, request));
  }
}

TEST_CASE("build: structured output by schema and by tool", "[llm][build]") {
  const Json schema = Json::parse(kSchema);
  const auto chat = body_of(Dialect::openai_chat, structured(StructureMode::schema));
  CHECK(chat["response_format"] ==
        Json({{"type", "json_schema"},
              {"json_schema", {{"name", "verdict"}, {"strict", true}, {"schema", schema}}}}));
  const auto responses = body_of(Dialect::openai_responses, structured(StructureMode::schema));
  CHECK(responses["text"]["format"] ==
        Json({{"type", "json_schema"}, {"name", "verdict"}, {"strict", true}, {"schema", schema}}));
  const auto chat_tool = body_of(Dialect::openai_chat, structured(StructureMode::tool));
  REQUIRE(chat_tool["tools"].size() == 1);
  CHECK(chat_tool["tools"][0] ==
        Json({{"type", "function"},
              {"function", {{"name", "verdict"}, {"strict", true}, {"parameters", schema}}}}));
  CHECK(chat_tool["tool_choice"] == Json({{"type", "function"}, {"function", {{"name", "verdict"}}}}));
  const auto responses_tool = body_of(Dialect::openai_responses, structured(StructureMode::tool));
  CHECK(responses_tool["tools"][0]["parameters"] == schema);
  CHECK(responses_tool["tool_choice"] == Json({{"type", "function"}, {"name", "verdict"}}));
  const auto anthropic = body_of(Dialect::anthropic_messages, structured(StructureMode::tool));
  CHECK(anthropic["tools"] == Json::array({Json({{"name", "verdict"}, {"input_schema", schema}})}));
  CHECK(anthropic["tool_choice"] == Json({{"type", "tool"}, {"name", "verdict"}}));
  Request loose = structured(StructureMode::tool);
  loose.structure->strict = false;
  CHECK_FALSE(body_of(Dialect::openai_chat, loose)["tools"][0]["function"].contains("strict"));
}

TEST_CASE("build: structured output in words goes where candidates cannot write", "[llm][build]") {
  const auto chat = body_of(Dialect::openai_chat, structured(StructureMode::json_object));
  CHECK(chat["response_format"] == Json({{"type", "json_object"}}));
  CHECK(chat["messages"][1]["content"] == "U");
  const std::string system = chat["messages"][0]["content"][1]["text"];
  CHECK(system.find("JSON") != std::string::npos);
  CHECK(system.find(kSchema) != std::string::npos);
  Request without = structured(StructureMode::prompt);
  without.messages.erase(without.messages.begin());
  const auto prompt = body_of(Dialect::openai_chat, without);
  CHECK_FALSE(prompt.contains("response_format"));
  CHECK(prompt["messages"].size() == 2);
  CHECK(prompt["messages"][0]["role"] == "system");
  const auto anthropic = body_of(Dialect::anthropic_messages, without);
  CHECK(anthropic["system"][0]["text"].get<std::string>().find(kSchema) != std::string::npos);
  CHECK(anthropic["messages"].size() == 1);
}

TEST_CASE("build: what a request says wins over what is forwarded, and what is none is refused",
          "[llm][build]") {
  Request request = plain();
  request.parameters.forwarded = R"({"model":"other","x":1})";
  CHECK(body_of(Dialect::openai_chat, request)["model"] == "m-1");
  for (const char* forwarded : {"", "[]", "{"}) {
    request.parameters.forwarded = forwarded;
    for (const auto dialect :
         {Dialect::openai_chat, Dialect::openai_responses, Dialect::anthropic_messages}) {
      const auto call = build({dialect}, request);
      REQUIRE_FALSE(call);
      CHECK(call.error().kind == ErrorKind::config);
    }
  }
  Request empty;
  CHECK_FALSE(build({Dialect::openai_chat}, empty));
  Request misnamed = structured(StructureMode::schema);
  misnamed.structure->name = "a b";
  CHECK_FALSE(build({Dialect::openai_chat}, misnamed));
}

TEST_CASE("dialects: by name", "[llm][build]") {
  for (const auto dialect : {Dialect::openai_chat, Dialect::openai_responses, Dialect::anthropic_messages})
    CHECK(dialect_from(to_string(dialect)) == dialect);
  CHECK_FALSE(dialect_from("gemini"));
}

}  // namespace
}  // namespace assay::llm
