// Evaluators.
#include <array>
#include <nlohmann/json.hpp>

#include "api/container/evaluator_spec.hpp"
#include "api/container/list.hpp"
#include "api/routes.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

void append_evaluator(std::string& out, const Evaluator& evaluator) {
  JsonObject object(out);
  object.text("object", "evaluator");
  object.text("id", evaluator.id);
  object.text("name", evaluator.name);
  object.number("version", evaluator.version);
  object.members_of(evaluator.spec);
  object.text("created_at", iso8601(evaluator.created_at));
  object.text("updated_at", iso8601(evaluator.updated_at));
}

Response evaluator_response(const Evaluator& evaluator) {
  Response response;
  append_evaluator(response.body, evaluator);
  return response;
}

/// The stored form: the checked fields, and the container's id and label when one was named.
Task<Answer<Evaluator>> checked(Context& context, Access access, const Json& json) {
  auto spec = evaluator_spec_from(json);
  if (!spec) co_return std::unexpected(spec.error());
  Evaluator evaluator;
  evaluator.name = spec->name;
  evaluator.spec = spec->text;
  if (spec->container.empty()) co_return evaluator;
  const auto container = co_await context.store.container(std::move(access), spec->container);
  if (!container) co_return std::unexpected(container.error());
  std::string whole;
  {
    JsonObject object(whole);
    object.text("container", container->label);
    object.text("container_id", container->id);
    object.members_of(spec->text);
  }
  evaluator.spec = std::move(whole);
  co_return evaluator;
}

Task<Answer<Response>> create_evaluator(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  auto evaluator = co_await checked(context, request.principal.access, *json);
  if (!evaluator) co_return std::unexpected(evaluator.error());
  evaluator->id = make_id("eval_");
  evaluator->created_at = evaluator->updated_at = now_ms();
  Response response = evaluator_response(*evaluator);
  const auto made = co_await context.store.create_evaluator(request.principal.project(), *evaluator,
                                                            request.receipt_for(response.body));
  if (!made) co_return std::unexpected(made.error());
  co_return response;
}

Task<Answer<Response>> list_evaluators(Context& context, Request& request) {
  Query query(request.query);
  const Page page = read_page(query);
  ASSAY_CO_OK(query.done());
  const auto found = co_await context.store.evaluators(request.principal.access, page);
  if (!found) co_return std::unexpected(found.error());
  co_return list_response(found->data, found->total, append_evaluator);
}

Task<Answer<Response>> get_evaluator(Context& context, Request& request) {
  const auto found = co_await context.store.evaluator(request.principal.access, request.parameters[0]);
  if (!found) co_return std::unexpected(found.error());
  co_return evaluator_response(*found);
}

/// One of no container is everybody's to use, and so not a key's of some containers to change.
Answer<> may_change(const Access& access, const Evaluator& evaluator) {
  const auto spec = parse_json(evaluator.spec);
  if (access.containers.empty() || (spec && spec->contains("container_id"))) return {};
  return refuse(403, "key_of_containers",
                "this API key is for some containers only, and the evaluator belongs to none of them");
}

/// The evaluator as a request would have to spell it, with the fields of `patch` put over it.
Answer<Json> patched(const Evaluator& stored, const Json& patch) {
  if (!patch.is_object()) return invalid("", "the body must be an object");
  if (patch.empty()) return invalid("", "the patch names no field");
  if (patch.contains("type"))
    return invalid("type", "the type of an evaluator cannot be changed; create another");
  ASSAY_TRY(Json whole, parse_json(stored.spec));
  whole.erase("container_id");
  whole["name"] = stored.name;
  for (const auto& [key, value] : patch.items()) whole[key] = value;
  return whole;
}

Task<Answer<Response>> patch_evaluator(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  const auto& access = request.principal.access;
  const auto stored = co_await context.store.evaluator(access, request.parameters[0]);
  if (!stored) co_return std::unexpected(stored.error());
  ASSAY_CO_OK(may_change(access, *stored));
  const auto whole = patched(*stored, *json);
  if (!whole) co_return std::unexpected(whole.error());
  auto evaluator = co_await checked(context, access, *whole);
  if (!evaluator) co_return std::unexpected(evaluator.error());
  evaluator->id = stored->id;
  evaluator->version = stored->version + 1;
  evaluator->created_at = stored->created_at;
  evaluator->updated_at = now_ms();
  const auto updated = co_await context.store.update_evaluator(access, *evaluator);
  if (!updated) co_return std::unexpected(updated.error());
  co_return evaluator_response(*evaluator);
}

Task<Answer<Response>> remove_evaluator(Context& context, Request& request) {
  const auto gone = co_await context.store.delete_evaluator(request.principal.access, request.parameters[0]);
  if (!gone) co_return std::unexpected(gone.error());
  co_return deleted_response("evaluator", gone->id);
}

}  // namespace

std::vector<Route> evaluator_routes() {
  return {
      {"POST",
       "/evaluators",
       kMaySubmit,
       Body::json,
       create_evaluator,
       {.summary = "Make an evaluator",
        .body = describe_evaluator,
        .answer = "Evaluator",
        .refusals = {404, 501}},
       kCreates},
      {"GET",
       "/evaluators",
       kMayRead,
       Body::none,
       list_evaluators,
       {.summary = "List the evaluators", .query = asks<read_page>, .answer = "Evaluator", .list = true}},
      {"GET",
       "/evaluators/{evaluator}",
       kMayRead,
       Body::none,
       get_evaluator,
       {.summary = "An evaluator", .answer = "Evaluator"}},
      {"PATCH",
       "/evaluators/{evaluator}",
       kMaySubmit,
       Body::json,
       patch_evaluator,
       {.summary = "Change an evaluator: its next version, which the fields that are given are put over",
        .body = describe_evaluator_patch,
        .answer = "Evaluator",
        .refusals = {409, 501}}},
      {"DELETE",
       "/evaluators/{evaluator}",
       kAdmin,
       Body::none,
       remove_evaluator,
       {.summary = "Delete an evaluator", .answer = "Deleted", .refusals = {409}}},
  };
}

}  // namespace assay::api
