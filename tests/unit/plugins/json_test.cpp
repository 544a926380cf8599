#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "plugins/json/diff.hpp"
#include "plugins/json/read.hpp"
#include "tests/unit/plugins/json_vectors.hpp"

using namespace assay::json_check;
using nlohmann::json;

namespace {

Approx equals(double value) {
  return Approx(value).epsilon(0).margin(1e-9);
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
}

}  // namespace

TEST_CASE("json: the likeness of documents is autoevals' JSONDiff", "[json][vectors]") {
  for (const auto& pair : vectors::kPairs) {
    CAPTURE(pair.output, pair.expected);
    const json output = json::parse(pair.output);
    const json expected = json::parse(pair.expected);
    CHECK(json_similarity(output, expected).value() == equals(pair.parsed));
    CHECK(json_similarity(output, expected, Strings::preserve).value() == equals(pair.preserved));
  }
}

TEST_CASE("json: validity is autoevals' ValidJSON, or any value", "[json][vectors]") {
  for (const auto& [text, valid] : vectors::kValidity) {
    CAPTURE(text);
    CHECK(check_json(text, TopLevel::object_or_array).has_value() == valid);
  }
  CHECK(check_json("1").has_value());
  CHECK(check_json("1", TopLevel::object_or_array).error() == "neither an object nor an array but a number");
  CHECK(check_json("[1,").error().find("line 1, column 4") != std::string::npos);
  CHECK_FALSE(check_json("[\"\xff\"]").has_value());
}

TEST_CASE("json: numbers of any size are compared without overflow", "[json]") {
  const double largest = std::numeric_limits<double>::max();
  CHECK(number_similarity(0, 0) == 1);
  CHECK(number_similarity(105, 100) == equals(1 - 5.0 / 205));
  CHECK(number_similarity(largest, -largest) == 0);
  CHECK(number_similarity(largest, largest) == 1);
}

TEST_CASE("json: deep documents and long strings are refused", "[json][limits]") {
  CHECK(check_json(nested(128)).has_value());
  CHECK(check_json(nested(129)).error() == "nested deeper than 128 levels");
  CHECK(check_json(std::string(1'000'000, '[')).error() == "nested deeper than 128 levels");

  json deep = 1;
  for (int i = 0; i < 200; ++i) deep = json::array({deep});
  CHECK(json_similarity(deep, deep).error() == "nested deeper than 128 levels");

  const json left = json::array({std::string(30'000, 'a'), std::string(30'000, 'a')});
  const json right = json::array({std::string(30'000, 'b'), std::string(30'000, 'b')});
  CHECK(json_similarity(left, right).error().find("too long") != std::string::npos);
  CHECK(json_similarity(left, left).value() == 1);
}
