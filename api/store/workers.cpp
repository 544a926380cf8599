#include "api/store/workers.hpp"

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
  auto row = db.query(
      "SELECT id, boot, environments, labels, sandbox FROM workers WHERE project = ? AND public_id = ?",
      worker.project, worker.worker_id);
  if (!row.step())
    return refuse(404, "unknown_worker", "this worker is not registered; register it again", "worker_id");
  if (row.view(1) != worker.boot_id) return superseded();
  return KnownWorker{row.integer(0), row.text(2), row.text(3), row.text(4)};
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

Answer<RunRow> find_run_row(Database& db, int64_t project, const std::string& run, bool lock) {
  constexpr const char* kRow =
      "SELECT id, status, paused, models, evaluators, trials, error <> '' FROM runs "
      "WHERE public_id = ?1 AND gone = 0 AND (?2 = 0 OR project = ?2)";
  constexpr const char* kLocked =
      "SELECT id, status, paused, models, evaluators, trials, error <> '' FROM runs "
      "WHERE public_id = ?1 AND gone = 0 AND (?2 = 0 OR project = ?2) FOR UPDATE";
  auto row = db.query(lock ? db.either(kRow, kLocked) : kRow, run, project);
  if (!row.step()) return not_found("run", run, "run");
  return RunRow{row.integer(0),      static_cast<RunStatus>(row.number(1)),
                row.integer(2) != 0, row.integer(6) != 0,
                row.integer(3),      row.integer(4),
                row.integer(5)};
}

std::vector<ShardRow> lock_shards(Database& db, const RunRow& run, std::span<const int64_t> indexes) {
  const auto list = comma_list(indexes);
  auto row = db.query(
      db.either(
          "SELECT idx, lo, hi, state, epoch, token, worker, attempts, fruitless, retry_epoch FROM shards "
          "WHERE run = ?1 AND idx IN " ASSAY_SQLITE_LIST("?2") " ORDER BY idx",
          "SELECT idx, lo, hi, state, epoch, token, worker, attempts, fruitless, retry_epoch FROM shards "
          "WHERE run = ?1 AND idx = ANY(string_to_array(?2, ',')::bigint[]) ORDER BY idx FOR UPDATE"),
      run.row, list);
  std::vector<ShardRow> shards;
  while (row.step()) {
    ShardRow shard;
    shard.index = row.integer(0);
    shard.shape = {row.integer(1), row.integer(2), run.models, run.evaluators, run.trials};
    shard.state = row.number(3);
    shard.epoch = row.integer(4);
    shard.token = row.text(5);
    shard.worker = row.integer(6);
    shard.attempts = row.integer(7);
    shard.fruitless = row.integer(8);
    shard.retry_epoch = row.integer(9);
    shards.push_back(std::move(shard));
  }
  return shards;
}

Answer<ShardRow> lock_shard(Database& db, const RunRow& run, int64_t index) {
  auto shards = lock_shards(db, run, std::span(&index, 1));
  if (shards.empty())
    return refuse(404, "shard_not_found", "the run has no shard " + std::to_string(index), "shard");
  return std::move(shards.front());
}

bool holds(const ShardRow& shard, const KnownWorker& worker, const LeaseRef& lease) {
  return shard.state == kLeased && shard.epoch == lease.epoch && shard.token == lease.token &&
         shard.worker == worker.row;
}

}  // namespace assay::api
