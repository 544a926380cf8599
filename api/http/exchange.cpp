#include "api/http/exchange.hpp"

#include <algorithm>

#include "api/context.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

bool is_run_id(std::string_view text) {
  const auto fits = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_'; };
  return text.starts_with("run_") && text.size() <= 64 && std::ranges::all_of(text, fits);
}

/// What comes again and again while all is well is not for everybody: probes and the calls of workers.
log::Level level_of(const Exchange& exchange) {
  if (exchange.status >= 500) return exchange.status == 503 ? log::Level::warn : log::Level::error;
  const bool routine =
      exchange.route != nullptr && (exchange.route->scopes == 0 || exchange.route->scopes == kWorker ||
                                    exchange.route->pattern == "/metrics");
  return routine && exchange.status < 400 ? log::Level::debug : log::Level::info;
}

}  // namespace

void Exchange::learn(const Request& request) {
  route = request.route;
  key = request.principal.key_id;
  project = request.principal.project();
  for (const auto& parameter : request.parameters)
    if (is_run_id(parameter)) run = parameter;
}

void record(Context& context, const Exchange& exchange) {
  const auto took = Clock::now() - exchange.began;
  std::string route = "-";
  if (exchange.route != nullptr)
    route = std::string(exchange.route->method) + ' ' + std::string(exchange.route->pattern);
  context.telemetry.answered(route, exchange.status, took);
  const auto level = level_of(exchange);
  if (!context.options.access_log || !log::enabled(level)) return;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  std::vector<log::Field> fields{{"id", exchange.request_id},
                                 {"route", std::move(route)},
                                 {"status", std::to_string(exchange.status)},
                                 {"ms", std::to_string(ms)},
                                 {"bytes", std::to_string(exchange.bytes)}};
  if (!exchange.whole) fields.push_back({"cut", "yes"});
  if (!exchange.run.empty()) fields.push_back({"run", exchange.run});
  if (exchange.project > 0) fields.push_back({"project", std::to_string(exchange.project)});
  if (!exchange.key.empty()) fields.push_back({"key", exchange.key});
  log::write(level, "request", fields);
}

}  // namespace assay::api
