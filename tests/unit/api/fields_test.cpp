#include "api/fields.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "api/openapi.hpp"
#include "api/routes.hpp"

namespace assay::api::test {
namespace {

/// Every kind of field once.
void read_everything(Fields& body) {
  body.text("name", 10);
  body.maybe_text("note", 300);
  body.integer_or("count", 2, 1, 5);
  body.maybe_number("weight");
  body.word("color", {"red", "blue"}, "red");
  body.texts("tags", 3);
  body.maybe_object("inner", [](Fields& inner) { inner.integer("deep", 0, 1); });
  body.objects("list", 2, [](Fields& element) {
    element.text("id", 5);
    element.anything_else();
  });
  body.either(
      "from", [](Fields& with) { with.text("from"), with.absent("to", "is not for those with from"); },
      [](Fields& without) {
        without.by_word("kind", {{"a", [](Fields& a) { a.object_text("of_a"); }},
                                 {"b", [](Fields& b) {
                                    b.maybe_text("x");
                                    b.maybe_text("y");
                                    b.at_least_one({"x", "y"}, "and y are missing");
                                  }}});
      });
}

Json complete() {
  return {{"name", "n"}, {"tags", {"t"}}, {"list", Json::array()}, {"kind", "a"}};
}

/// The message, or "" when it is taken.
std::string verdict(const Json& json) {
  Fields body(json);
  read_everything(body);
  const auto done = body.done();
  return done ? "" : done.error().message;
}

}  // namespace

TEST_CASE("Fields: what is taken and what is refused", "[api][fields]") {
  CHECK(verdict(complete()).empty());
  struct Case {
    const char* patch;
    const char* message;
  };
  const auto wrong = GENERATE(values<Case>({
      {R"({"name":"ééééé ééé"})", ""},
      {R"({"name":"ééééé ééééé"})", "name must be at most 10 characters long"},
      {R"({"name":""})", "name must not be empty"},
      {R"({"name":"a\nb"})", "name must not contain control characters"},
      {R"({"note":"a\nb"})", ""},
      {R"({"note":"a\u0000b"})", "note must not contain U+0000"},
      {R"({"count":3.0})", ""},
      {R"({"count":3.5})", "count must be a whole number"},
      {R"({"count":1e30})", "count must be from 1 to 5"},
      {R"({"count":18446744073709551615})", "count must be from 1 to 5"},
      {R"({"count":-9e18})", "count must be from 1 to 5"},
      {R"({"weight":"1"})", "weight must be a number"},
      {R"({"color":"green"})", "color must be one of red, blue; it is \"green\""},
      {R"({"tags":[]})", "tags must name at least one"},
      {R"({"tags":["a","b","c","d"]})", "tags must have at most 3 elements"},
      {R"({"tags":[1]})", "tags[0] must be a string"},
      {R"({"inner":{}})", "inner.deep is required"},
      {R"({"inner":{"deep":1,"deeper":1}})", "inner.deeper is not a field of this request"},
      {R"({"inner":[]})", "inner must be an object"},
      {R"({"list":[{"id":"1","more":2}]})", ""},
      {R"({"list":[{}]})", "list[0].id is required"},
      {R"({"list":[1]})", "list[0] must be an object"},
      {R"({"kind":"c","more":1})", "kind must be one of a, b; it is \"c\""},
      {R"({"kind":"b"})", "x and y are missing"},
      {R"({"kind":"b","y":""})", ""},
      {R"({"kind":"b","y":"","of_a":{}})", "of_a is not a field of this request"},
      {R"({"from":"there","kind":null})", ""},
      {R"({"from":"there","kind":null,"to":"here"})", "to is not for those with from"},
      {R"({"from":"there"})", "kind is not a field of this request"},
  }));
  // RFC 7396 takes null for "remove".
  auto body = complete();
  body.merge_patch(Json::parse(wrong.patch));
  INFO(body.dump());
  CHECK(verdict(body) == wrong.message);
}

TEST_CASE("Fields: the same calls make the schema", "[api][fields]") {
  Json schema;
  Fields body = Fields::describing(schema);
  read_everything(body);
  REQUIRE(schema["oneOf"].size() == 2);
  const Json& with = schema["oneOf"][0];
  CHECK(with["required"] == Json({"name", "tags", "list", "from"}));
  CHECK(with["additionalProperties"] == false);
  const Json& fields = with["properties"];
  CHECK(fields["name"] == Json::parse(R"({"type":"string","minLength":1,"maxLength":10,
                                          "pattern":"^[^\\u0000-\\u001f\\u007f]*$"})"));
  CHECK(fields["note"] ==
        Json::parse(R"({"type":["string","null"],"maxLength":300,"pattern":"^[^\\u0000]*$"})"));
  CHECK(fields["count"] == Json::parse(R"({"type":["integer","null"],"format":"int64","minimum":1,
                                           "maximum":5,"default":2})"));
  CHECK(fields["color"] ==
        Json::parse(R"({"type":["string","null"],"enum":["red","blue",null],"default":"red"})"));
  CHECK(fields["tags"]["minItems"] == 1);
  CHECK(fields["inner"]["properties"]["deep"]["type"] == "integer");
  CHECK(fields["inner"]["required"] == Json({"deep"}));
  CHECK_FALSE(fields["list"]["items"].contains("additionalProperties"));
  CHECK(fields["to"]["type"] == "null");
  const Json& without = schema["oneOf"][1]["oneOf"];
  REQUIRE(without.size() == 2);
  CHECK(without[0]["properties"]["kind"]["const"] == "a");
  CHECK(without[0]["properties"]["from"]["type"] == "null");
  CHECK(without[0]["properties"].contains("of_a"));
  CHECK_FALSE(without[1]["properties"].contains("of_a"));
  CHECK(without[1]["anyOf"].size() == 2);
}

TEST_CASE("OpenAPI: every route is described", "[api][openapi]") {
  const auto routes = all_routes();
  const Json document = describe_api(routes);
  const Json& schemas = document["components"]["schemas"];
  for (const auto& route : routes) {
    INFO(route.method << ' ' << route.pattern);
    const Json& path = document["paths"][std::string(route.pattern)];
    std::string method(route.method);
    for (char& c : method) c = static_cast<char>(std::tolower(c));
    REQUIRE(path.contains(method));
    const Json& operation = path[method];
    CHECK_FALSE(route.description.summary.empty());
    CHECK(operation.contains("requestBody") == (route.body != Body::none));
    CHECK((operation.contains("security") && operation["security"].empty()) == (route.scopes == 0));
    for (const auto name : {route.description.answer, route.description.lines})
      CHECK((name.empty() || schemas.contains(std::string(name))));
    for (const auto& [status, response] : operation["responses"].items()) {
      if (!response.contains("$ref")) continue;
      const Json::json_pointer where(response["$ref"].get<std::string>().substr(1));
      CHECK(document.contains(where));
    }
  }
}

}  // namespace assay::api::test
