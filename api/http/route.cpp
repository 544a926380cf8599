#include "api/http/route.hpp"

#include <algorithm>

#include "api/context.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& parameters) {
  parameters.clear();
  while (!pattern.empty() && !path.empty()) {
    const auto want = pattern.substr(1, pattern.find('/', 1) - 1);
    const auto have = path.substr(1, path.find('/', 1) - 1);
    pattern.remove_prefix(std::min(want.size() + 1, pattern.size()));
    path.remove_prefix(std::min(have.size() + 1, path.size()));
    if (want.starts_with('{')) {
      auto decoded = percent_decode(have, false);
      if (!decoded || decoded->empty() || !is_storable(*decoded)) return false;
      parameters.push_back(std::move(*decoded));
    } else if (want != have) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

std::unexpected<Problem> too_many(Clock::duration wait, std::string message) {
  Problem problem(429, "rate_limited", std::move(message));
  problem.retry_after = std::max(std::chrono::seconds(1), std::chrono::ceil<std::chrono::seconds>(wait));
  return std::unexpected(std::move(problem));
}

std::unexpected<Problem> unknown_key() {
  return refuse(401, "invalid_api_key", "this API key is not known, or was revoked");
}

/// In the store, for the cache.
Task<Answer<Principal>> look_up(Context& context, std::string key, Clock::time_point asked) {
  const auto principal = co_await context.store.principal(key);
  if (!principal) co_return std::unexpected(principal.error());
  if (!*principal) {
    context.keys.forget(key);
    co_return unknown_key();
  }
  context.keys.keep(key, **principal, asked);
  co_return **principal;
}

/// Whoever tries keys is slowed down. A key that was good before is not kept out by what others try from the
/// same address, so that nobody can stop the workers behind a proxy.
Task<Answer<Principal>> authenticate(Context& context, Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  const auto header = request.header("authorization");
  if (!header.starts_with(kScheme))
    co_return refuse(401, "missing_api_key", "give an API key: Authorization: Bearer KEY");
  const std::string hash = sha256_hex(header.substr(kScheme.size()));
  const auto asked = Clock::now();
  const auto seen = context.keys.find(hash, asked);
  request.key = hash;
  if (seen && seen->fresh) co_return seen->principal;
  const auto wait = seen ? std::nullopt : context.bad_keys.look(request.peer);
  if (wait) co_return too_many(*wait, "too many requests with unknown API keys came from this address");
  auto principal = co_await look_up(context, hash, asked);
  // While the store is away no key is revoked, and it is then that monitors have to see.
  const bool away = !principal && principal.error().status == 503;
  if (away && seen && request.route->scopes == kMonitor) co_return seen->principal;
  if (!principal && principal.error().status == 401) context.bad_keys.take(request.peer);
  co_return principal;
}

/// What workers do for their runs is not limited by the rate: a heartbeat refused costs a lease, and the work
/// of others is bounded by what they submit.
Answer<> limit_rate(Context& context, const Request& request, const Route& route) {
  if ((request.principal.scopes & route.scopes & kWorker) != 0) return {};
  const auto wait = context.requests.take(request.key);
  if (wait)
    return too_many(*wait, "this API key makes more requests than the server allows; try again shortly");
  return {};
}

std::string scopes_text(unsigned scopes) {
  std::string text;
  for (const auto& name : scope_names(scopes)) text += (text.empty() ? "" : " or ") + name;
  return text;
}

bool is_json(std::string_view type) {
  const auto media = type.substr(0, type.find(';'));
  return media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
}

Task<Answer<std::optional<Response>>> replay(Context& context, const Request& request) {
  const auto earlier = co_await context.store.receipt(request.principal.project(), request.receipt->key);
  if (!earlier) co_return std::unexpected(earlier.error());
  if (!*earlier) co_return std::nullopt;
  if ((*earlier)->request_sha256 != request.receipt->request_sha256)
    co_return refuse(409, "idempotency_mismatch", "this Idempotency-Key was used with another request",
                     "Idempotency-Key");
  Response response((*earlier)->response);
  response.headers.emplace_back("Idempotent-Replay", "true");
  co_return std::optional<Response>(std::move(response));
}

/// Of the object that a request made: handlers write it near the beginning.
std::string id_in(std::string_view body) {
  constexpr std::string_view kKey = "\"id\":\"";
  const size_t at = body.find(kKey);
  if (at == std::string_view::npos) return {};
  body.remove_prefix(at + kKey.size());
  return std::string(body.substr(0, body.find('"')));
}

/// Who changed what, or tried to: not what workers do for their runs.
Task<> keep_record(Context& context, const Route& route, const Request& request,
                   const Answer<Response>& answer) {
  if (route.scopes == 0 || route.scopes == kWorker || route.method == "GET") co_return;
  AuditEntry entry;
  entry.at = now_ms();
  entry.key_id = request.principal.key_id;
  entry.action = std::string(route.method) + ' ' + std::string(route.pattern);
  entry.request_id = request.id;
  entry.status = answer ? answer->status : answer.error().status;
  entry.object = request.parameters.empty() ? "" : request.parameters[0];
  if (answer && entry.object.empty()) entry.object = id_in(answer->body);
  const auto kept = co_await context.store.audit(request.principal.project(), std::move(entry));
  if (!kept)
    log::error("a request is not in the audit log",
               {{"request_id", request.id}, {"error", kept.error().message}});
}

}  // namespace

