// The worker protocol's messages (docs/worker-protocol.md) as JSON.
#pragma once

#include "api/fields.hpp"
#include "api/http/message.hpp"
#include "api/json_text.hpp"
#include "api/store/lease.hpp"

namespace assay::api {

inline constexpr int64_t kMostLeases = 1024;  ///< in one call

WorkerRef read_worker(Fields& body, int64_t project);
std::vector<LeaseRef> read_leases(Fields& body);
/// "run", "shard", "epoch".
void append_lease_name(JsonObject& object, const LeaseRef& lease);
/// `run` and `shard` are of the path.
Answer<LeaseRef> read_lease(Fields& body, const Request& request);
void append_lease(std::string& out, const Lease& lease, std::chrono::milliseconds ttl);
void append_ranges(std::string& out, const std::vector<Range>& ranges);

}  // namespace assay::api
