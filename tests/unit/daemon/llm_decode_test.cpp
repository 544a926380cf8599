#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/llm/dialect.hpp"

namespace assay::llm {
namespace {

using Decoded = std::expected<Reply, Failure>;

Decoded decoded(Dialect dialect, std::string body) {
  return decode(dialect, {200, {{"x-request-id", "req_1"}}, std::move(body)}, Time(), "secret");
}

/// An answer of chat completions with that choice.
Decoded chat(const std::string& choice) {
  return decoded(Dialect::openai_chat,
                 R"({"id":"c","object":"chat.completion","model":"m-2026","choices":[)" + choice +
                     R"(],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}})");
}

Decoded responses(const std::string& members) {
  return decoded(Dialect::openai_responses,
                 R"({"id":"resp_1","object":"response","model":"m","error":null,"usage":{"input_tokens":10,
                     "input_tokens_details":{"cached_tokens":4},"output_tokens":5,
                     "output_tokens_details":{"reasoning_tokens":3},"total_tokens":15},)" +
                     members + "}");
}

Decoded anthropic(const std::string& content, const char* stop_reason) {
  return decoded(Dialect::anthropic_messages,
                 R"({"id":"msg_1","type":"message","role":"assistant","model":"c","content":)" + content +
                     R"(,"stop_reason":")" + stop_reason +
                     R"(","usage":{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":null}})");
}

void check_failure(const Decoded& answer, ErrorKind kind, Remedy remedy) {
  REQUIRE_FALSE(answer);
  CHECK(to_string(answer.error().error.kind) == to_string(kind));
  CHECK(to_string(answer.error().remedy) == to_string(remedy));
  CHECK(answer.error().request_id == "req_1");
}

TEST_CASE("chat: an ordinary reply", "[llm][decode]") {
  const auto reply = chat(
      R"({"index":0,"message":{"role":"assistant","content":"four","refusal":null,"reasoning_content":"2+2"},
          "logprobs":null,"finish_reason":"stop"})");
  REQUIRE(reply);
  CHECK(reply->text == "four");
  CHECK(reply->finish == Finish::stop);
  CHECK(reply->finish_reason == "stop");
  CHECK(reply->reasoning == "2+2");
  CHECK(reply->model == "m-2026");
  CHECK(reply->request_id == "req_1");
  CHECK(reply->usage == TokenUsage{.input = 10, .output = 5});
  CHECK_FALSE(reply->tool);
  CHECK(reply->logprobs.empty());
}

TEST_CASE("chat: every finish", "[llm][decode]") {
  struct Row {
    const char* choice;
    Finish finish;
    const char* text;
  };
  const std::vector<Row> rows = {
      {R"({"message":{"content":""},"finish_reason":"stop"})", Finish::stop, ""},
      {R"({"message":{"content":"a"},"finish_reason":"eos"})", Finish::stop, "a"},
      {R"({"message":{"content":"a"},"finish_reason":"length"})", Finish::length, "a"},
      {R"({"message":{"content":null},"finish_reason":"length"})", Finish::length, ""},
      {R"({"message":{"content":null},"finish_reason":"content_filter"})", Finish::content_filter, ""},
      {R"({"message":{"content":null,"refusal":"I cannot."},"finish_reason":"stop"})", Finish::refusal, ""},
      {R"({"message":{"content":[{"type":"refusal","refusal":"No."}]},"finish_reason":"stop"})",
       Finish::refusal, ""},
      {R"({"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},
           {"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"new"}]},"finish_reason":"stop"})",
       Finish::stop, "ab"},
      {R"({"message":{"content":"a"},"finish_reason":null})", Finish::other, "a"},
      {R"({"message":{"content":"a"},"finish_reason":"tool_calls"})", Finish::other, "a"},
      {R"({"message":{"content":"a","tool_calls":[{"function":{"name":"f","arguments":"{\"a"}}]},"finish_reason":"length"})",
       Finish::length, "a"},
  };
  for (const auto& row : rows) {
    INFO(row.choice);
    const auto reply = chat(row.choice);
    REQUIRE(reply);
    CHECK(to_string(reply->finish) == to_string(row.finish));
    CHECK(reply->text == row.text);
    CHECK_FALSE(reply->tool);
    CHECK(reply->refusal.empty() == (row.finish != Finish::refusal));
  }
}

