// The worker protocol's messages (docs/worker-protocol.md) as JSON.
#pragma once

#include "api/fields.hpp"
#include "api/http/message.hpp"
#include "api/json_text.hpp"
#include "api/store/lease.hpp"

namespace assay::api {

inline constexpr int64_t kMostLeases = 1024;  ///< in one call

/// Its project is the caller's.
WorkerRef read_worker(Fields& body);
std::vector<LeaseRef> read_leases(Fields& body);
/// What proves a lease that the path names.
struct LeaseProof {
  WorkerRef worker;
  int64_t epoch = 0;
  std::string token;
};
LeaseProof read_proof(Fields& body);
/// "run", "shard", "epoch".
void append_lease_name(JsonObject& object, const LeaseRef& lease);
/// The lease of the path's run and shard; 404 when the shard is no number.
Answer<LeaseRef> lease_of(const Request& request, const LeaseProof& proof);
void append_lease(std::string& out, const Lease& lease, std::chrono::milliseconds ttl);
void append_ranges(std::string& out, const std::vector<Range>& ranges);

}  // namespace assay::api
