#include "sandbox/runtime/wire/frames.hpp"

#include <catch2/catch.hpp>
#include <cstring>

using namespace assay::sandbox::wire;

namespace {

std::string frame(std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::string out(4, '\0');
  memcpy(out.data(), &size, 4);
  return out.append(text);
}

void feed(FrameReader& reader, std::string_view bytes) {
  memcpy(reader.prepare(bytes.size()), bytes.data(), bytes.size());
  reader.commit(bytes.size());
}

}  // namespace

TEST_CASE("FrameReader: frames come out whole, however the bytes arrive", "[sandbox][lua]") {
  const std::string bytes = frame("one") + frame("two two") + frame("3");
  const size_t piece = GENERATE(1, 2, 3, 5, 100);
  FrameReader reader(100);
  std::vector<std::string> frames;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    feed(reader, std::string_view(bytes).substr(at, piece));
    while (const auto text = reader.next()) frames.emplace_back(*text);
  }
  REQUIRE(frames == std::vector<std::string>{"one", "two two", "3"});
}

TEST_CASE("FrameReader: an empty or too large frame breaks the stream for good", "[sandbox][lua]") {
  FrameReader reader(10);
  feed(reader, GENERATE(std::string(4, '\0'), std::string("\xff\xff\xff\xff"), std::string("\x0b\0\0\0", 4)));
  REQUIRE_FALSE(reader.next());
  REQUIRE(reader.broken());
  feed(reader, frame("ok"));
  REQUIRE_FALSE(reader.next());
}

TEST_CASE("Requests: what the pool says is understood, all else is refused", "[sandbox][lua]") {
  const auto evaluate =
      parse_request(R"({"jsonrpc":"2.0","id":5,"method":"evaluate","params":{"item":{"a":[1]}}})");
  REQUIRE(evaluate);
  REQUIRE((evaluate->id == 5 && evaluate->method == Method::evaluate && evaluate->params == R"({"a":[1]})"));
  REQUIRE(parse_request(R"({"method":"shutdown","jsonrpc":"2.0"})")->method == Method::shutdown);
  for (const char* text :
       {"", "{}", "[]", "null", R"({"jsonrpc":"1.0","method":"shutdown"})",
        R"({"jsonrpc":"2.0","method":"other"})", R"({"jsonrpc":"2.0","id":1,"method":"evaluate"})",
        R"({"jsonrpc":"2.0","id":1,"method":"evaluate","params":{}})",
        R"({"jsonrpc":"2.0","id":-1,"method":"evaluate","params":{"item":1}})",
        R"({"jsonrpc":"2.0","id":"x","method":"evaluate","params":{"item":1}})",
        R"({"jsonrpc":"2.0","method":"shutdown"} x)"}) {
    CAPTURE(text);
    REQUIRE_FALSE(parse_request(text));
  }
  const auto source = parse_initialize(R"({"protocol":1,"evaluator":"e","source":"x","params":{"a":1},)"
                                       R"("limits":{"wall_ms":1,"cpu_ms":2,"memory_bytes":3,"later":9}})");
  REQUIRE(source);
  REQUIRE((source->name == "e" && source->source == "x" && source->params == R"({"a":1})"));
  REQUIRE((source->limits.wall.count() == 1 && source->limits.memory_bytes == 3));
  REQUIRE_FALSE(parse_initialize(R"({"protocol":2})"));
}

TEST_CASE("Answers: one frame each, strings made valid", "[sandbox][lua]") {
  Answer answer;
  answer.score = 0.5;
  answer.passed = true;
  answer.reason = "a\"\n\xff";
  answer.metrics = {{"m", 1}};
  std::string out;
  append_answer(out, 3, answer);
  REQUIRE(out.substr(4) ==
          "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"score\":0.5,\"passed\":true,\"reason\":"
          "\"a\\\"\\n\xEF\xBF\xBD\","
          "\"metrics\":{\"m\":1},\"usage\":{\"wall_us\":0,\"cpu_us\":0,\"memory_bytes\":0,\"method\":"
          "\"rusage\"}}}");
  uint32_t size = 0;
  memcpy(&size, out.data(), 4);
  REQUIRE(size == out.size() - 4);
  answer.error = assay::Error{assay::ErrorKind::timeout, "late"};
  out.clear();
  append_answer(out, 3, answer);
  REQUIRE(out.substr(4) ==
          R"({"jsonrpc":"2.0","id":3,"error":{"code":-32000,"message":"late","data":{"kind":"timeout",)"
          R"("usage":{"wall_us":0,"cpu_us":0,"memory_bytes":0,"method":"rusage"}}}})");
}

TEST_CASE("Calls: what is said for an evaluation, and the answers", "[sandbox][lua][llm]") {
  std::string out;
  append_evaluator_call(out, 7, kComplete, R"({"model":"m"})");
  CHECK(
      out.substr(4) ==
      R"({"jsonrpc":"2.0","id":0,"method":"llm.complete","params":{"evaluation":7,"request":{"model":"m"}}})");
  out.clear();
  append_evaluator_call(out, 7, kRunCandidate, "{}");
  CHECK(out.substr(4) == R"({"jsonrpc":"2.0","id":0,"method":"run_candidate","params":{}})");

  const auto good = parse_call_answer(R"({"jsonrpc":"2.0","id":0,"result":{"text":"é"}})");
  REQUIRE((good && good->has_value()));
  CHECK(**good == R"({"text":"é"})");
  const auto failed = [](const std::string& kind) {
    const auto answer = parse_call_answer(
        R"({"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"m","data":{"kind":")" + kind + "\"}}}");
    REQUIRE((answer && !answer->has_value()));
    CHECK(answer->error().message == "m");
    return answer->error().kind;
  };
  CHECK(failed("billing") == assay::ErrorKind::billing);
  CHECK(failed("cancelled") == assay::ErrorKind::internal);
  CHECK(failed("nonsense") == assay::ErrorKind::internal);
  for (const char* text : {"", "7", "{}", R"({"id":0})", R"({"result":{})", R"({"error":7})"})
    CHECK_FALSE(parse_call_answer(text));
}
