// GET /audit: who did what in this project, newest first.
#include "api/container/list.hpp"
#include "api/routes.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

Task<Answer<Response>> audit_log(Context& context, Request& request) {
  Query query(request.query);
  const Page page = read_page(query);
  ASSAY_CO_OK(query.done());
  const auto log = co_await context.store.audit_log(request.principal.project(), page);
  if (!log) co_return std::unexpected(log.error());
  co_return list_response(log->data, log->total, [](std::string& out, const AuditEntry& entry) {
    JsonObject object(out);
    object.text("object", "audit.entry");
    object.text("at", iso8601(entry.at));
    object.text("key", entry.key_id);
    object.text("action", entry.action);
    object.text("on", entry.object);
    object.number("status", entry.status);
    object.maybe_text("request_id", entry.request_id);
  });
}

}  // namespace

std::vector<Route> audit_routes() {
  return {{"GET",
           "/audit",
           kAdmin,
           Body::none,
           audit_log,
           {.summary = "Who changed what, newest first",
            .query = asks<read_page>,
            .answer = "AuditEntry",
            .list = true}}};
}

}  // namespace assay::api
