#include "plugins/json/schema.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/plugins/schema_vectors.hpp"

using namespace assay::json_check;
using nlohmann::json;

namespace {

Verdict verdict(const char* schema, const char* document) {
  const auto compiled = Schema::compile(json::parse(schema));
  REQUIRE(compiled.has_value());
  return compiled->validate(json::parse(document)).value();
}

std::string refusal(const json& schema) {
  const auto compiled = Schema::compile(schema);
  return compiled ? "" : compiled.error();
}

}  // namespace

TEST_CASE("json schema: documents are as valid as python-jsonschema finds them", "[json][schema][vectors]") {
  for (const auto& sample : vectors::kSchemas) {
    CAPTURE(sample.schema, sample.document);
    const auto compiled = Schema::compile(json::parse(sample.schema));
    REQUIRE(compiled.has_value());
    const auto result = compiled->validate(json::parse(sample.document));
    REQUIRE(result.has_value());
    CHECK(result->valid == sample.valid);
    CHECK(result->reason.empty() == sample.valid);
  }
}

TEST_CASE("json schema: the reason says where and what", "[json][schema]") {
  CHECK(verdict(R"({"type": "object", "required": ["a"]})", "{}").reason == "the document lacks \"a\"");
  CHECK(verdict(R"({"properties": {"a": {"items": {"minimum": 3}}}})", R"({"a": [3, 2]})").reason ==
        "/a/1 must be at least 3");
  CHECK(verdict(R"({"type": ["string", "null"]})", "1").reason ==
        "the document must be of type [\"string\",\"null\"]");
}

TEST_CASE("json schema: what cannot be checked is refused, not passed over", "[json][schema]") {
  CHECK(refusal(1) == "#: a schema is an object or a boolean");
  CHECK(refusal({{"unevaluatedProperties", false}}) == "/unevaluatedProperties: is not supported");
  CHECK(refusal({{"$ref", "other.json"}}).find("other documents are not supported") != std::string::npos);
  CHECK(refusal({{"$ref", "#/$defs/none"}}).find("leads nowhere") != std::string::npos);
  CHECK(refusal({{"properties", {{"a", {{"pattern", "a(?=b)"}}}}}}) ==
        "/properties/a/pattern: invalid pattern: invalid perl operator: (?=");
  CHECK(refusal({{"type", "text"}}) == "/type: must be the name of a type, or a list of them");
  CHECK(refusal({{"minLength", -1}}) == "/minLength: must be a whole number, 0 or more");
}

TEST_CASE("json schema: no schema takes for ever", "[json][schema][limits]") {
  const auto endless = Schema::compile(json::parse(R"({"$ref": "#"})"));
  CHECK(endless->validate(1).error().find("without end") != std::string::npos);
  const auto doubling = Schema::compile(json::parse(R"({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})"));
  CHECK_FALSE(doubling->validate(1).has_value());

  json wide = {{"allOf", json::array()}};
  for (int i = 0; i < 2000; ++i) wide["allOf"].push_back({{"items", {{"type", "integer"}}}});
  const auto many = Schema::compile(wide);
  CHECK(many->validate(json(std::vector<int>(2000, 1))).error() ==
        "the schema asks for more than 1,000,000 checks");

  json chain = json::object();
  for (int i = 0; i < 1000; ++i)
    chain["$defs"]["d" + std::to_string(i)] = {{"$ref", "#/$defs/d" + std::to_string(i + 1)}};
  chain["$defs"]["d1000"] = true;
  CHECK(refusal(chain).find("nested deeper") != std::string::npos);
}
