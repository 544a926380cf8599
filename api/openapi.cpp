#include "api/openapi.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "api/answers.hpp"  // generated from answers.json
#include "api/fields.hpp"
#include "api/routes.hpp"
#include "api/server.hpp"

namespace assay::api {
namespace {

constexpr std::string_view kAbout =
    "Evaluations of AI systems: datasets, evaluators, runs and their results, and the protocol of "
    "workers.\n\n"
    "Errors have one envelope (Error). Every answer has an X-Request-Id: the request's, when that is 1 to 64 "
    "characters of [A-Za-z0-9._-], or a new one. A body may be compressed once, with gzip or zstd, and says "
    "so in Content-Encoding. A method that a path does not have is answered with 405 and Allow. A text's "
    "length counts characters, and null stands for an absent field.";

struct Status {
  int code;
  const char* meaning;
};
constexpr std::array<Status, 14> kRefusals = {{
    {400, "The request is not well-formed: HTTP, its compression or its JSON."},
    {401, "No API key came with the request, or one that is not known."},
    {403, "The API key lacks the scope."},
    {404, "Something that the request names does not exist."},
    {408, "The request did not arrive in time."},
    {409, "The request does not fit the state of things."},
    {413, "The body is too large."},
    {415, "The body's media type or compression is not taken."},
    {422, "A field, a parameter or a header holds what it cannot; `param` names it."},
    {429, "The API key, or the address, makes too many requests."},
    {431, "The header is too large."},
    {500, "The server failed."},
    {501, "This build cannot do that."},
    {503, "The server, or its database, is not available."},
}};

Json reference(std::string_view kind, std::string_view name) {
  return {{"$ref", "#/components/" + std::string(kind) + '/' + std::string(name)}};
}

Json schema_named(std::string_view name) {
  return reference("schemas", name);
}

Json text_field(std::string_view description) {
  return {{"description", description}, {"schema", {{"type", "string"}}}};
}

/// What every route may refuse with, and what follows from its properties.
std::set<int> refusals_of(const Route& route) {
  std::set<int> codes{400, 408, 413, 415, 422, 431, 500, 503};
  if (route.scopes != 0) codes.insert({401, 403, 429});
  if (route.pattern.find('{') != std::string_view::npos) codes.insert(404);
  if (route.creates) codes.insert(409);
  codes.insert(route.description.refusals.begin(), route.description.refusals.end());
  return codes;
}

Json list_of(const Json& element) {
  return {{"type", "object"},
          {"required", {"object", "data", "total"}},
          {"properties",
           {{"object", {{"const", "list"}}},
            {"data", {{"type", "array"}, {"items", element}}},
            {"total", schema_named("Count")}}}};
}

Json success_of(const Route& route) {
  const Description& description = route.description;
  Json content = Json::object();
  if (!description.answer.empty()) {
    const Json answer = schema_named(description.answer);
    content["application/json"]["schema"] = description.list ? list_of(answer) : answer;
  }
  if (!description.lines.empty())
    content["application/jsonl"]["schema"] = {{"type", "string"},
                                              {"description", "One JSON object a line, each as in x-line."},
                                              {"x-line", schema_named(description.lines)}};
  if (!description.text.empty()) content[std::string(description.text)]["schema"] = {{"type", "string"}};
  Json headers = {{"X-Request-Id", reference("headers", "X-Request-Id")}};
  if (route.creates)
    headers["Idempotent-Replay"] =
        text_field("\"true\": the answer to an earlier request with this Idempotency-Key");
  return {{"description", "Done."}, {"headers", headers}, {"content", content}};
}

Json responses_of(const Route& route) {
  Json responses = {{"200", success_of(route)}};
  if (route.description.maybe_nothing)
    responses["204"] = {{"description", "There is nothing."},
                        {"headers", {{"X-Request-Id", reference("headers", "X-Request-Id")}}}};
  for (const int code : refusals_of(route))
    responses[std::to_string(code)] = reference("responses", "Refused" + std::to_string(code));
  return responses;
}

Json path_parameter(std::string_view name) {
  Json schema = {{"type", "string"}, {"minLength", 1}};
  if (name == "shard") schema = {{"type", "integer"}, {"format", "int64"}, {"minimum", 0}};
  const char* description = "Its id.";
  if (name == "container") description = "Its id or label.";
  if (name == "dataset" || name == "evaluator") description = "Its id or name.";
  if (name == "shard") description = "Its index in the run.";
  return {
      {"name", name}, {"in", "path"}, {"required", true}, {"description", description}, {"schema", schema}};
}

Json parameters_of(const Route& route) {
  Json parameters = Json::array();
  for (size_t at = route.pattern.find('{'); at != std::string_view::npos;
       at = route.pattern.find('{', at + 1))
    parameters.push_back(path_parameter(route.pattern.substr(at + 1, route.pattern.find('}', at) - at - 1)));
  if (route.description.query != nullptr) {
    Json schema;
    Query query = Query::describing(schema);
    route.description.query(query);
    for (auto& [name, field] : schema["properties"].items()) {
      Json parameter = {{"name", name}, {"in", "query"}};
      if (field.contains("description")) parameter["description"] = field["description"];
      field.erase("description");
      parameter["schema"] = field;
      parameters.push_back(std::move(parameter));
    }
  }
  if (route.creates) parameters.push_back(reference("parameters", "Idempotency-Key"));
  return parameters;
}

Json body_of(const Route& route) {
  Json schema;
  Fields fields = Fields::describing(schema);
  route.description.body(fields);
  Json content = {{"application/json", {{"schema", schema}}}};
  if (route.body == Body::stream)
    content["application/jsonl"]["schema"] = {
        {"type", "string"},
        {"description", "One JSON object a line; blank lines are none."},
        {"x-line", schema_named("Row")}};
  return {{"required", true}, {"content", content}};
}

/// "get_containers_container_logs"
std::string name_of(const Route& route) {
  std::string name;
  for (const char c : std::string(route.method) + std::string(route.pattern)) {
    if (c >= 'A' && c <= 'Z')
      name += static_cast<char>(c - 'A' + 'a');
    else if (c == '/' || c == '.')
      name += '_';
    else if (c != '{' && c != '}')
      name += c;
  }
  return name;
}

Json operation_of(const Route& route) {
  Json operation = {{"operationId", name_of(route)},
                    {"summary", route.description.summary},
                    {"tags", {route.tag}},
                    {"responses", responses_of(route)}};
  if (Json parameters = parameters_of(route); !parameters.empty()) operation["parameters"] = parameters;
  if (route.description.body != nullptr) operation["requestBody"] = body_of(route);
  if (route.scopes == 0) {
    operation["security"] = Json::array();
  } else {
    std::string scopes;
    for (const auto& scope : scope_names(route.scopes)) scopes += (scopes.empty() ? "" : ", ") + scope;
    operation["description"] = "For keys with one of the scopes: " + scopes + '.';
  }
  return operation;
}

Json refusal(const Status& status) {
  Json headers = {{"X-Request-Id", reference("headers", "X-Request-Id")}};
  if (status.code == 401) headers["WWW-Authenticate"] = text_field("Bearer");
  if (status.code == 415) headers["Accept-Encoding"] = text_field("The compressions that are taken");
  if (status.code == 429 || status.code == 503)
    headers["Retry-After"] = {{"description", "In how many seconds to try again"},
                              {"schema", {{"type", "integer"}, {"minimum", 1}}}};
  return {{"description", status.meaning},
          {"headers", headers},
          {"content", {{"application/json", {{"schema", schema_named("Error")}}}}}};
}

Json components() {
  Json responses;
  for (const auto& status : kRefusals) responses["Refused" + std::to_string(status.code)] = refusal(status);
  const Json once = {
      {"name", "Idempotency-Key"},
      {"in", "header"},
      {"description",
       "The same key and request give the first answer again; with another request it is a 409."},
      {"schema", {{"type", "string"}, {"minLength", 1}, {"maxLength", 255}}}};
  return {
      {"schemas", Json::parse(kAnswers)},
      {"responses", responses},
      {"headers", {{"X-Request-Id", text_field("Names this exchange in the server's log")}}},
      {"parameters", {{"Idempotency-Key", once}}},
      {"securitySchemes",
       {{"key", {{"type", "http"}, {"scheme", "bearer"}, {"description", "An API key: assay key create"}}}}}};
}

Task<Answer<Response>> openapi(Context&, Request&) {
  static const std::string kDocument = dump_json(describe_api(all_routes()));
  co_return Response(kDocument);
}

}  // namespace

Json describe_api(std::span<const Route> routes) {
  Json paths = Json::object();
  Json tags = Json::array();
  for (const auto& route : routes) {
    std::string method(route.method);
    std::ranges::transform(method, method.begin(), [](char c) { return static_cast<char>(c | 0x20); });
    paths[std::string(route.pattern)][method] = operation_of(route);
    const Json tag = {{"name", route.tag}};
    if (std::ranges::find(tags, tag) == tags.end()) tags.push_back(tag);
  }
  Json document = {{"openapi", "3.1.0"},
                   {"info", {{"title", "Assay"}, {"version", ASSAY_VERSION}, {"description", kAbout}}},
                   {"paths", paths},
                   {"tags", tags},
                   {"components", components()}};
  document["servers"] = Json::array({{{"url", "/v1"}}, {{"url", "/api/v1"}}});
  document["security"] = Json::array({{{"key", Json::array()}}});
  return document;
}

std::vector<Route> openapi_routes() {
  return {{"GET",
           "/openapi.json",
           0,
           Body::none,
           openapi,
           {.summary = "This description", .answer = "Description"}}};
}

}  // namespace assay::api
