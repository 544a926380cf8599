#include "api/worker/worker_json.hpp"

#include <charconv>
#include <nlohmann/json.hpp>

namespace assay::api {

WorkerRef read_worker(Fields& body) {
  WorkerRef worker;
  worker.worker_id = body.text("worker_id", kLabelLength);
  worker.boot_id = body.text("boot_id", kLabelLength);
  return worker;
}

std::vector<LeaseRef> read_leases(Fields& body) {
  std::vector<LeaseRef> leases;
  body.objects("leases", kMostLeases, [&leases](Fields& fields) {
    LeaseRef lease;
    lease.run = fields.text("run", kLabelLength);
    lease.shard = fields.integer("shard", 0, INT64_MAX);
    lease.epoch = fields.integer("epoch", 0, INT64_MAX);
    lease.token = fields.text("token", kLabelLength);
    leases.push_back(std::move(lease));
  });
  return leases;
}

LeaseProof read_proof(Fields& body) {
  LeaseProof proof;
  proof.worker = read_worker(body);
  proof.epoch = body.integer("epoch", 0, INT64_MAX);
  proof.token = body.text("token", kLabelLength);
  return proof;
}

void append_lease_name(JsonObject& object, const LeaseRef& lease) {
  object.text("run", lease.run);
  object.number("shard", lease.shard);
  object.number("epoch", lease.epoch);
}

Answer<LeaseRef> lease_of(const Request& request, const LeaseProof& proof) {
  LeaseRef lease;
  lease.run = request.parameters[0];
  const auto& shard = request.parameters[1];
  const auto [end, error] = std::from_chars(shard.data(), shard.data() + shard.size(), lease.shard);
  if (error != std::errc() || end != shard.data() + shard.size() || lease.shard < 0)
    return refuse(404, "shard_not_found", "the run has no shard " + json_quote(shard), "shard");
  lease.epoch = proof.epoch;
  lease.token = proof.token;
  return lease;
}

void append_ranges(std::string& out, const std::vector<Range>& ranges) {
  append_json_array(out, ranges, [](std::string& to, const Range& range) {
    to += '[' + std::to_string(range.from) + ',' + std::to_string(range.to) + ']';
  });
}

void append_lease(std::string& out, const Lease& lease, std::chrono::milliseconds ttl) {
  JsonObject object(out);
  object.text("run", lease.ref.run);
  object.number("shard", lease.ref.shard);
  object.number("epoch", lease.ref.epoch);
  object.text("token", lease.ref.token);
  object.number("ttl_ms", ttl.count());
  object.number("attempt", lease.attempt);
  object.number("lo", lease.lo);
  object.number("hi", lease.hi);
  append_ranges(object.key("done"), lease.done);
  const auto rows = [&object](std::string_view name, const std::optional<std::vector<int64_t>>& list) {
    if (!list) return;
    append_json_array(object.key(name), *list,
                      [](std::string& to, int64_t row) { to += std::to_string(row); });
  };
  rows("sample_rows", lease.sample_rows);
  rows("ground_truth_rows", lease.ground_truth_rows);
}

}  // namespace assay::api
