// Outcomes: taken in, counted, and the end of shards and runs that follows from them.
#include <algorithm>

#include "api/store/sqlite_impl.hpp"
#include "api/store/sqlite_worker.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

Answer<> check_identities(const OutcomeBatch& batch, const Shape& shape) {
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const auto& id = batch.rows[i].id;
    if (shape.contains(id)) continue;
    return invalid("outcomes[" + std::to_string(i) + ']',
                   "outcome (item " + std::to_string(id.item) + ", model " + std::to_string(id.model) +
                       ", evaluator " + std::to_string(id.evaluator) + ", trial " + std::to_string(id.trial) +
                       ") is not one of this shard: items " + std::to_string(shape.lo) + " to " +
                       std::to_string(shape.hi - 1) + ", " + std::to_string(shape.models) + " models, " +
                       std::to_string(shape.evaluators) + " evaluators, " + std::to_string(shape.trials) +
                       " trials");
  }
  return {};
}

struct Counts {
  int64_t inserted = 0, errors = 0;
};

/// First writer wins: an identity that is there already stays as it is, and only what was really inserted is
/// counted.
Counts insert_outcomes(Database& db, int64_t run, const OutcomeBatch& batch) {
  Counts counts;
  auto insert = db.prepare(
      "INSERT INTO outcomes(run, item, model, evaluator, trial, verdict, kind, score, passed, wall_us, "
      "payload) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
  for (const auto& row : batch.rows) {
    const auto kind = row.verdict == Verdict::errored ? std::optional(row.kind) : std::nullopt;
    const auto score = row.verdict == Verdict::scored ? std::optional(row.score) : std::nullopt;
    insert.reset();
    insert.bind(true, run, row.id.item, row.id.model, row.id.evaluator, row.id.trial,
                static_cast<int>(row.verdict), kind, score, row.passed, row.wall_us, batch.payload(row));
    insert.step();
    if (db.changes() == 0) continue;
    ++counts.inserted;
    if (row.verdict == Verdict::errored) ++counts.errors;
  }
  return counts;
}

/// The codes of [0, size) that `stored` lacks.
std::vector<Range> complement(const std::vector<Range>& stored, int64_t size) {
  std::vector<Range> missing;
  int64_t next = 0;
  for (const auto& range : stored) {
    if (range.from > next) missing.push_back({next, range.from});
    next = range.to;
  }
  if (next < size) missing.push_back({next, size});
  return missing;
}

std::unexpected<Problem> incomplete(const std::vector<Range>& missing) {
  Problem problem(409, "incomplete", "the store does not hold every outcome of this shard");
  problem.extra = "\"missing\":[";
  for (const auto& range : missing) {
    if (&range != &missing.front()) problem.extra += ',';
    problem.extra += '[' + std::to_string(range.from) + ',' + std::to_string(range.to) + ']';
  }
  problem.extra += ']';
  return std::unexpected(std::move(problem));
}

void end_run_in_error(Database& db, int64_t run, const std::string& message) {
  const auto moved =
      db.run("UPDATE runs SET status = 4, error = ?, completed_at = ? WHERE id = ? AND status < 2", message,
             now_ms(), run);
  if (moved == 1) end_shards(db, run);
}

}  // namespace

Task<Answer<AppendAnswer>> SqliteStore::append(WorkerRef who, LeaseRef lease, OutcomeBatch batch) {
  return write([=, this, batch = std::move(batch)](Database& db) -> Answer<AppendAnswer> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto shard, find_shard(db, who.project, lease));
    if (shard.status >= RunStatus::finalizing)
      return refuse(409, "run_finished", "the run has ended: its outcomes are not wanted any more");
    ASSAY_OK(check_identities(batch, shard.shape));
    const auto counts = insert_outcomes(db, shard.run, batch);
    const bool held = holds(shard, worker, lease);
    if (counts.inserted > 0) {
      db.run(
          "UPDATE shards SET outcomes = outcomes + ?, errors = errors + ?, fruitless = 0 WHERE run = ? AND "
          "idx = ?",
          counts.inserted, counts.errors, shard.run, lease.shard);
      db.run("INSERT INTO run_sandboxes(run, mode) VALUES(?, ?) ON CONFLICT DO NOTHING", shard.run,
             worker.sandbox);
    }
    if (held)
      db.run("UPDATE shards SET lease_until = ?, accepted = 1 WHERE run = ? AND idx = ?",
             options_.clock() + options_.leases.ttl.count(), shard.run, lease.shard);
    return AppendAnswer{counts.inserted, static_cast<int64_t>(batch.rows.size()) - counts.inserted, held};
  });
}

Task<Answer<CompleteAnswer>> SqliteStore::complete(WorkerRef who, LeaseRef lease) {
  return write([=](Database& db) -> Answer<CompleteAnswer> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto shard, find_shard(db, who.project, lease));
    // The token stays with a shard that is done, so that a complete whose answer was lost can be repeated.
    const bool repeated = shard.state == kDone && shard.epoch == lease.epoch && shard.token == lease.token;
    if (repeated) return CompleteAnswer{};
    if (!holds(shard, worker, lease)) return lost();
    // Counted from the rows themselves, not from the counter that appends keep.
    const auto stored = stored_codes(db, shard.run, shard.shape);
    const auto missing = complement(stored, shard.shape.size());
    if (!missing.empty()) return incomplete(missing);
    db.run("UPDATE shards SET state = 2, worker = NULL, claim = NULL WHERE run = ? AND idx = ?", shard.run,
           lease.shard);
    db.run("UPDATE runs SET shards_done = shards_done + 1 WHERE id = ?", shard.run);
    // In the same transaction as the last shard, so that exactly one of them sees the run become complete.
    const auto last =
        db.run("UPDATE runs SET status = 2 WHERE id = ? AND status = 1 AND shards_done = shards", shard.run);
    return CompleteAnswer{last == 1};
  });
}

Task<Answer<>> SqliteStore::fail_shard(WorkerRef who, LeaseRef lease, ShardFailure failure) {
  return write([=, this](Database& db) -> Answer<> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto shard, find_shard(db, who.project, lease));
    if (!holds(shard, worker, lease)) return lost();
    const bool passing = failure.kind == ErrorKind::internal || failure.kind == ErrorKind::transport;
    const int64_t fruitless = shard.fruitless + 1;
    if (!passing || fruitless >= options_.leases.fruitless_failures) {
      const auto times = passing ? " (" + std::to_string(fruitless) + " times in a row)" : std::string();
      end_run_in_error(db, shard.run, std::string(to_string(failure.kind)) + ": " + failure.message + times);
      return {};
    }
    constexpr int64_t kLongest = 60;
    const int64_t factor = std::min(kLongest, int64_t{1} << std::min<int64_t>(shard.attempts + 1, 6));
    db.run(
        "UPDATE shards SET state = 0, attempts = attempts + 1, fruitless = ?, token = NULL, worker = NULL, "
        "claim = NULL, "
        "not_before = ? WHERE run = ? AND idx = ?",
        fruitless, options_.clock() + options_.leases.retry_base.count() * factor, shard.run, lease.shard);
    return {};
  });
}

}  // namespace assay::api
