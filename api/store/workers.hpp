// What the worker surface's calls share: who calls, for which shard, and does it hold the lease.
#pragma once

#include "api/store/sql_store.hpp"

namespace assay::api {

enum ShardState : int { kQueued, kLeased, kDone, kEnded, kAside };

struct KnownWorker {
  int64_t row = 0;
  std::string environments, labels;  ///< JSON arrays
  std::string sandbox;
};
/// 404 `unknown_worker`; 409 `superseded` for another boot than the current one.
Answer<KnownWorker> known_worker(Database& db, const WorkerRef& worker);

/// The outcomes of one shard.
struct Shape {
  int64_t lo = 0, hi = 0;
  int64_t models = 1, evaluators = 1, trials = 1;

  int64_t per_item() const { return models * evaluators * trials; }
  int64_t size() const { return (hi - lo) * per_item(); }
  bool contains(const OutcomeId& id) const;
};
/// The codes of the stored outcomes, as ranges; docs/worker-protocol.md says how they are counted.
std::vector<Range> stored_codes(Database& db, int64_t run, const Shape& shape);

struct RunRow {
  int64_t row = 0;
  RunStatus status = RunStatus::queued;
  bool paused = false;
  bool failing = false;  ///< it is to end as `error`, at once
  int64_t models = 1, evaluators = 1, trials = 1;
};
/// 404 when the worker's projects have no such run. `lock`: nobody else changes it until the transaction
/// ends.
Answer<RunRow> find_run_row(Database& db, int64_t project, const std::string& run, bool lock = false);

struct ShardRow {
  int64_t index = 0;
  Shape shape;
  int state = kQueued;
  int64_t epoch = 0;
  std::string token;
  int64_t worker = 0;
  int64_t attempts = 0, fruitless = 0;
  int64_t retry_epoch = 0;  ///< outcomes under an epoch up to this are from before the run was retried
};
/// Those of `indexes` that exist, by index, locked.
std::vector<ShardRow> lock_shards(Database& db, const RunRow& run, std::span<const int64_t> indexes);
/// 404 when the run has no such shard. Locked.
Answer<ShardRow> lock_shard(Database& db, const RunRow& run, int64_t index);

/// Control needs the current token.
bool holds(const ShardRow& shard, const KnownWorker& worker, const LeaseRef& lease);

std::unexpected<Problem> lost();
std::unexpected<Problem> superseded();

}  // namespace assay::api
