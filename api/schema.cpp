#include "api/schema.hpp"

#include <nlohmann/json.hpp>

#include "api/fields.hpp"
#include "core/check.hpp"

namespace assay::api::schema {
namespace {

void allow_null(Json& field) {
  if (field.contains("oneOf")) field["oneOf"].push_back({{"type", "null"}});
  if (!field.contains("type") || field["type"] == "null") return;
  if (field["type"].is_string()) field["type"] = Json::array({field["type"], "null"});
  if (field.contains("enum")) field["enum"].push_back(nullptr);
}

}  // namespace

Json text(size_t shortest, size_t longest, bool label) {
  Json field = {{"type", "string"}};
  if (shortest > 0) field["minLength"] = shortest;
  field["maxLength"] = longest;
  // The characters that bad_characters() refuses.
  field["pattern"] = label ? R"(^[^\u0000-\u001f\u007f]*$)" : R"(^[^\u0000]*$)";
  return field;
}

Json integer(int64_t low, int64_t high) {
  return {{"type", "integer"}, {"format", "int64"}, {"minimum", low}, {"maximum", high}};
}

Json words(std::span<const std::string_view> words) {
  Json field = {{"type", "string"}, {"enum", Json::array()}};
  for (const auto word : words) field["enum"].push_back(word);
  return field;
}

Json array(size_t least, size_t most, Json items) {
  Json field = {{"type", "array"}, {"items", std::move(items)}};
  if (least > 0) field["minItems"] = least;
  if (most != SIZE_MAX) field["maxItems"] = most;
  return field;
}

Json object() {
  return {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
}

void add(Json& object, std::string_view key, Json field, bool required, bool nullable) {
  ASSAY_CHECK(!object.contains("oneOf"), "cases come last: they hold all the fields that were read before");
  const std::string name(key);
  if (required) object["required"].push_back(name);
  if (!required && nullable) allow_null(field);
  object["properties"][name] = std::move(field);
}

}  // namespace assay::api::schema
