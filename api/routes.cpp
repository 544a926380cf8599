#include "api/routes.hpp"

#include <array>

#include "api/context.hpp"

namespace assay::api {
namespace {

Task<Answer<Response>> alive(Context&, Request&) {
  co_return Response("{\"status\":\"ok\"}");
}

Task<Answer<Response>> ready(Context& context, Request&) {
  const auto reached = co_await context.store.ping();
  if (!reached) co_return refuse(503, "store_unavailable", reached.error().message);
  co_return Response("{\"status\":\"ready\"}");
}

Task<Answer<Response>> metrics(Context& context, Request&) {
  Response response;
  response.content_type = Telemetry::kContentType;
  response.body = co_await metrics_text(context);
  co_return response;
}

}  // namespace

Task<std::string> metrics_text(Context& context) {
  // A store that is away is seen by the statuses of the routes; its last figures stay.
  if (const auto stats = co_await context.store.stats(); stats) context.telemetry.store_is(*stats);
  co_return context.telemetry.text();
}

std::vector<Route> health_routes() {
  return {
      {"GET", "/healthz", 0, Body::none, alive, {.summary = "Whether the server runs", .answer = "Health"}},
      {"GET",
       "/readyz",
       0,
       Body::none,
       ready,
       {.summary = "Whether the server can do its work: 503 when it cannot", .answer = "Health"}},
      {"GET",
       "/metrics",
       kMonitor,
       Body::none,
       metrics,
       {.summary = "How the server does, for Prometheus", .text = "text/plain"}},
  };
}

std::vector<Route> all_routes() {
  using Part = std::pair<std::string_view, std::vector<Route> (*)()>;
  constexpr std::array<Part, 8> kParts = {{{"containers", container_routes},
                                           {"datasets", dataset_routes},
                                           {"evaluators", evaluator_routes},
                                           {"runs", run_routes},
                                           {"workers", worker_routes},
                                           {"audit", audit_routes},
                                           {"health", health_routes},
                                           {"description", openapi_routes}}};
  std::vector<Route> routes;
  for (const auto& [tag, part] : kParts)
    for (auto& route : part()) {
      route.tag = tag;
      routes.push_back(std::move(route));
    }
  return routes;
}

}  // namespace assay::api
