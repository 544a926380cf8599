// What a plugin host makes of bytes from either side: the pool's frames, the plugin's outcomes, and JSON by
// dotted paths.
#include <catch2/catch.hpp>
#include <limits>

#include "sandbox/runtime/plugin/answer.hpp"
#include "sandbox/runtime/plugin/lookup.hpp"
#include "sandbox/runtime/plugin/message.hpp"
#include "sandbox/runtime/plugin_description.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace assay::sandbox::plugin;

namespace {

constexpr std::string_view kItem =
    R"({"id":"7","sample":{"output":"a\"b é","input":[1,{"x":"y"}]},"ground_truth":{"output":{"a":1},"text":"t"},)"
    R"("metadata":{"a.b":1,"tags":["p",null,-2.5e3],"":{"":"empty"}}})";

std::string found(std::string_view path, bool in_item = true) {
  std::deque<std::string> kept;
  const auto value = in_item ? look_up_item(kItem, path, kept) : look_up(kItem, path, kept);
  if (!value) return "none";
  return (value->is_text ? "text " : "json ") + std::string(value->value);
}

assay_outcome scored(double score) {
  assay_outcome outcome{};
  outcome.size = sizeof outcome;
  outcome.score = score;
  return outcome;
}

}  // namespace

TEST_CASE("Plugin lookup: values by dotted paths", "[sandbox][plugin]") {
  CHECK(found("id") == "text 7");
  CHECK(found("sample.output") == "text a\"b é");
  CHECK(found("sample.input.1.x") == "text y");
  CHECK(found("sample.input") == R"(json [1,{"x":"y"}])");
  CHECK(found("metadata.tags.1") == "json null");
  CHECK(found("metadata.tags.2") == "json -2.5e3");
  CHECK(found("") == "json " + std::string(kItem));
  for (const char* path : {"nothing", "id.x", "metadata.tags.3", "metadata.tags.-1", "metadata.tags.01x",
                           "metadata.a.b", "sample..output", "sample.input.18446744073709551616"})
    CHECK(found(path) == "none");
}

TEST_CASE("Plugin lookup: the text of a side is its output where the wire leaves it out",
          "[sandbox][plugin]") {
  CHECK(found("sample.text") == "text a\"b é");
  CHECK(found("ground_truth.text") == "text t");
  CHECK(found("sample.text", false) == "none");
  std::deque<std::string> kept;
  CHECK_FALSE(look_up_item(R"({"sample":{"output":5}})", "sample.text", kept));
}

TEST_CASE("Plugin lookup: what is no JSON has no values", "[sandbox][plugin]") {
  std::deque<std::string> kept;
  for (const char* text : {"", "{", "{\"a\"", "{\"a\":", "{\"a\":tru", "[1,2", "{\"b\":\x01,\"a\":1}"})
    CHECK_FALSE(look_up(text, "a", kept));
}

TEST_CASE("Plugin messages: what the pool says is read, in any order of members", "[sandbox][plugin]") {
  using Kind = Message::Kind;
  const auto evaluate =
      parse_message(R"({"params":{"x":1,"item":{"a":[1]}},"id":9,"jsonrpc":"2.0","method":"evaluate"})");
  REQUIRE(evaluate);
  CHECK((evaluate->kind == Kind::evaluate && evaluate->id == 9 && evaluate->params == R"({"a":[1]})"));
  const auto cancel = parse_message(R"({"jsonrpc":"2.0","method":"cancel","params":{"evaluation":4}})");
  REQUIRE(cancel);
  CHECK((cancel->kind == Kind::cancel && cancel->id == 4));
  const auto reply = parse_message(R"({"jsonrpc":"2.0","id":3,"result":{"text":"t"}})");
  REQUIRE(reply);
  CHECK((reply->kind == Kind::completion && reply->id == 3 && reply->params == R"({"text":"t"})" &&
         !reply->error));
  const auto failed = parse_message(
      R"({"jsonrpc":"2.0","id":3,"error":{"code":-32000,"message":"m","data":{"kind":"billing"}}})");
  REQUIRE((failed && failed->error));
  CHECK((failed->error->kind == ErrorKind::billing && failed->error->message == "m"));
  const auto initialize =
      parse_message(R"({"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocol":1}})");
  REQUIRE(initialize);
  CHECK(initialize->params == R"({"protocol":1})");
  CHECK(parse_message(R"({"jsonrpc":"2.0","method":"shutdown"})")->kind == Kind::shutdown);
  for (const char* text :
       {"", "[]", "{}", R"({"jsonrpc":"2.0"})", R"({"jsonrpc":"1.0","method":"shutdown"})",
        R"({"jsonrpc":"2.0","method":"evaluate","params":{"item":{}}})",
        R"({"jsonrpc":"2.0","method":"evaluate","id":1,"params":{}})",
        R"({"jsonrpc":"2.0","method":"evaluate","id":-1,"params":{"item":{}}})",
        R"({"jsonrpc":"2.0","method":"cancel","params":{}})", R"({"jsonrpc":"2.0","id":1})",
        R"({"jsonrpc":"2.0","method":"dance","id":1,"params":{}})",
        R"({"jsonrpc":"2.0","id":1,"result":{}} x)"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_message(text));
  }
}

