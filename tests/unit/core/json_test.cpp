#include "core/json.hpp"

#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

using namespace assay;

namespace {

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
}

std::string why_not(std::string_view text) {
  const auto parsed = parse_json(text);
  REQUIRE_FALSE(parsed.has_value());
  CHECK(parsed.error().kind == ErrorKind::config);
  return parsed.error().message;
}

}  // namespace

TEST_CASE("json: nesting is taken to the limit and refused beyond it", "[core][json]") {
  CHECK(parse_json(nested(kJsonDepthLimit)).has_value());
  CHECK(why_not(nested(kJsonDepthLimit + 1)) ==
        "not valid JSON: at line 1, column 65: nested deeper than 64 levels");
  CHECK(why_not(std::string(1'000'000, '[')) ==
        "not valid JSON: at line 1, column 65: nested deeper than 64 levels");
  CHECK(parse_json(R"({"a":[{"b":1}]})", 3).has_value());
  CHECK_FALSE(parse_json(R"({"a":[{"b":1}]})", 2).has_value());
}

TEST_CASE("json: a key that comes twice in one object is refused", "[core][json]") {
  CHECK(why_not(R"({"a":1,"a":2})") == "not valid JSON: at line 1, column 10: duplicate key \"a\"");
  CHECK(why_not(R"({"o":{"x":1,"y":[],"x":null}})") ==
        "not valid JSON: at line 1, column 22: duplicate key \"x\"");
  CHECK(why_not(R"({"a":1,"\u0061":2})") == "not valid JSON: at line 1, column 15: duplicate key \"a\"");
  CHECK(parse_json(R"([{"a":1},{"a":{"a":2}}])").has_value());
}

TEST_CASE("json: messages say the line and the column", "[core][json]") {
  CHECK_THAT(why_not("{\n  \"a\": 1,\n  \"b\": tru\n}"),
             Catch::StartsWith("not valid JSON: at line 3, column "));
  CHECK_THAT(why_not(""), Catch::Contains("unexpected end of input"));
  for (const char* text : {"{} {}", "[1,]", "{\"a\":1,}", "01", "+1", ".5", "NaN", "'a'", "{a:1}", "\"\t\"",
                           "\"\\x41\"", "\"\\ud800\"", "[1 2]", "nul", "// c\n1", "\"a"})
    CHECK_THAT(why_not(text), Catch::StartsWith("not valid JSON: at line 1, column "));
  CHECK_THAT(why_not("1e400"), Catch::StartsWith("not valid JSON: "));
}

TEST_CASE("json: a NUL byte does not end the text", "[core][json]") {
  CHECK(why_not(std::string_view("{}\n\0garbage", 11)) == "not valid JSON: at line 2, column 1: a NUL byte");
  CHECK(why_not(std::string_view("\"a\0\"", 5)) == "not valid JSON: at line 1, column 3: a NUL byte");
  CHECK(parse_json("\"a\\u0000\"")->get<std::string>() == std::string("a\0", 2));
}

TEST_CASE("json: only UTF-8 by RFC 3629 is text", "[core][json]") {
  const auto [bytes, valid] = GENERATE(table<std::string, bool>({
      {"\x7F", true},               // the last of one byte
      {"\xC2\x80", true},           // the first of two
      {"\xDF\xBF", true},           // the last of two
      {"\xE0\xA0\x80", true},       // the first of three
      {"\xED\x9F\xBF", true},       // the last before the surrogates
      {"\xEE\x80\x80", true},       // the first after them
      {"\xEF\xBF\xBF", true},       // the last of three
      {"\xF0\x90\x80\x80", true},   // the first of four
      {"\xF4\x8F\xBF\xBF", true},   // the last of all
      {"\x80", false},              // a continuation alone
      {"\xC0\x80", false},          // overlong NUL
      {"\xC1\xBF", false},          // overlong
      {"\xC2", false},              // cut
      {"\xC2\x41", false},          // not continued
      {"\xE0\x9F\xBF", false},      // overlong
      {"\xED\xA0\x80", false},      // surrogate
      {"\xED\xBF\xBF", false},      // surrogate
      {"\xE2\x82", false},          // cut
      {"\xF0\x8F\xBF\xBF", false},  // overlong
      {"\xF4\x90\x80\x80", false},  // beyond U+10FFFF
      {"\xF5\x80\x80\x80", false},
      {"\xFF", false},
  }));
  INFO(json_quote(bytes));
  CHECK(is_valid_utf8(bytes) == valid);
  CHECK((to_valid_utf8(bytes) == bytes) == valid);
  CHECK(is_valid_utf8(to_valid_utf8("a" + bytes + "z")));
  CHECK(parse_json("\"" + bytes + "\"").has_value() == valid);
  const auto quoted = parse_json(json_quote("a" + bytes + "z"));
  REQUIRE(quoted.has_value());
  CHECK(quoted->get<std::string>() == to_valid_utf8("a" + bytes + "z"));
}

TEST_CASE("json: what is quoted reads back as it was", "[core][json]") {
  std::string all;
  for (int c = 0; c < 128; ++c) all += static_cast<char>(c);
  CHECK(parse_json(json_quote(all))->get<std::string>() == all);
  CHECK(json_quote("a\"b\\c\n\r\t\x01") == R"("a\"b\\c\n\r\t\u0001")");
  CHECK(json_quote("é🙂") == "\"é🙂\"");
  CHECK(json_quote("") == "\"\"");

  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    const auto read = parse_json(json_quote(bytes));
    REQUIRE(read.has_value());
    REQUIRE(read->get<std::string>() == to_valid_utf8(bytes));
  }
}

TEST_CASE("json: numbers are written so that they read back as the same double", "[core][json]") {
  const auto written = [](double value) {
    std::string text;
    append_json_number(text, value);
    return text;
  };
  CHECK(written(0.1) == "0.1");
  CHECK(written(1) == "1");
  CHECK(written(std::numeric_limits<double>::infinity()) == "null");
  CHECK(written(std::numeric_limits<double>::quiet_NaN()) == "null");
  for (const double value : {1.0 / 3, 1e300, 5e-324, -1.7976931348623157e308, 123456789.123456789})
    CHECK(parse_json(written(value))->get<double>() == value);
}

TEST_CASE("json: a document with bad bytes is dumped rather than thrown over", "[core][json]") {
  CHECK(dump_json(Json{{"a", "\xFF"}}) == "{\"a\":\"\xEF\xBF\xBD\"}");
  CHECK(dump_json_pretty(Json::array({1})) == "[\n  1\n]");
}