TEST_CASE("chat: tool calls", "[llm][decode]") {
  for (
      const char* choice :
      {R"({"message":{"content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"verdict",
            "arguments":"{\"pass\": true}"}}]},"finish_reason":"tool_calls"})",
       R"({"message":{"content":null,"tool_calls":[{"function":{"name":"verdict","arguments":"{\"pass\":true}"}},
            {"function":{"name":"verdict","arguments":"{}"}}]},"finish_reason":"stop"})",
       R"({"message":{"content":"","tool_calls":[{"function":{"name":"verdict","arguments":{"pass":true}}}]},
            "finish_reason":"tool_calls"})",
       R"({"message":{"content":null,"function_call":{"name":"verdict","arguments":"{\"pass\":true}"}},
            "finish_reason":"function_call"})"}) {
    INFO(choice);
    const auto reply = chat(choice);
    REQUIRE(reply);
    CHECK(reply->finish == Finish::tool);
    REQUIRE(reply->tool);
    CHECK(reply->tool->name == "verdict");
    CHECK(reply->tool->arguments == R"({"pass":true})");
  }
  for (const char* arguments :
       {R"("{\"pass\": tru")", R"("")", R"("[1]")", R"("7")", "null", "[]", R"("{} {}")"}) {
    INFO(arguments);
    check_failure(chat(R"({"message":{"tool_calls":[{"function":{"name":"v","arguments":)" +
                       std::string(arguments) + R"(}}]},"finish_reason":"tool_calls"})"),
                  ErrorKind::judge_parse, Remedy::none);
  }
}

TEST_CASE("chat: log probabilities in both shapes", "[llm][decode]") {
  const auto reply =
      chat(R"({"message":{"content":"A"},"finish_reason":"stop","logprobs":{"refusal":null,"content":[
      {"token":"A","logprob":-0.25,"bytes":[65],"top_logprobs":[{"token":"A","logprob":-0.25,"bytes":[65]},
                                                                {"token":"B","logprob":-1.5,"bytes":null}]},
      {"token":".","logprob":0}]}})");
  REQUIRE(reply);
  REQUIRE(reply->logprobs.size() == 2);
  CHECK(reply->logprobs[0].token == "A");
  CHECK(reply->logprobs[0].logprob == -0.25);
  REQUIRE(reply->logprobs[0].top.size() == 2);
  CHECK(reply->logprobs[0].top[1].token == "B");
  CHECK(reply->logprobs[0].top[1].logprob == -1.5);
  CHECK(reply->logprobs[1].top.empty());
  const auto columns = chat(R"({"message":{"content":"A"},"finish_reason":"stop","logprobs":{
      "tokens":["<s>","A"],"token_logprobs":[null,-0.5],"top_logprobs":[null,{" a":-3,"A":-0.5,"B":-1}]}})");
  REQUIRE(columns);
  REQUIRE(columns->logprobs.size() == 1);
  REQUIRE(columns->logprobs[0].top.size() == 3);
  CHECK(columns->logprobs[0].top[0].token == "A");
  CHECK(columns->logprobs[0].top[2].token == " a");
  for (const char* none : {"7", R"({"content":7})", R"({"content":[7]})", R"({"content":[{"token":"A"}]})",
                           R"({"content":[{"token":"A","logprob":"-1"}]})",
                           R"({"content":[{"token":"A","logprob":-1,"top_logprobs":7}]})",
                           R"({"tokens":["A"],"token_logprobs":[]})",
                           R"({"tokens":["A"],"token_logprobs":[-1],"top_logprobs":[7]})"}) {
    INFO(none);
    check_failure(
        chat(R"({"message":{"content":"A"},"finish_reason":"stop","logprobs":)" + std::string(none) + "}"),
        ErrorKind::transport, Remedy::retry);
  }
}

