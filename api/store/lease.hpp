// The worker surface's vocabulary (docs/worker-protocol.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "api/store/types.hpp"

namespace assay::api {

struct WorkerHello {
  std::string name, boot_id, version, sandbox;
  std::vector<std::string> environments;
  int64_t slots = 1;
  std::vector<std::string> labels;  ///< what runs may require of a worker: "language:python", "gpu:a100"
};

/// Who calls; checked by every call of the worker surface.
struct WorkerRef {
  int64_t project = 0;  ///< kAnyProject: a worker of the whole fleet
  std::string worker_id, boot_id;
};

/// A worker as operators see it.
struct WorkerInfo {
  std::string id, name, version, sandbox, state;
  std::string environments, labels;  ///< JSON arrays
  int64_t slots = 1;
  int64_t leases = 0;                   ///< shards that it holds now
  int64_t seen_at = 0;                  ///< Unix milliseconds
  std::chrono::milliseconds silent{0};  ///< since then, by the clock that it was taken from
  bool fleet = false;                   ///< serves every project
};

/// What names a lease and proves that it is held.
struct LeaseRef {
  std::string run;
  int64_t shard = 0;
  int64_t epoch = 0;
  std::string token;
};

struct Lease {
  LeaseRef ref;
  int64_t attempt = 1;
  int64_t lo = 0, hi = 0;
  std::vector<Range> done;  ///< codes of the outcomes that are stored already
  /// For every item of [lo, hi); nullopt: the row is the side's `first` + item.
  std::optional<std::vector<int64_t>> sample_rows, ground_truth_rows;
};

struct ClaimRequest {
  WorkerRef worker;
  std::string claim_id;
  int64_t max = 1;
};

/// pause: still held and renewed, but to be given back: finish what is in flight, then release.
enum class LeaseVerdict { ok, cancel, lost, done, pause };
std::string_view to_string(LeaseVerdict verdict);

struct HeartbeatAnswer {
  std::vector<LeaseVerdict> verdicts;  ///< one for every lease that was listed
  std::vector<Lease> unknown;
};

struct AppendAnswer {
  int64_t inserted = 0;
  int64_t errors = 0;  ///< of them
  int64_t duplicate = 0;
  bool held = false;  ///< the lease is current and was renewed
};

struct CompleteAnswer {
  bool last = false;  ///< the run has all the outcomes that it will have: it is to be finalized
};

struct FailAnswer {
  bool ended = false;  ///< the run is to be finalized
};

struct ShardFailure {
  ErrorKind kind = ErrorKind::internal;
  std::string message;
};

/// How long things are kept and waited for.
struct LeasePolicy {
  std::chrono::milliseconds ttl{30'000};
  std::chrono::milliseconds accept_within{30'000};
  /// A lease that is renewed, but under which no new outcome came for so long, is lost too; 0: never.
  std::chrono::milliseconds stall{0};
  std::chrono::milliseconds retry_base{1'000};  ///< a failed shard waits 2^attempt of these, at most 60
  /// So many failures or lost workers in a row without one new outcome set a shard aside: the run goes on
  /// without it and ends as `error`.
  int fruitless_failures = 3;
  /// Without a word of any server for so long, nobody could renew a lease: all get a whole TTL again.
  std::chrono::milliseconds outage{10'000};
  std::chrono::milliseconds retention{0};        ///< ended runs are deleted after so long; 0: never
  std::chrono::milliseconds audit_retention{0};  ///< the same of lines of the audit log
};

}  // namespace assay::api
