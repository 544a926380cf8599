// Workers and their leases: register, claim, heartbeat, release, fail; and what a run is.
#include <nlohmann/json.hpp>

#include "api/container/list.hpp"
#include "api/context.hpp"
#include "api/http/route.hpp"
#include "api/routes.hpp"
#include "api/worker/generations.hpp"
#include "api/worker/outcomes.hpp"
#include "api/worker/worker_json.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

constexpr int64_t kProtocol = 1;
constexpr int64_t kLongestWait = 25'000;  // under the 30 s that proxies usually grant

struct Hello {
  WorkerHello worker;
  int64_t protocol = 0;
};

Hello read_hello(Fields& body) {
  Hello hello;
  WorkerHello& worker = hello.worker;
  worker.name = body.text("name", kLabelLength);
  worker.boot_id = body.text("boot_id", kLabelLength);
  worker.version = body.maybe_text("version", kLabelLength).value_or("");
  worker.sandbox = body.text("sandbox", kLabelLength);
  worker.slots = body.integer_or("slots", 1, 1, 100'000);
  worker.environments = body.maybe_texts("environments", 256);
  if (worker.environments.empty()) worker.environments = {"main"};
  worker.labels = body.maybe_texts("labels", 256);
  hello.protocol = body.integer("protocol", 0, INT32_MAX);
  body.note("protocol", "description", "1 is spoken: 422 for another.");
  return hello;
}

Task<Answer<Response>> register_worker(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  const auto [hello, protocol] = read_hello(body);
  ASSAY_CO_OK(body.done());
  if (protocol != kProtocol)
    co_return refuse(422, "unsupported_protocol",
                     "this server speaks protocol " + std::to_string(kProtocol) + ", the worker " +
                         std::to_string(protocol) + ": use the same version of assay for both",
                     "protocol");
  const auto worker = co_await context.store.register_worker(request.principal.project(), hello);
  if (!worker) co_return std::unexpected(worker.error());
  context.tell(Change::work);  // the leases of an earlier boot are free now
  Response response;
  {
    JsonObject object(response.body);
    object.text("worker_id", *worker);
    object.number("protocol", kProtocol);
    object.text("incarnation", context.store.incarnation());
    object.number("lease_ttl_ms", context.options.lease_ttl.count());
    object.number("heartbeat_ms", context.options.heartbeat().count());
    object.number("claim_wait_ms", context.options.claim_wait.count());
  }
  co_return response;
}

Response leases_response(const Context& context, const std::vector<Lease>& leases) {
  Response response;
  {
    JsonObject object(response.body);
    append_json_array(object.key("leases"), leases, [&context](std::string& out, const Lease& lease) {
      append_lease(out, lease, context.options.lease_ttl);
    });
  }
  return response;
}

struct Claim {
  ClaimRequest wanted;
  int64_t wait_ms = 0;
};

Claim read_claim(Fields& body) {
  Claim claim;
  claim.wanted.worker = read_worker(body);
  claim.wanted.claim_id = body.text("claim_id", kLabelLength);
  claim.wanted.max = body.integer_or("max", 1, 1, kMostLeases);
  claim.wait_ms = body.integer_or("wait_ms", 0, 0, INT32_MAX);
  body.note("wait_ms", "description", "How long to wait for work; at most 25 s.");
  return claim;
}

Task<Answer<Response>> claim(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto [wanted, wait] = read_claim(body);
  ASSAY_CO_OK(body.done());
  wanted.worker.project = request.principal.project();
  const Deadline deadline = Clock::now() + std::chrono::milliseconds(std::min(wait, kLongestWait));
  for (;;) {
    const auto seen = context.work.count();
    const auto asked = Clock::now();
    const auto leases = co_await context.store.claim(wanted);
    if (!leases) co_return std::unexpected(leases.error());
    context.telemetry.claimed(leases->size(), Clock::now() - asked);
    if (!leases->empty()) co_return leases_response(context, *leases);
    if (context.stopping || Clock::now() >= deadline) break;
    co_await context.work.wait(seen, deadline);
    // Leases that nobody hears of would lie idle until they expire.
    if (request.peer_gone()) break;
    const auto allowed = co_await admit_again(context, request.key);
    if (!allowed) co_return std::unexpected(allowed.error());
  }
  Response nothing;
  nothing.status = 204;
  co_return nothing;
}

Task<Answer<Response>> list_workers(Context& context, Request& request) {
  const auto workers = co_await context.store.workers(request.principal.project());
  if (!workers) co_return std::unexpected(workers.error());
  co_return list_response(*workers, static_cast<int64_t>(workers->size()),
                          [](std::string& out, const WorkerInfo& worker) {
                            JsonObject object(out);
                            object.text("object", "worker");
                            object.text("id", worker.id);
                            object.text("name", worker.name);
                            object.text("version", worker.version);
                            object.text("sandbox", worker.sandbox);
                            object.text("state", worker.state);
                            object.raw("environments", worker.environments);
                            object.raw("labels", worker.labels);
                            object.raw("fleet", worker.fleet ? "true" : "false");
                            object.number("slots", worker.slots);
                            object.number("leases", worker.leases);
                            object.text("seen_at", iso8601(worker.seen_at));
                            object.number("silent_ms", worker.silent.count());
                          });
}

struct Heartbeat {
  HeldLeases held;
  std::string state;
};

Heartbeat read_heartbeat(Fields& body) {
  Heartbeat heartbeat;
  heartbeat.held = read_held(body);
  heartbeat.state = body.word("state", {"run", "drain", "full"}, "run");
  return heartbeat;
}

Task<Answer<Response>> heartbeat(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto [held, state] = read_heartbeat(body);
  ASSAY_CO_OK(body.done());
  held.worker.project = request.principal.project();
  const auto& leases = held.leases;
  const auto answer = co_await context.store.heartbeat(held.worker, state, leases);
  if (!answer) co_return std::unexpected(answer.error());
  const auto ttl = context.options.lease_ttl;
  Response response;
  {
    JsonObject object(response.body);
    size_t i = 0;
    append_json_array(object.key("leases"), leases, [&](std::string& out, const LeaseRef& lease) {
      const auto verdict = answer->verdicts[i++];
      JsonObject told(out);
      append_lease_name(told, lease);
      told.text("verdict", to_string(verdict));
      const bool keeps = verdict == LeaseVerdict::ok || verdict == LeaseVerdict::pause;
      told.number("ttl_ms", keeps ? ttl.count() : 0);
    });
    append_json_array(object.key("unknown"), answer->unknown,
                      [ttl](std::string& out, const Lease& lease) { append_lease(out, lease, ttl); });
    object.number("heartbeat_ms", context.options.heartbeat().count());
    object.text("incarnation", context.store.incarnation());
  }
  co_return response;
}

LeaseProof read_release(Fields& body) {
  auto proof = read_proof(body);
  body.maybe_text("reason", kLabelLength);
  return proof;
}

Task<Answer<Response>> release(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto proof = read_release(body);
  ASSAY_CO_OK(body.done());
  proof.worker.project = request.principal.project();
  const auto lease = lease_of(request, proof);
  if (!lease) co_return std::unexpected(lease.error());
  const auto released = co_await context.store.release(proof.worker, *lease);
  if (!released) co_return std::unexpected(released.error());
  context.tell(Change::work);
  co_return Response("{\"verdict\":\"released\"}");
}

struct Failure {
  LeaseProof proof;
  ShardFailure shard;
};

Failure read_failure(Fields& body) {
  Failure failure;
  failure.proof = read_proof(body);
  failure.shard.kind = error_kind_from(body.text("kind", kLabelLength));
  failure.shard.message = body.maybe_text("message", size_t{64} << 10).value_or("");
  return failure;
}

Task<Answer<Response>> fail_shard(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto [proof, failure] = read_failure(body);
  ASSAY_CO_OK(body.done());
  proof.worker.project = request.principal.project();
  const auto lease = lease_of(request, proof);
  if (!lease) co_return std::unexpected(lease.error());
  const auto failed = co_await context.store.fail_shard(proof.worker, *lease, std::move(failure));
  if (!failed) co_return std::unexpected(failed.error());
  if (failed->ended) context.tell(Change::ended);
  co_return Response("{\"verdict\":\"failed\"}");
}

struct SpendRequest {
  WorkerRef worker;
  int64_t wanted = 0, returned = 0;
};

SpendRequest read_spend(Fields& body) {
  constexpr int64_t kMost = int64_t{1} << 53;
  SpendRequest spend;
  spend.worker = read_worker(body);
  spend.wanted = body.integer_or("wanted", 0, 0, kMost);
  spend.returned = body.integer_or("returned", 0, 0, kMost);
  return spend;
}

Task<Answer<Response>> grant_spend(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto spend = read_spend(body);
  ASSAY_CO_OK(body.done());
  spend.worker.project = request.principal.project();
  const auto granted =
      co_await context.store.grant_spend(spend.worker, request.parameters[0], spend.wanted, spend.returned);
  if (!granted) co_return std::unexpected(granted.error());
  co_return Response("{\"granted\":" + std::to_string(*granted) + "}");
}

Task<Answer<Response>> run_spec(Context& context, Request& request) {
  auto run = co_await context.store.run(request.principal.access, request.parameters[0]);
  if (!run) co_return std::unexpected(run.error());
  co_return Response(std::move(run->spec));
}

}  // namespace

