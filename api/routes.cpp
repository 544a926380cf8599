#include "api/routes.hpp"

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
      {"GET", "/healthz", 0, Body::none, alive},
      {"GET", "/readyz", 0, Body::none, ready},
      {"GET", "/metrics", kRead | kAdmin, Body::none, metrics},
  };
}

std::vector<Route> all_routes() {
  std::vector<Route> routes;
  for (const auto& part : {health_routes(), container_routes(), dataset_routes(), evaluator_routes(),
                           run_routes(), worker_routes(), audit_routes()})
    routes.insert(routes.end(), part.begin(), part.end());
  return routes;
}

}  // namespace assay::api
