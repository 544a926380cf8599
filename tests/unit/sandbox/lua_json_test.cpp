#include "sandbox/runtime/wire/json_reader.hpp"

#include <catch2/catch.hpp>

#include "sandbox/runtime/lua/evaluator.hpp"

using namespace assay::sandbox::wire;
using namespace assay::sandbox::lua;

namespace {

std::string run(const std::string& body) {
  auto evaluator =
      Evaluator::create({.name = "t", .source = "function run_evaluation(item) " + body + " end"});
  REQUIRE(evaluator);
  const Answer answer = (*evaluator)->evaluate("{}");
  return answer.error ? "error: " + answer.error->message.substr(0, answer.error->message.find('\n'))
                      : answer.reason;
}
std::string encode(const std::string& value) {
  return run("return {score = 1, reason = json.encode(" + value + ")}");
}
std::string recode(const std::string& text) {
  return encode("json.decode([==[" + text + "]==])");
}

}  // namespace

TEST_CASE("JsonReader: what is no JSON is refused", "[sandbox][lua]") {
  const std::string text =
      GENERATE(as<std::string>{}, "", " ", "[1,]", "[,1]", "{\"a\":1,}", "{a:1}", "{'a':1}", "01", "+1", "1.",
               ".5", "1e", "-", "NaN", "Infinity", "nul", "tru", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
               "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\n\"", "\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
               "[1 2]", "{\"a\" 1}", "{\"a\"}", "[", "{", "1 1", "\xef\xbb\xbf{}", "1e999", "-1e999");
  CAPTURE(text);
  JsonReader reader(text);
  const bool good = reader.skip().has_value() && reader.at_end();
  REQUIRE_FALSE(good);
}

TEST_CASE("JsonReader: depth and the length of numbers are capped", "[sandbox][lua]") {
  const auto skip = [](const std::string& text) { return JsonReader(text).skip().has_value(); };
  REQUIRE(skip(std::string(64, '[') + std::string(64, ']')));
  REQUIRE_FALSE(skip(std::string(65, '[') + std::string(65, ']')));
  REQUIRE_FALSE(skip(std::string(1'000'000, '[')));
  REQUIRE(skip(std::string(kNumberLength, '1').replace(0, 1, "0.1").substr(0, kNumberLength)));
  REQUIRE_FALSE(skip(std::string(100'000, '1')));
}

TEST_CASE("json: decode and encode come back to the same text", "[sandbox][lua]") {
  const std::string text =
      GENERATE(as<std::string>{}, "null", "true", "[]", "{}", "[[],{}]", "[1,2.5,-3,1e+100]",
               R"({"a":[null],"b":"x\ny"})", R"("é😀\u0001\"\\")", "9223372036854775807",
               "-9223372036854775808", R"({"":{"":[]}})", "[null,null]", "0.1");
  REQUIRE(recode(text) == text);
}

TEST_CASE("json: decode is strict, encode refuses what has no JSON form", "[sandbox][lua]") {
  REQUIRE_THAT(recode(R"({"a":1,"a":2})"), Catch::Contains("duplicate key"));
  REQUIRE_THAT(recode("[1,]"), Catch::Contains("not JSON"));
  REQUIRE_THAT(recode("[1] x"), Catch::Contains("something follows"));
  REQUIRE_THAT(encode("0/0"), Catch::Contains("no JSON form"));
  REQUIRE_THAT(encode("print"), Catch::Contains("function has no JSON form"));
  REQUIRE_THAT(encode("{1, a = 2}"), Catch::Contains("both a list and an object"));
  REQUIRE_THAT(encode("{[1.5] = 1}"), Catch::Contains("neither a string nor"));
  REQUIRE_THAT(encode("{[true] = 1}"), Catch::Contains("neither a string nor"));
  REQUIRE_THAT(encode("'\\xff'"), Catch::Contains("not UTF-8"));
  REQUIRE_THAT(run("local t = {} t.t = t return {score = 1, reason = json.encode(t)}"),
               Catch::Contains("contains itself"));
  REQUIRE_THAT(run("local t = {} for i = 1, 100 do t = {t} end return json.encode(t)"),
               Catch::Contains("nested deeper"));
  REQUIRE_THAT(run("return json.decode(('['):rep(1e6))"), Catch::Contains("nested too deeply"));
}

TEST_CASE("json: tables are lists or objects, keys in order, nothing of theirs is called", "[sandbox][lua]") {
  REQUIRE(encode("{}") == "{}");
  REQUIRE(encode("json.array({})") == "[]");
  REQUIRE(encode("{b = 1, a = {2, 3}, c = json.null}") == R"({"a":[2,3],"b":1,"c":null})");
  REQUIRE(encode("setmetatable({1}, {__index = error, __len = error, __pairs = error})") == "[1]");
  REQUIRE(
      run("local t = {} for i = 1, 3 do t[i] = i end t[2] = nil return {score = 1, reason = json.encode(t)}")
          .starts_with("error"));
}
