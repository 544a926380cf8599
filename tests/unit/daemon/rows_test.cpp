#include "daemon/sources/rows.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace assay::daemon {
namespace {

RunSpec spec_of(Side sample, Side truth) {
  RunSpec spec;
  spec.sample = std::move(sample);
  spec.ground_truth = std::move(truth);
  return spec;
}

Side dataset(std::optional<std::string> input, std::optional<std::string> output) {
  Side side;
  if (input) side.input.emplace(*input);
  if (output) side.output.emplace(*output);
  return side;
}

Json build(const RunSpec& spec, std::string_view sample, std::string_view truth) {
  ItemBuilder builder;
  const auto item = builder.build(spec, 4, sample, truth);
  REQUIRE(item);
  const auto json = parse_json(item->without_output());
  REQUIRE(json);
  return *json;
}

TEST_CASE("ItemBuilder: selects columns of both sides and leaves text to the runtime for strings",
          "[daemon][rows]") {
  const auto spec = spec_of(dataset("q", "m.solution"), dataset("q", "truth"));
  const std::string row = R"({"q":"why?","m":{"solution":"so \"it\" is"},"truth":"so"})";
  CHECK(build(spec, row, row) == Json::parse(R"({"id":"4","index":4,"metadata":{},
      "sample":{"input":"why?","output":"so \"it\" is"},"ground_truth":{"input":"why?","output":"so"}})"));
}

TEST_CASE("ItemBuilder: id and metadata come from the sample's row", "[daemon][rows]") {
  const auto spec = spec_of(dataset({}, "a"), dataset({}, "a"));
  CHECK(build(spec, R"({"id":"x1","a":"1","metadata":{"k":[1]}})", R"({"a":"2"})")["id"] == "x1");
  CHECK(build(spec, R"({"id":17,"a":"1"})", R"({"a":"2"})")["id"] == "17");
  CHECK(build(spec, R"({"id":null,"a":"1"})", R"({"a":"2"})")["id"] == "4");
  CHECK(build(spec, R"({"a":"1","metadata":{"k":[1]}})", R"({"a":"2"})")["metadata"]["k"][0] == 1);
  CHECK(build(spec, R"({"a":"1","metadata":"no"})", R"({"a":"2"})")["metadata"] == Json::object());
}

TEST_CASE("ItemBuilder: a column that was not asked for is null, one that is missing is an error",
          "[daemon][rows]") {
  const auto spec = spec_of(dataset({}, "a"), dataset({}, "b.c"));
  CHECK(build(spec, R"({"a":1})", R"({"b":{"c":2}})")["sample"]["input"].is_null());
  ItemBuilder builder;
  const auto item = builder.build(spec, 0, R"({"a":1})", R"({"b":{"d":2}})");
  REQUIRE_FALSE(item);
  CHECK(item.error().kind == ErrorKind::config);
  CHECK(item.error().message.find("b.c") != std::string::npos);
}

TEST_CASE("ItemBuilder: what is no row is the fault of who sent it, not of the item", "[daemon][rows]") {
  const auto spec = spec_of(dataset({}, "a"), dataset({}, "a"));
  ItemBuilder builder;
  for (const char* page : {"<h1>Welcome</h1>", R"({"a":)", "", "7"}) {
    INFO(page);
    const auto sample = builder.build(spec, 0, page, R"({"a":1})");
    REQUIRE_FALSE(sample);
    CHECK(sample.error().kind == ErrorKind::transport);
    const auto truth = builder.build(spec, 0, R"({"a":1})", page);
    REQUIRE_FALSE(truth);
    CHECK(truth.error().kind == ErrorKind::transport);
  }
}

TEST_CASE("ItemBuilder: task logs keep their shape and gain their text", "[daemon][rows]") {
  Side logs;
  logs.type = Side::Type::container;
  const std::string row =
      R"({"input":{"messages":[]},"output":{"choices":[{"message":{"content":"hello"}}]}})";
  const Json item = build(spec_of(logs, logs), row, row);
  CHECK(item["sample"]["output"]["choices"][0]["message"]["content"] == "hello");
  CHECK(item["sample"]["text"] == "hello");
}

TEST_CASE("text_of: what a person would read", "[daemon][rows]") {
  CHECK(text_of(R"("plain")") == "plain");
  CHECK(text_of("42") == "42");
  CHECK(text_of("null") == "null");
  CHECK(text_of(R"({"content":"c"})") == "c");
  CHECK(text_of(R"({"choices":[{"message":{"content":null}}]})") ==
        R"({"choices":[{"message":{"content":null}}]})");
}

}  // namespace
}  // namespace assay::daemon