TEST_CASE("chat: 200s that are no reply", "[llm][decode]") {
  struct Row {
    const char* body;
    ErrorKind kind;
    Remedy remedy;
  };
  const std::vector<Row> rows = {
      {"", ErrorKind::transport, Remedy::retry},
      {"<html>Welcome</html>", ErrorKind::transport, Remedy::retry},
      {R"({"choices":[{"message":{"conte)", ErrorKind::transport, Remedy::retry},
      {"null", ErrorKind::transport, Remedy::retry},
      {"[]", ErrorKind::transport, Remedy::retry},
      {"{}", ErrorKind::transport, Remedy::retry},
      {R"({"choices":[]})", ErrorKind::transport, Remedy::retry},
      {R"({"choices":null})", ErrorKind::transport, Remedy::retry},
      {R"({"choices":[{}]})", ErrorKind::transport, Remedy::retry},
      {R"({"choices":[{"message":{"content":null},"finish_reason":"stop"}]})", ErrorKind::transport,
       Remedy::retry},
      {R"({"choices":[{"message":{},"finish_reason":"tool_calls"}]})", ErrorKind::transport, Remedy::retry},
      {R"({"choices":[{"message":{"content":7},"finish_reason":"stop"}]})", ErrorKind::transport,
       Remedy::retry},
      {R"({"choices":[{"message":{"content":["x"]},"finish_reason":"stop"}]})", ErrorKind::transport,
       Remedy::retry},
      {R"({"error":{"message":"Provider returned error","code":502}})", ErrorKind::transport, Remedy::retry},
      {R"({"error":{"message":"Rate limited","code":"429"}})", ErrorKind::rate_limited, Remedy::retry},
      {R"({"error":{"message":"Insufficient credits","code":402}})", ErrorKind::billing, Remedy::pay},
      {R"({"error":{"message":"x","type":"insufficient_quota"}})", ErrorKind::billing, Remedy::pay},
      {R"({"error":{"message":"x","code":"context_length_exceeded"}})", ErrorKind::context_too_long,
       Remedy::none},
      {R"({"error":"something broke"})", ErrorKind::transport, Remedy::retry},
      {R"({"choices":[{"error":{"code":429,"message":"busy"},"message":{"content":""},"finish_reason":"error"}]})",
       ErrorKind::rate_limited, Remedy::retry},
  };
  for (const auto& row : rows) {
    INFO(row.body);
    const auto answer = decoded(Dialect::openai_chat, row.body);
    check_failure(answer, row.kind, row.remedy);
    CHECK(answer.error().status == 200);
  }
}

TEST_CASE("decode: a failure that was counted carries its usage", "[llm][decode]") {
  const auto empty = chat("");
  REQUIRE_FALSE(empty);
  CHECK(empty.error().usage == TokenUsage{.input = 10, .output = 5});
  CHECK_FALSE(empty.error().possibly_billed);
  const auto cut = decoded(Dialect::openai_chat, R"({"choices":[{"mess)");
  REQUIRE_FALSE(cut);
  CHECK_FALSE(cut.error().usage);
  CHECK(cut.error().possibly_billed);
}

TEST_CASE("responses: text, reasoning, refusal, tool", "[llm][decode]") {
  const auto reply = responses(R"("status":"completed","output":[
      {"type":"reasoning","summary":[{"type":"summary_text","text":"think"}]},
      {"type":"web_search_call","id":"x"},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"fo","logprobs":[
          {"token":"fo","logprob":-1,"top_logprobs":[{"token":"fo","logprob":-1}]}]},
          {"type":"output_text","text":"ur","annotations":[]}]}])");
  REQUIRE(reply);
  CHECK(reply->text == "four");
  CHECK(reply->reasoning == "think");
  CHECK(reply->finish == Finish::stop);
  CHECK(reply->logprobs.size() == 1);
  CHECK(reply->usage == TokenUsage{.input = 6, .cached = 4, .output = 5, .reasoning = 3});
  const auto refusal = responses(
      R"("status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"No."}]}])");
  REQUIRE(refusal);
  CHECK(refusal->finish == Finish::refusal);
  CHECK(refusal->refusal == "No.");
  const auto tool = responses(
      R"("status":"completed","output":[{"type":"function_call","name":"verdict","arguments":"{\"a\":1}"}])");
  REQUIRE(tool);
  CHECK(tool->finish == Finish::tool);
  CHECK(tool->tool->arguments == R"({"a":1})");
  check_failure(
      responses(R"("status":"completed","output":[{"type":"function_call","name":"v","arguments":"{"}])"),
      ErrorKind::judge_parse, Remedy::none);
}

