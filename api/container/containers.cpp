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

Container read_container(Fields& body) {
  Container container;
  container.label = body.text("label", kLabelLength);
  container.metadata = body.object_text("metadata");
  return container;
}

Task<Answer<Response>> create_container(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  Container container = read_container(body);
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
std::string read_log(Fields& item) {
  item.object("input", [](Fields& input) {
    input.array("messages", SIZE_MAX, "{}");
    input.anything_else();
  });
  item.maybe_object("output", [](Fields& output) {
    output.array("choices", SIZE_MAX, "{}");
    output.anything_else();
  });
  std::string row;
  {
    JsonObject object(row);
    object.raw("input", item.raw("input"));
    object.raw("output", item.raw("output"));
  }
  return row;
}

struct Completions {
  std::string container;
  std::vector<std::string> rows;
};

Completions read_completions(Fields& body) {
  Completions completions;
  completions.container = body.text("container", kLabelLength);
  body.objects("items", kMostItems,
               [&completions](Fields& item) { completions.rows.push_back(read_log(item)); });
  return completions;
}

Task<Answer<Response>> register_completions(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto completions = read_completions(body);
  ASSAY_CO_OK(body.done());
  const auto container = co_await context.store.container(request.principal.access, completions.container);
  if (!container) co_return std::unexpected(container.error());
  Response response;
  {
    JsonObject object(response.body);
    object.text("object", "chat.completion.registration");
    object.text("container", container->label);
    object.text("container_id", container->id);
    object.number("registered", completions.rows.size());
  }
  auto receipt = request.receipt_for(response.body);
  const auto stored = co_await context.store.append_logs(container->row, std::move(completions.rows),
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

void describe_log_query(Query& query) {
  read_rows(query);
  query.note("limit", "At most 100 unless JSON lines are asked for.");
  query.note("rows", "Of JSON lines: which, ends included.");
}

}  // namespace

std::vector<Route> container_routes() {
  return {
      {"POST",
       "/containers",
       kMaySubmit,
       Body::json,
       create_container,
       {.summary = "Make a container", .body = asks<read_container>, .answer = "Container"},
       kCreates},
      {"GET",
       "/containers",
       kMayRead,
       Body::none,
       list_containers,
       {.summary = "List the containers", .query = asks<read_page>, .answer = "Container", .list = true}},
      {"GET",
       "/containers/{container}",
       kMayRead,
       Body::none,
       get_container,
       {.summary = "A container", .answer = "Container"}},
      {"DELETE",
       "/containers/{container}",
       kAdmin,
       Body::none,
       remove_container,
       {.summary = "Delete a container", .answer = "Deleted", .refusals = {409}}},
      {"GET",
       "/containers/{container}/logs",
       kMayReadRows,
       Body::none,
       container_logs,
       {.summary = "The task logs of a container",
        .query = describe_log_query,
        .answer = "Log",
        .list = true,
        .lines = "LogRow"}},
      {"POST",
       "/chat/completions/register",
       kMaySubmit,
       Body::json,
       register_completions,
       {.summary = "Add completions that were made elsewhere to the task logs of a container",
        .body = asks<read_completions>,
        .answer = "Registration",
        .refusals = {404}},
       kCreates},
  };
}

}  // namespace assay::api
