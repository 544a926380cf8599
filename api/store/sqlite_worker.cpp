#include "api/store/sqlite_worker.hpp"

namespace assay::api {

std::unexpected<Problem> lost() {
  return refuse(409, "lost", "the lease is no longer this worker's");
}

std::unexpected<Problem> superseded() {
  return refuse(
      409, "superseded",
      "another process has registered under this worker's name; this one must exit, or take another name");
}

Answer<KnownWorker> known_worker(Database& db, const WorkerRef& worker) {
  auto row =
      db.query("SELECT id, boot, environments, sandbox FROM workers WHERE project = ? AND public_id = ?",
               worker.project, worker.worker_id);
  if (!row.step())
    return refuse(404, "unknown_worker", "this worker is not registered; register it again", "worker_id");
  if (row.view(1) != worker.boot_id) return superseded();
  return KnownWorker{row.integer(0), row.text(2), row.text(3)};
}

bool Shape::contains(const OutcomeId& id) const {
  return id.item >= lo && id.item < hi && id.model >= 0 && id.model < models && id.evaluator >= 0 &&
         id.evaluator < evaluators && id.trial >= 0 && id.trial < trials;
}

std::vector<Range> stored_codes(Database& db, int64_t run, const Shape& shape) {
  std::vector<Range> ranges;
  auto row = db.query(
      "SELECT item, model, evaluator, trial FROM outcomes WHERE run = ? AND item >= ? AND item < ? "
      "ORDER BY item, model, evaluator, trial",
      run, shape.lo, shape.hi);
  while (row.step()) {
    const int64_t code =
        (((row.integer(0) - shape.lo) * shape.models + row.integer(1)) * shape.evaluators + row.integer(2)) *
            shape.trials +
        row.integer(3);
    if (ranges.empty() || ranges.back().to != code) ranges.push_back({code, code});
    ranges.back().to = code + 1;
  }
  return ranges;
}

Answer<ShardRow> find_shard(Database& db, int64_t project, const LeaseRef& lease) {
  auto row = db.query(
      "SELECT r.id, r.status, r.models, r.evaluators, r.trials, s.lo, s.hi, s.state, s.epoch, s.token, "
      "s.worker, "
      "s.attempts, s.fruitless FROM runs r LEFT JOIN shards s ON s.run = r.id AND s.idx = ?3 "
      "WHERE r.project = ?1 AND r.public_id = ?2",
      project, lease.run, lease.shard);
  if (!row.step()) return not_found("run", lease.run, "run");
  if (row.null(5))
    return refuse(404, "shard_not_found", "the run has no shard " + std::to_string(lease.shard), "shard");
  ShardRow shard;
  shard.run = row.integer(0);
  shard.status = static_cast<RunStatus>(row.number(1));
  shard.shape = {row.integer(5), row.integer(6), row.integer(2), row.integer(3), row.integer(4)};
  shard.state = row.number(7);
  shard.epoch = row.integer(8);
  shard.token = row.text(9);
  shard.worker = row.integer(10);
  shard.attempts = row.integer(11);
  shard.fruitless = row.integer(12);
  return shard;
}

bool holds(const ShardRow& shard, const KnownWorker& worker, const LeaseRef& lease) {
  return shard.state == kLeased && shard.epoch == lease.epoch && shard.token == lease.token &&
         shard.worker == worker.row;
}

}  // namespace assay::api