TEST_CASE("responses: what is incomplete, and what failed", "[llm][decode]") {
  for (const auto& [reason, finish] :
       std::vector<std::pair<std::string, Finish>>{{"max_output_tokens", Finish::length},
                                                   {"content_filter", Finish::content_filter},
                                                   {"x", Finish::other}}) {
    const auto reply = responses(R"("status":"incomplete","incomplete_details":{"reason":")" + reason +
                                 R"("},"output":[{"type":"reasoning","summary":[]}])");
    REQUIRE(reply);
    CHECK(reply->finish == finish);
    CHECK(reply->finish_reason == reason);
  }
  check_failure(responses(R"("status":"completed","output":[])"), ErrorKind::transport, Remedy::retry);
  check_failure(responses(R"("status":"completed")"), ErrorKind::transport, Remedy::retry);
  check_failure(responses(R"("status":"queued","output":[])"), ErrorKind::transport, Remedy::retry);
  check_failure(responses(R"("status":"completed","output":[{"type":"message","content":"x"}])"),
                ErrorKind::transport, Remedy::retry);
  const auto failed = [](const char* code) {
    return decoded(Dialect::openai_responses, R"({"status":"failed","output":[],"error":{"code":")" +
                                                  std::string(code) + R"(","message":"m"}})");
  };
  check_failure(failed("server_error"), ErrorKind::transport, Remedy::retry);
  check_failure(failed("rate_limit_exceeded"), ErrorKind::rate_limited, Remedy::retry);
  check_failure(failed("invalid_prompt"), ErrorKind::content_filter, Remedy::none);
}

TEST_CASE("Anthropic: text, thinking, and every stop reason", "[llm][decode]") {
  const auto reply = anthropic(
      R"([{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"x"},
          {"type":"text","text":"fo"},{"type":"server_tool_use","name":"w","input":{}},{"type":"text","text":"ur"}])",
      "end_turn");
  REQUIRE(reply);
  CHECK(reply->text == "four");
  CHECK(reply->reasoning == "hm");
  CHECK(reply->finish == Finish::stop);
  CHECK(reply->usage == TokenUsage{.input = 10, .output = 5});
  for (const auto& [reason, finish] :
       std::vector<std::pair<const char*, Finish>>{{"stop_sequence", Finish::stop},
                                                   {"max_tokens", Finish::length},
                                                   {"refusal", Finish::refusal},
                                                   {"pause_turn", Finish::other},
                                                   {"tool_use", Finish::other},
                                                   {"new_reason", Finish::other}}) {
    INFO(reason);
    const auto other = anthropic(R"([{"type":"text","text":"t"}])", reason);
    REQUIRE(other);
    CHECK(other->finish == finish);
    CHECK(other->finish_reason == reason);
    CHECK(other->refusal == (finish == Finish::refusal ? "t" : ""));
  }
  const auto nothing = anthropic("[]", "end_turn");
  REQUIRE(nothing);
  CHECK(nothing->text.empty());
  const auto window = anthropic(R"([{"type":"text","text":"t"}])", "model_context_window_exceeded");
  check_failure(window, ErrorKind::context_too_long, Remedy::none);
  CHECK(window.error().usage == TokenUsage{.input = 10, .output = 5});
}