TEST_CASE("Plugin outcomes: each becomes an answer, or an error that says what is wrong",
          "[sandbox][plugin]") {
  assay_outcome outcome = scored(0.5);
  outcome.passed = -1;
  outcome.reason = text_of("why");
  outcome.metrics = text_of(R"({"b":2,"a":-1.5})");
  const wire::Answer good = to_answer(&outcome, 1'000);
  CHECK((!good.error && good.score == 0.5 && good.passed == false && good.reason == "why"));
  CHECK(good.metrics == std::vector<std::pair<std::string, double>>{{"a", -1.5}, {"b", 2}});

  const auto kind_of = [](const assay_outcome& given, uint64_t limit = 1'000) {
    const wire::Answer answer = to_answer(&given, limit);
    return answer.error ? answer.error->kind : ErrorKind::cancelled;
  };
  CHECK(kind_of(scored(std::numeric_limits<double>::quiet_NaN())) == ErrorKind::bad_result);
  CHECK(kind_of(outcome, 5) == ErrorKind::output_limit);
  for (const char* metrics :
       {"[]", "{", R"({"a":"1"})", R"({"a":1,"a":2})", R"({"a":1e999})", "{} x", "null"}) {
    outcome.metrics = text_of(metrics);
    CAPTURE(metrics);
    CHECK(kind_of(outcome) == ErrorKind::bad_result);
  }
  outcome = scored(1);
  outcome.verdict = 7;
  CHECK(kind_of(outcome) == ErrorKind::bad_result);
  outcome = scored(1);
  outcome.size = 8;
  CHECK(kind_of(outcome) == ErrorKind::bad_result);
  CHECK(to_answer(nullptr, 10).error->kind == ErrorKind::bad_result);

  outcome = scored(0);
  outcome.verdict = ASSAY_ERRORED;
  CHECK(kind_of(outcome) == ErrorKind::evaluator_error);
  outcome.kind = text_of("judge_parse");
  CHECK(kind_of(outcome) == ErrorKind::judge_parse);
  outcome.kind = text_of("cancelled");
  CHECK(kind_of(outcome) == ErrorKind::internal);
  outcome.kind = text_of("nonsense");
  CHECK((kind_of(outcome) == ErrorKind::evaluator_error &&
         to_answer(&outcome, 10).error->message.starts_with("nonsense: ")));
  outcome.verdict = ASSAY_SKIPPED;
  outcome.reason = text_of("not for this one");
  const wire::Answer skipped = to_answer(&outcome, 1'000);
  CHECK((!skipped.error && skipped.skipped && skipped.reason == "not for this one"));
}

TEST_CASE("Plugin descriptions: nothing is believed unchecked", "[sandbox][plugin]") {
  const auto good = parse_plugin_description(
      R"({"name":"text","version":"1.2.0","evaluators":[{"name":"exact","summary":"s","params":{"type":"object"},)"
      R"("services":["assay.llm/1"],"max_in_flight":64},{"name":"plain"}]})");
  REQUIRE(good);
  CHECK((good->name == "text" && good->version == "1.2.0" && good->evaluators.size() == 2));
  const PluginEvaluator* const exact = good->evaluator("exact");
  REQUIRE(exact != nullptr);
  CHECK(
      (exact->params == R"({"type":"object"})" && exact->max_in_flight == 64 && exact->services.size() == 1));
  CHECK((good->evaluator("plain")->params == "{}" && good->evaluator("none") == nullptr));
  for (const char* text :
       {"", "[]", "{}", R"({"name":"t"})", R"({"name":"t","evaluators":[]})",
        R"({"name":"T","evaluators":[{"name":"a"}]})", R"({"name":"a/b","evaluators":[{"name":"a"}]})",
        R"({"name":"t","evaluators":[{"name":""}]})",
        R"({"name":"t","evaluators":[{"name":"a"},{"name":"a"}]})", R"({"name":"t","evaluators":["a"]})",
        R"({"name":"t","version":1,"evaluators":[{"name":"a"}]})",
        R"({"name":"t","evaluators":[{"name":"a","params":[]}]})",
        R"({"name":"t","evaluators":[{"name":"a","services":"x"}]})",
        R"({"name":"t","evaluators":[{"name":"a","max_in_flight":0}]})",
        R"({"name":"t","evaluators":[{"name":"a","max_in_flight":5000}]})"}) {
    CAPTURE(text);
    const auto parsed = parse_plugin_description(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().kind == ErrorKind::config);
  }
}
