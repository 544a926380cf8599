// Containers: named slots that hold an application's task logs.
#include <nlohmann/json.hpp>

#include "api/container/list.hpp"
#include "api/routes.hpp"
#include "api/row_ranges.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

constexpr size_t kMostItems = 1000;  // of one registration

void append_container(std::string& out, const Container& container) {
  JsonObject object(out);
  object.text("object", "container");
  object.text("id", container.id);
  object.text("label", container.label);
  object.number("logs", container.logs);
  object.raw("metadata", container.metadata);
  object.text("created_at", iso8601(container.created_at));
}

Task<Answer<Response>> create_container(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  Container container;
  container.label = body.text("label", kLabelLength);
  container.metadata = body.object_text("metadata");
  ASSAY_CO_OK(body.done());
  container.id = make_id("ctr_");
  container.created_at = now_ms();
  Response response;
  append_container(response.body, container);
  const auto made = co_await context.store.create_container(request.principal.project(), container,
                                                            request.receipt_for(response.body));
  if (!made) co_return std::unexpected(made.error());
  co_return response;
}

Task<Answer<Response>> list_containers(Context& context, Request& request) {
  Query query(request.query);
  const Page page = read_page(query);
  ASSAY_CO_OK(query.done());
  const auto found = co_await context.store.containers(request.principal.access, page);
  if (!found) co_return std::unexpected(found.error());
  co_return list_response(found->data, found->total, append_container);
}

Task<Answer<Response>> get_container(Context& context, Request& request) {
  const auto found = co_await context.store.container(request.principal.access, request.parameters[0]);
  if (!found) co_return std::unexpected(found.error());
  Response response;
  append_container(response.body, *found);
  co_return response;
}

Task<Answer<Response>> remove_container(Context& context, Request& request) {
  const auto gone = co_await context.store.delete_container(request.principal.access, request.parameters[0]);
  if (!gone) co_return std::unexpected(gone.error());
  co_return deleted_response("container", gone->id);
}

/// One registered completion as the row that evaluators will see.
std::string log_body(const Json& item, Fields& body, size_t index) {
  const std::string path = "items[" + std::to_string(index) + ']';
  Fields fields(item, path);
  const Json* input = fields.maybe_object("input");
  const Json* output = fields.maybe_object("output");
  if (input == nullptr && item.is_object()) fields.fault("input", "is required");
  if (input != nullptr && (!input->contains("messages") || !(*input)["messages"].is_array()))
    fields.fault("input.messages", "must be an array of chat messages");
  if (output != nullptr && (!output->contains("choices") || !(*output)["choices"].is_array()))
    fields.fault("output.choices", "must be an array of choices");
  body.absorb(fields);
  std::string row;
  {
    JsonObject object(row);
    object.raw("input", input == nullptr ? "null" : dump_json(*input));
    object.raw("output", output == nullptr ? "null" : dump_json(*output));
  }
  return row;
}

Task<Answer<Response>> register_completions(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  const auto label = body.text("container", kLabelLength);
  const Json* items = body.array("items", kMostItems);
  std::vector<std::string> rows;
  for (size_t i = 0; items != nullptr && i < items->size(); ++i)
    rows.push_back(log_body((*items)[i], body, i));
  ASSAY_CO_OK(body.done());
  const auto container = co_await context.store.container(request.principal.access, label);
  if (!container) co_return std::unexpected(container.error());
  Response response;
  {
    JsonObject object(response.body);
    object.text("object", "chat.completion.registration");
    object.text("container", container->label);
    object.text("container_id", container->id);
    object.number("registered", rows.size());
  }
  auto receipt = request.receipt_for(response.body);
  const auto stored = co_await context.store.append_logs(container->row, std::move(rows),
                                                         request.principal.project(), std::move(receipt));
  if (!stored) co_return std::unexpected(stored.error());
  co_return response;
}

void append_log(std::string& out, const LogEntry& entry) {
  JsonObject object(out);
  object.text("object", "log");
  object.number("seq", entry.seq);
  object.text("created_at", iso8601(entry.created_at));
  object.members_of(entry.body);
}

Task<Answer<Response>> container_logs(Context& context, Request& request) {
  const auto container = co_await context.store.container(request.principal.access, request.parameters[0]);
  if (!container) co_return std::unexpected(container.error());
  Query query(request.query);
  if (wants_lines(request)) {
    auto ranges = rows_asked_for(query, container->logs);
    if (!ranges) co_return std::unexpected(ranges.error());
    ReadLines read = [&store = context.store, row = container->row](std::vector<Range> left) {
      return store.log_lines(row, left.front(), kPieceBytes);
    };
    co_return lines_response(std::move(*ranges), std::move(read));
  }
  const Page page = read_page(query);
  ASSAY_CO_OK(query.done());
  const auto entries = co_await context.store.logs(container->row, page);
  if (!entries) co_return std::unexpected(entries.error());
  co_return list_response(*entries, container->logs, append_log);
}

}  // namespace

std::vector<Route> container_routes() {
  return {
      {"POST", "/containers", kMaySubmit, Body::json, create_container, true},
      {"GET", "/containers", kMayRead, Body::none, list_containers},
      {"GET", "/containers/{}", kMayRead, Body::none, get_container},
      {"DELETE", "/containers/{}", kAdmin, Body::none, remove_container},
      {"GET", "/containers/{}/logs", kMayReadRows, Body::none, container_logs},
      {"POST", "/chat/completions/register", kMaySubmit, Body::json, register_completions, true},
  };
}

}  // namespace assay::api