Found find_route(std::span<const Route> routes, Request& request) {
  Found found;
  std::vector<std::string> parameters;
  for (const auto& route : routes) {
    if (!matches(route.pattern, request.path, parameters)) continue;
    if (route.method == request.method) {
      request.parameters = std::move(parameters);
      return {&route, {}};
    }
    found.allow += (found.allow.empty() ? "" : ", ") + std::string(route.method);
  }
  return found;
}

Task<Answer<const Route*>> admit(Context& context, std::span<const Route> routes, Request& request) {
  const auto found = find_route(routes, request);
  if (found.route == nullptr && found.allow.empty())
    co_return refuse(404, "route_not_found", "there is nothing at " + request.path);
  if (found.route == nullptr) {
    Problem problem(405, "method_not_allowed", request.method + " is not served here; use " + found.allow);
    problem.allow = found.allow;
    co_return std::unexpected(std::move(problem));
  }
  const Route& route = *found.route;
  request.route = &route;
  if (route.scopes != 0) {
    const auto principal = co_await authenticate(context, request);
    if (!principal) co_return std::unexpected(principal.error());
    request.principal = *principal;
    if ((principal->scopes & route.scopes) == 0)
      co_return refuse(403, "missing_scope", "this API key lacks the scope " + scopes_text(route.scopes));
    ASSAY_CO_OK(limit_rate(context, request, route));
  }
  if (route.body == Body::json && !is_json(request.header("content-type")))
    co_return refuse(415, "unsupported_media_type", "send Content-Type: application/json", "Content-Type");
  if (route.creates && !request.header("idempotency-key").empty()) {
    const auto key = request.header("idempotency-key");
    if (key.size() > 255)
      co_return refuse(422, "invalid_value", "an Idempotency-Key has at most 255 characters",
                       "Idempotency-Key");
    if (!is_storable(key)) co_return invalid("Idempotency-Key", "an Idempotency-Key must be UTF-8");
    request.receipt = Receipt{request.principal.key_id + ':' + std::string(key), "", ""};
  }
  co_return &route;
}

Task<Answer<>> admit_again(Context& context, std::string key) {
  const auto asked = Clock::now();
  const auto seen = context.keys.find(key, asked);
  if (seen && seen->fresh) co_return Answer<>{};
  const auto principal = co_await look_up(context, std::move(key), asked);
  if (!principal) co_return std::unexpected(principal.error());
  co_return Answer<>{};
}

Task<Answer<Response>> handle(Context& context, const Route& route, Request& request) {
  const bool once = request.receipt.has_value();
  // A streamed body is not known yet; its handler fills in the digest, and the store finds the double.
  if (once && route.body != Body::stream) {
    request.receipt->request_sha256 = sha256_hex(request.method + ' ' + request.path + '\n' + request.body);
    auto earlier = co_await replay(context, request);
    if (!earlier) co_return std::unexpected(earlier.error());
    if (*earlier) co_return std::move(**earlier);
  }
  auto answer = co_await route.handler(context, request);
  co_await keep_record(context, route, request, answer);
  if (answer || !once || answer.error().code != "idempotency_key_in_use") co_return answer;
  auto earlier = co_await replay(context, request);
  if (!earlier) co_return std::unexpected(earlier.error());
  if (*earlier) co_return std::move(**earlier);
  co_return answer;
}

}  // namespace assay::api
