// What the worker surface's calls share: who calls, for which shard, and does it hold the lease.
#pragma once

#include "api/store/sqlite_impl.hpp"

namespace assay::api {

enum ShardState : int { kQueued, kLeased, kDone, kEnded };

struct KnownWorker {
  int64_t row = 0;
  std::string environments;  ///< a JSON array
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

struct ShardRow {
  int64_t run = 0;
  RunStatus status = RunStatus::queued;
  Shape shape;
  int state = kQueued;
  int64_t epoch = 0;
  std::string token;
  int64_t worker = 0;
  int64_t attempts = 0, fruitless = 0;
};
/// 404 when the project has no such run, or the run no such shard.
Answer<ShardRow> find_shard(Database& db, int64_t project, const LeaseRef& lease);

/// Control needs the current token.
bool holds(const ShardRow& shard, const KnownWorker& worker, const LeaseRef& lease);

std::unexpected<Problem> lost();
std::unexpected<Problem> superseded();

}  // namespace assay::api
