#include "sandbox/runtime/process/result.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace assay;
using namespace assay::sandbox;
using process::read_result;
using process::with_text;

namespace {

wire::Answer read(std::string_view text, const std::set<ErrorKind>& failures = {}) {
  wire::Answer answer;
  read_result(text, answer, failures);
  return answer;
}

}  // namespace

TEST_CASE("read_result: numbers, truth and objects are scores", "[sandbox][process]") {
  CHECK(read("0.5").score == 0.5);
  CHECK(read(" -3e2\r\n\n").score == -300);
  const auto truth = read("true\n");
  CHECK((truth.score == 1 && truth.passed == true));
  CHECK((read("false").score == 0 && read("false").passed == false));
  const auto whole = read(
      R"({"passed":false,"score":true,"reason":"why é","metrics":{"b":2,"a":0.5},"extra":{"score":[9]}})");
  REQUIRE_FALSE(whole.error);
  CHECK((whole.score == 1 && whole.passed == false && whole.reason == "why é"));
  CHECK(whole.metrics == decltype(whole.metrics){{"a", 0.5}, {"b", 2}});
  const auto bare = read(R"({"score":1,"passed":null,"reason":null,"metrics":null})");
  CHECK((!bare.error && !bare.passed && bare.reason.empty() && bare.metrics.empty()));
}

TEST_CASE("read_result: anything else is a bad result and no score", "[sandbox][process]") {
  std::string many = R"({"score":1,"metrics":{)";
  for (int i = 0; i < 1'001; i++) many += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":1";
  const std::string text = GENERATE_REF(
      as<std::string>{}, "", "\n", "NaN", "Infinity", "-Infinity", "nan", "1e999", "-1e999", "0x10", "1.",
      ".5", "+1", "01", "1 2", "1\n1", "1,", "\"1\"", "null", "[]", "[1]", "{}", "{\"score\":}",
      "{\"score\":\"1\"}", "{\"score\":null}", "{\"score\":1", "{\"score\":1,}", "{\"score\":1}{\"score\":1}",
      "{\"score\":1} x", "{\"score\":[1]}", "{\"score\":{}}", "{\"score\":1e999}",
      R"({"score":1,"passed":1})", R"({"score":1,"passed":"yes"})", R"({"score":1,"reason":7})",
      R"({"score":1,"metrics":[]})", R"({"score":1,"metrics":{"a":"1"}})",
      R"({"score":1,"metrics":{"a":1e999}})",
      "\xEF\xBB\xBF"
      "1",
      "\xff", "{\"score\":1,\"reason\":\"\xff\"}", R"({"score":1,"reason":"\ud800"})", std::string("1\0", 2),
      std::string(100'000, '['), "{\"a\":" + std::string(100, '[') + std::string(100, ']') + ",\"score\":1}",
      R"({"score":1,"score":2})", many + "}}", "print(1)", "score: 1");
  CAPTURE(text.substr(0, 80));
  const auto answer = read(text);
  REQUIRE(answer.error);
  CHECK(answer.error->kind == ErrorKind::bad_result);
  CHECK((answer.score == 0 && !answer.passed && answer.reason.empty() && answer.metrics.empty()));
  CHECK(answer.error->message.size() < 300);
}

TEST_CASE("read_result: a runner may say that the item failed, in kinds of its own only",
          "[sandbox][process]") {
  const auto failed = read(R"({"error":{"kind":"memory_limit","message":"ran out"}})");
  REQUIRE(failed.error);
  CHECK((failed.error->kind == ErrorKind::memory_limit && failed.error->message == "ran out"));
  for (const char* kind :
       {"internal", "transport", "config", "cancelled", "timeout", "judge_refusal", "nonsense", ""}) {
    const auto other = read(R"({"error":{"kind":")" + std::string(kind) + R"(","message":"m"}})");
    REQUIRE(other.error);
    CHECK(other.error->kind == ErrorKind::evaluator_error);
  }
  const std::string billing = R"({"error":{"kind":"billing","message":"m"}})";
  CHECK(read(billing, {ErrorKind::billing, ErrorKind::timeout}).error->kind == ErrorKind::billing);
  CHECK(read(billing, {ErrorKind::auth}).error->kind == ErrorKind::evaluator_error);
  CHECK(read(R"({"error":7})").error->kind == ErrorKind::bad_result);
}

TEST_CASE("with_text: text stands beside every output that is a string", "[sandbox][process]") {
  CHECK(
      with_text(R"({"id":"1","sample":{"output":"a\"b"},"ground_truth":{"input":1,"output":"c"}})") ==
      R"({"id":"1","sample":{"output":"a\"b","text":"a\"b"},"ground_truth":{"input":1,"output":"c","text":"c"}})");
  CHECK(with_text(R"({"sample":{"output":{"a":1}}})") == R"({"sample":{"output":{"a":1}}})");
  CHECK(with_text(R"({"sample":{"output":"a","text":"b"}})") == R"({"sample":{"output":"a","text":"b"}})");
  CHECK(with_text(R"({"sample":{}})") == R"({"sample":{}})");
  CHECK(with_text(R"({"metadata":{"output":"a"}})") == R"({"metadata":{"output":"a"}})");
  CHECK(with_text("7") == "7");
  CHECK(with_text("{\"sample\":") == "{\"sample\":");
}
