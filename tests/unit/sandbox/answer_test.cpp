#include "sandbox/runtime/answer.hpp"

#include <catch2/catch.hpp>
#include <cstring>

using namespace assay;
using namespace assay::sandbox;

TEST_CASE("AnswerParser: scores and errors of a host are read", "[sandbox]") {
  AnswerParser parser;
  const auto scored = parser.parse(
      R"({"jsonrpc":"2.0","id":4,"result":{"score":1,"passed":true,"reason":"r","metrics":{"a":2},"log":"l",)"
      R"("usage":{"wall_us":5,"cpu_us":4,"memory_bytes":3,"method":"rusage"}}})");
  REQUIRE(scored);
  REQUIRE((scored->id == 4 && scored->has_outcome && scored->outcome.verdict == Verdict::scored));
  REQUIRE((scored->outcome.score == 1 && scored->outcome.passed == true && scored->outcome.reason == "r"));
  REQUIRE((scored->outcome.metrics.size() == 1 && scored->outcome.log == "l" &&
           scored->outcome.usage.wall.count() == 5));
  const auto errored = parser.parse(
      R"({"jsonrpc":"2.0","id":4,"error":{"code":1,"message":"m","data":{"kind":"timeout","log":"l"}}})");
  REQUIRE(errored);
  REQUIRE((errored->outcome.error.kind == ErrorKind::timeout && errored->outcome.error.message == "m"));
  REQUIRE_FALSE(parser.parse(R"({"id":0,"result":{"max_in_flight":1}})")->has_outcome);
  const auto twice = parser.parse(R"({"id":4,"result":{"score":1,"metrics":{"a":1,"b":2,"a":3},)"
                                  R"("usage":{"wall_us":5,"cpu_us":4,"memory_bytes":3,"method":"rusage"}}})");
  REQUIRE(twice);
  REQUIRE(twice->outcome.error.kind == ErrorKind::bad_result);
}

TEST_CASE("AnswerParser: a host that lies is no answer", "[sandbox]") {
  AnswerParser parser;
  const std::string text = GENERATE(
      as<std::string>{}, "", "null", "[]", "{}", "{\"id\":1}", R"({"id":"1","result":{"score":1}})",
      R"({"id":1,"result":{"score":"1"}})", R"({"id":1,"result":{"score":null}})",
      R"({"id":1,"result":{"score":1}})",
      R"({"id":1,"result":{"score":1,"passed":1,"usage":{"wall_us":1,"cpu_us":1,"memory_bytes":1,"method":"rusage"}}})",
      R"({"id":1,"result":{"score":1,"reason":[],"usage":{"wall_us":1,"cpu_us":1,"memory_bytes":1,"method":"rusage"}}})",
      R"({"id":1,"result":{"score":1,"metrics":{"a":"b"},"usage":{"wall_us":1,"cpu_us":1,"memory_bytes":1,"method":"rusage"}}})",
      R"({"id":1,"result":{"score":1,"usage":{"wall_us":-1,"cpu_us":1,"memory_bytes":1,"method":"rusage"}}})",
      R"({"id":1,"result":{"score":1e999,"usage":{"wall_us":1,"cpu_us":1,"memory_bytes":1,"method":"rusage"}}})",
      R"({"id":1,"error":{"message":"m"}})",
      R"({"id":1,"error":{"message":"m","data":{"kind":"cancelled"}}})",
      R"({"id":1,"error":{"message":"m","data":{"kind":"judge_refusal"}}})",
      R"({"id":1,"error":{"message":"m","data":{"kind":"made up"}}})",
      "{\"id\":1,\"error\":{\"message\":\"\xff\",\"data\":{\"kind\":\"timeout\"}}}",
      "{\"id\":1,\"result\":{\"score\":1,\"metrics\":" + std::string(50, '[') + std::string(50, ']') + "}}");
  CAPTURE(text);
  REQUIRE_FALSE(parser.parse(text));
}

TEST_CASE("FrameBuffer: an announced length beyond the limit breaks the stream", "[sandbox]") {
  FrameBuffer frames(100);
  frames.append(std::string("\x65\0\0\0", 4));
  REQUIRE_FALSE(frames.next());
  REQUIRE(frames.broken());
}

TEST_CASE("FrameBuffer: frames come out whole, however the bytes arrive", "[sandbox]") {
  std::string bytes;
  for (const std::string text : {"one", "two two", "3"})
    bytes += std::string{static_cast<char>(text.size()), 0, 0, 0} + text;
  const size_t piece = GENERATE(1, 2, 3, 5, 100);
  FrameBuffer frames(100);
  std::string joined;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    frames.append(std::string_view(bytes).substr(at, piece));
    while (const auto text = frames.next()) joined += std::string(*text) + ";";
  }
  REQUIRE(joined == "one;two two;3;");
}

TEST_CASE("AnswerParser: what hosts of plugins say", "[sandbox][plugin]") {
  AnswerParser parser(true);
  const auto started =
      parser.parse(R"({"id":0,"result":{"max_in_flight":4096,"concurrent":64,"description":"{}"}})");
  REQUIRE(started);
  CHECK((!started->has_outcome && started->concurrent == 64 && started->description == "{}"));
  CHECK(parser.parse(R"({"id":0,"result":{"max_in_flight":1}})")->concurrent == 1);
  for (const char* text :
       {R"({"id":0,"result":{"concurrent":0}})", R"({"id":0,"result":{"concurrent":5000}})",
        R"({"id":0,"result":{"concurrent":"2"}})", R"({"id":0,"result":{"description":{}}})"})
    CHECK_FALSE(parser.parse(text));

  constexpr const char* kUsage = R"("usage":{"wall_us":1,"cpu_us":1,"memory_bytes":1,"method":"rusage"}})";
  const auto skipped =
      parser.parse(R"({"id":3,"result":{"skipped":true,"reason":"r",)" + std::string(kUsage) + "}");
  REQUIRE(skipped);
  CHECK((skipped->has_outcome && skipped->outcome.verdict == Verdict::skipped &&
         skipped->outcome.reason == "r"));

  const auto call = parser.parse(
      R"({"id":7,"method":"llm.complete","params":{"evaluation":3,"request":{"model":"m","schema":)" +
      std::string(40, '[') + std::string(40, ']') + "}}}");
  REQUIRE((call && call->model_call));
  CHECK((call->id == 7 && call->model_call->evaluation == 3));
  CHECK(call->model_call->request.starts_with(R"({"model":"m","schema":[[)"));
  for (const char* text : {R"({"id":7,"method":"llm.complete","params":{"request":{}}})",
                           R"({"id":7,"method":"llm.complete","params":{"evaluation":3,"request":"x"}})",
                           R"({"id":7,"method":"llm.confess","params":{"evaluation":3,"request":{}}})"})
    CHECK_FALSE(parser.parse(text));

  const char* const judged = R"({"id":1,"error":{"message":"m","data":{"kind":"judge_refusal"}}})";
  CHECK(parser.parse(judged)->outcome.error.kind == ErrorKind::judge_refusal);
  CHECK_FALSE(parser.parse(R"({"id":1,"error":{"message":"m","data":{"kind":"cancelled"}}})"));
  CHECK_FALSE(AnswerParser().parse(judged));
}