TEST_CASE("Anthropic: tools, and 200s that are no reply", "[llm][decode]") {
  const auto tool = anthropic(
      R"([{"type":"text","text":"So:"},{"type":"tool_use","id":"1","name":"verdict","input":{"pass":true}}])",
      "tool_use");
  REQUIRE(tool);
  CHECK(tool->finish == Finish::tool);
  CHECK(tool->tool->name == "verdict");
  CHECK(tool->tool->arguments == R"({"pass":true})");
  const auto cut = anthropic(R"([{"type":"tool_use","name":"verdict","input":{}}])", "max_tokens");
  REQUIRE(cut);
  CHECK(cut->finish == Finish::length);
  CHECK_FALSE(cut->tool);
  check_failure(anthropic(R"([{"type":"tool_use","name":"v","input":7}])", "tool_use"),
                ErrorKind::judge_parse, Remedy::none);
  check_failure(anthropic("null", "end_turn"), ErrorKind::transport, Remedy::retry);
  check_failure(anthropic("[7]", "end_turn"), ErrorKind::transport, Remedy::retry);
  check_failure(decoded(Dialect::anthropic_messages,
                        R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"),
                ErrorKind::rate_limited, Remedy::retry);
  check_failure(decoded(Dialect::anthropic_messages, R"({"type":"error","error":{"type":"billing_error"}})"),
                ErrorKind::billing, Remedy::pay);
}

TEST_CASE("usage: brought to one meaning", "[llm][decode]") {
  const auto usage = [](Dialect dialect, const char* text) {
    const char* const body =
        dialect == Dialect::openai_chat
            ? R"({"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":)"
            : R"({"content":[],"stop_reason":"end_turn","usage":)";
    const auto reply = decoded(dialect, body + std::string(text) + "}");
    REQUIRE(reply);
    return reply->usage;
  };
  CHECK(usage(Dialect::openai_chat, R"({"prompt_tokens":100,"completion_tokens":50,
      "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},
      "completion_tokens_details":{"reasoning_tokens":20,"rejected_prediction_tokens":5}})") ==
        TokenUsage{.input = 10, .cached = 60, .cache_write_5m = 30, .output = 50, .reasoning = 20});
  CHECK(usage(Dialect::openai_chat, R"({"prompt_tokens":10,"completion_tokens":5,
      "completion_tokens_details":{"reasoning_tokens":200}})") ==
        TokenUsage{.input = 10, .output = 205, .reasoning = 200});
  CHECK(usage(Dialect::anthropic_messages,
              R"({"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":1000,
      "cache_creation_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},
      "service_tier":"standard"})") ==
        TokenUsage{.input = 10, .cached = 1000, .cache_write_5m = 100, .cache_write_1h = 200, .output = 5});
  CHECK(usage(Dialect::anthropic_messages,
              R"({"input_tokens":10,"output_tokens":5,"cache_creation_input_tokens":300})") ==
        TokenUsage{.input = 10, .cache_write_5m = 300, .output = 5});
  for (const char* none :
       {"null", "{}", "7", R"({"prompt_tokens":10})", R"({"prompt_tokens":-1,"completion_tokens":5})",
        R"({"prompt_tokens":1e30,"completion_tokens":5})", R"({"prompt_tokens":1.5,"completion_tokens":5})",
        R"({"prompt_tokens":"10","completion_tokens":5})"}) {
    INFO(none);
    CHECK_FALSE(usage(Dialect::openai_chat, none));
  }
}

TEST_CASE("decode: any other status is a failure, whatever the dialect", "[llm][decode]") {
  for (const auto dialect : {Dialect::openai_chat, Dialect::openai_responses, Dialect::anthropic_messages}) {
    const auto answer = decode(dialect, {429, {{"retry-after", "2"}}, ""}, Time(), {});
    REQUIRE_FALSE(answer);
    CHECK(answer.error().error.kind == ErrorKind::rate_limited);
    CHECK(answer.error().retry_after == std::chrono::seconds(2));
  }
}

TEST_CASE("decode: no failure quotes the key", "[llm][decode]") {
  for (const char* body :
       {R"({"echo":"secret"})", "secret", R"({"error":{"message":"secret","code":"secret"}})",
        R"({"id":"secret","choices":[]})"}) {
    const auto answer = decode(Dialect::openai_chat, {200, {}, body}, Time(), "secret");
    REQUIRE_FALSE(answer);
    CHECK(answer.error().error.message.find("secret") == std::string::npos);
    CHECK(answer.error().request_id.find("secret") == std::string::npos);
  }
}

TEST_CASE("decode: an answer of more values than anybody needs ends the call", "[llm][decode]") {
  std::string list(2'500'000, '[');
  for (size_t i = 0; i < list.size(); ++i) list[i] = "[],"[i % 3];
  list.pop_back();
  const auto body = GENERATE_COPY(R"({"choices":[)" + list + "]}", R"({"error":[)" + list + "]}");
  const auto answer = decoded(Dialect::openai_chat, body);
  check_failure(answer, ErrorKind::output_limit, Remedy::none);
  CHECK_THAT(answer.error().error.message, Catch::Contains("more than 1000000 JSON values"));
  const auto tool = chat(R"({"message":{"tool_calls":[{"function":{"name":"f","arguments":"[)" + list +
                         R"(]"}}]},"finish_reason":"tool_calls"})");
  check_failure(tool, ErrorKind::judge_parse, Remedy::none);
}

}  // namespace
}  // namespace assay::llm
