#include "api/worker/outcomes.hpp"

#include <nlohmann/json.hpp>

#include "core/id.hpp"

namespace assay::api {
namespace {

constexpr size_t kMostOutcomes = 2000;

}  // namespace

Answer<OutcomeBatch> batch_from(const Json& outcomes) {
  OutcomeBatch batch;
  batch.rows.reserve(outcomes.size());
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const auto row = outcome_from_json(outcomes[i]);
    const std::string param = "outcomes[" + std::to_string(i) + ']';
    if (!row) return invalid(param, param + ": " + row.error().message);
    batch.add(*row);
  }
  return batch;
}

AppendFields read_append(Fields& body) {
  AppendFields append;
  append.proof = read_proof(body);
  append.batch = body.integer("batch", 0, INT64_MAX);
  append.outcomes = body.array("outcomes", SIZE_MAX, R"({"$ref":"#/components/schemas/Outcome"})");
  body.note("outcomes", "description", "At most 2000: 413 for more.");
  return append;
}

HeldLeases read_held(Fields& body) {
  HeldLeases held;
  held.worker = read_worker(body);
  held.leases = read_leases(body);
  return held;
}

Task<Answer<Response>> append_outcomes(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto [proof, number, outcomes] = read_append(body);
  ASSAY_CO_OK(body.done());
  proof.worker.project = request.principal.project();
  const auto lease = lease_of(request, proof);
  if (!lease) co_return std::unexpected(lease.error());
  if (outcomes->size() > kMostOutcomes)
    co_return refuse(413, "batch_too_large", "at most " + std::to_string(kMostOutcomes) + " outcomes a call",
                     "outcomes");
  auto batch = batch_from(*outcomes);
  if (!batch) co_return std::unexpected(batch.error());
  const auto stored = co_await context.store.append(proof.worker, *lease, std::move(*batch));
  if (!stored) co_return std::unexpected(stored.error());
  context.telemetry.appended(*stored);
  Response response;
  {
    JsonObject object(response.body);
    object.text("run", lease->run);
    object.number("shard", lease->shard);
    object.number("epoch", lease->epoch);
    object.number("batch", number);
    object.number("crc32c", crc32c(request.body));
    object.number("inserted", stored->inserted);
    object.number("duplicate", stored->duplicate);
    object.text("verdict", stored->held ? "ok" : "lost");
    object.number("ttl_ms", stored->held ? context.options.lease_ttl.count() : 0);
  }
  co_return response;
}

Task<Answer<Response>> complete_shards(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  Fields body(*json);
  auto [worker, leases] = read_held(body);
  ASSAY_CO_OK(body.done());
  worker.project = request.principal.project();
  const auto answers = co_await context.store.complete(worker, leases);
  if (!answers) co_return std::unexpected(answers.error());
  bool ended = false;
  Response response;
  {
    JsonObject object(response.body);
    size_t i = 0;
    append_json_array(object.key("leases"), leases, [&](std::string& out, const LeaseRef& lease) {
      const auto& answer = (*answers)[i++];
      ended = ended || (answer && answer->last);
      JsonObject told(out);
      append_lease_name(told, lease);
      told.text("verdict", answer ? "done" : answer.error().code);
      if (!answer && !answer.error().extra.empty()) told.members_of('{' + answer.error().extra + '}');
    });
  }
  if (ended) context.tell(Change::ended);
  co_return response;
}

}  // namespace assay::api