std::vector<Route> worker_routes() {
  return {
      {"POST",
       "/workers",
       kWorker,
       Body::json,
       register_worker,
       {.summary = "Register a worker", .body = asks<read_hello>, .answer = "Registered", .refusals = {409}}},
      {"GET",
       "/workers",
       kMayRead,
       Body::none,
       list_workers,
       {.summary = "List the workers", .answer = "Worker", .list = true}},
      {"POST",
       "/claims",
       kWorker,
       Body::json,
       claim,
       {.summary = "Lease shards: waits for them, 204 when none came",
        .body = asks<read_claim>,
        .answer = "Leases",
        .maybe_nothing = true,
        .refusals = {404, 409}}},
      {"POST",
       "/heartbeat",
       kWorker,
       Body::json,
       heartbeat,
       {.summary = "Renew the leases of a worker",
        .body = asks<read_heartbeat>,
        .answer = "HeartbeatAnswer",
        .refusals = {404, 409}}},
      {"GET",
       "/worker/runs/{run}",
       kWorker,
       Body::none,
       run_spec,
       {.summary = "What a worker needs to know of a run", .answer = "RunSpecification"}},
      {"GET",
       "/worker/runs/{run}/generations",
       kWorker,
       Body::none,
       run_generations,
       {.summary = "The texts that models gave for items of a run, as JSON lines",
        .query = asks<read_generations>,
        .lines = "Generation",
        .refusals = {409}}},
      {"POST",
       "/runs/{run}/shards/{shard}/outcomes",
       kWorker,
       Body::json,
       append_outcomes,
       {.summary = "Deliver outcomes", .body = asks<read_append>, .answer = "Appended", .refusals = {409}}},
      {"POST",
       "/complete",
       kWorker,
       Body::json,
       complete_shards,
       {.summary = "Complete shards",
        .body = asks<read_held>,
        .answer = "Completed",
        .refusals = {404, 409}}},
      {"POST",
       "/runs/{run}/shards/{shard}/release",
       kWorker,
       Body::json,
       release,
       {.summary = "Give a shard back", .body = asks<read_release>, .answer = "Verdict", .refusals = {409}}},
      {"POST",
       "/runs/{run}/shards/{shard}/fail",
       kWorker,
       Body::json,
       fail_shard,
       {.summary = "Say that a shard cannot be done",
        .body = asks<read_failure>,
        .answer = "Verdict",
        .refusals = {409}}},
      {"POST",
       "/runs/{run}/spend",
       kWorker,
       Body::json,
       grant_spend,
       {.summary = "Get a share of what a run may spend on models, in nano-dollars, or give one back",
        .body = asks<read_spend>,
        .answer = "Granted",
        .refusals = {409}}},
  };
}

}  // namespace assay::api
