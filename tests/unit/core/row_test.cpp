#include "core/row.hpp"

#include <catch2/catch.hpp>

#include "core/json.hpp"

using namespace assay;

namespace {

std::optional<std::string> select(std::string_view row, const std::string& path) {
  RowReader reader;
  REQUIRE(reader.parse(row).has_value());
  return reader.select(ColumnPath(path));
}

std::string refused(std::string_view row) {
  RowReader reader;
  const auto parsed = reader.parse(row);
  REQUIRE_FALSE(parsed.has_value());
  CHECK(parsed.error().kind == ErrorKind::config);
  return parsed.error().message;
}

/// {"a":{"a":…1…}} with `depth` objects.
std::string deep(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += "{\"a\":";
  return text + "1" + std::string(static_cast<size_t>(depth), '}');
}

}  // namespace

TEST_CASE("row: paths reach into objects and arrays", "[core][row]") {
  const std::string row =
      R"({"question":"q","175b":{"solution":"s","n":[10,{"x":true}]},"choices":[{"message":{"content":"hi"}}],"e":{}})";
  const auto [path, value] = GENERATE(table<std::string, std::optional<std::string>>({
      {"question", "\"q\""},
      {"175b.solution", "\"s\""},
      {"175b.n.0", "10"},
      {"175b.n.1.x", "true"},
      {"175b.n", R"([10,{"x":true}])"},
      {"choices.0.message.content", "\"hi\""},
      {"e", "{}"},
      {"answer", std::nullopt},
      {"question.x", std::nullopt},
      {"175b.n.2", std::nullopt},
      {"175b.n.-1", std::nullopt},
      {"175b.n.x", std::nullopt},
      {"175b.n.99999999999999999999", std::nullopt},
      {"175b.n.", std::nullopt},
      {"", std::nullopt},
      {".", std::nullopt},
      {"e.", std::nullopt},
  }));
  INFO(path);
  CHECK(select(row, path) == value);
}

TEST_CASE("row: a key that is the whole dotted text wins over the path", "[core][row]") {
  CHECK(select(R"({"a":{"b":1},"a.b":2})", "a.b") == "2");
  CHECK(select(R"({"a":{"b":1}})", "a.b") == "1");
  CHECK(select(R"({"":1})", "") == "1");
  CHECK(select(R"({"0":"key"})", "0") == "\"key\"");
}

TEST_CASE("row: a null is a value, a missing key is none", "[core][row]") {
  CHECK(select(R"({"a":null})", "a") == "null");
  CHECK(select(R"({"a":null})", "b") == std::nullopt);
}

TEST_CASE("row: numbers of 64 bits are exact, larger ones are refused clearly", "[core][row]") {
  CHECK(select(R"({"a":9223372036854775807})", "a") == "9223372036854775807");
  CHECK(select(R"({"a":-9223372036854775808})", "a") == "-9223372036854775808");
  CHECK(select(R"({"a":18446744073709551615})", "a") == "18446744073709551615");
  CHECK(select(R"({"a":0.1})", "a") == "0.1");
  CHECK_THAT(refused(R"({"a":18446744073709551616})"), Catch::Contains("64 bits"));
  CHECK_THAT(refused(R"({"a":1e400})"), Catch::Contains("not valid JSON"));
}

TEST_CASE("row: only an object is a row", "[core][row]") {
  for (const char* row : {"[]", "1", "\"a\"", "null"}) CHECK(refused(row) == "a row must be a JSON object");
  for (const char* row : {"", " ", "{", "{\"a\"}", "{\"a\":1}}", "{\"a\":\"\xFF\"}", "{\"a\":1,}", "{} {}"})
    CHECK_THAT(refused(row), Catch::StartsWith("not valid JSON: at line 1, column "));
}

TEST_CASE("row: nesting is limited as in every other document", "[core][row]") {
  RowReader reader;
  CHECK(reader.parse(deep(kJsonDepthLimit)).has_value());
  CHECK_THAT(refused(deep(kJsonDepthLimit + 1)), Catch::Contains("nested deeper than 64 levels"));
  // The limit stays when the reader has seen larger rows.
  CHECK(reader.parse("{\"a\":\"" + std::string(100'000, 'x') + "\"}").has_value());
  CHECK_FALSE(reader.parse(deep(kJsonDepthLimit + 1)).has_value());
  CHECK(reader.parse(deep(kJsonDepthLimit)).has_value());
}

TEST_CASE("row: a reader goes on after a bad row and takes rows of any length", "[core][row]") {
  RowReader reader;
  CHECK_FALSE(reader.parse("{").has_value());
  for (size_t size = 0; size < 400; ++size) {  // every position relative to the parser's blocks of 64 bytes
    const std::string text(size, 'x');
    REQUIRE(reader.parse("{\"a\":\"" + text + "\"}").has_value());
    REQUIRE(reader.select(ColumnPath("a")) == "\"" + text + "\"");
  }
  REQUIRE(reader.parse("{\"a\":1}").has_value());
  CHECK(reader.select(ColumnPath("a")) == "1");
}

TEST_CASE("row: columns are listed in order, nested ones as paths", "[core][row]") {
  RowReader reader;
  REQUIRE(reader.parse(R"({"z":1,"a":{"y":1,"b":{"c":1}},"l":[{"m":1}],"e":{}})").has_value());
  CHECK(reader.columns() == std::vector<std::string>{"z", "a.y", "a.b", "l", "e"});
  for (const auto& column : reader.columns()) CHECK(reader.has(ColumnPath(column)));
}

TEST_CASE("row: text comes out as JSON, escapes and all", "[core][row]") {
  CHECK(select(R"({"a":"q\"\\\n\u00e9\ud83d\ude42"})", "a") == "\"q\\\"\\\\\\né🙂\"");
}
