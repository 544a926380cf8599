// What the store does unasked, once a second and from every server: leases that ran out, shards that fail
// again and again, and what is to be cleared away.
#include <limits>

#include "api/store/workers.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

constexpr int64_t kDay = int64_t{24} * 3600 * 1000;

/// When no server has said a word for a while, nobody could renew a lease: all get a whole TTL from now. The
/// same when the clock was set back, for leases would then last too long.
void forgive_outage(Database& db, const LeasePolicy& policy) {
  const int64_t now = db.now();
  const auto alive = db.integer("SELECT at FROM pulse");
  db.run("INSERT INTO pulse(id, at) VALUES(1, ?1) ON CONFLICT(id) DO UPDATE SET at = ?1", now);
  if (alive && now - *alive < policy.outage.count() && *alive - now < policy.outage.count()) return;
  db.run("UPDATE shards SET granted_at = ?1, progress_at = ?1, lease_until = ?2 WHERE state = 1", now,
         now + policy.ttl.count());
  db.run("UPDATE shards SET not_before = 0 WHERE state = 0 AND not_before > ?", now + policy.ttl.count());
}

#define ASSAY_END_LEASE                                                                             \
  "UPDATE shards SET state = 0, attempts = attempts + accepted, fruitless = fruitless + accepted, " \
  "error = CASE WHEN accepted = 1 AND lease_until > ?1 THEN 'internal: its worker brought no new "  \
  "outcome for too long' ELSE 'internal: its worker was not heard of any more' END, "               \
  "token = NULL, worker = NULL, claim = NULL WHERE "
#define ASSAY_EXPIRED                                                                \
  "state = 1 AND (lease_until <= ?1 OR (accepted = 0 AND granted_at + ?2 <= ?1) OR " \
  "(granted_at <= ?3 AND progress_at <= ?3))"

/// Those that are not renewed, and those that are renewed for ever and bring nothing.
int64_t expire_leases(Database& db, const LeasePolicy& policy) {
  const int64_t now = db.now();
  const int64_t stalled_since =
      policy.stall.count() > 0 ? now - policy.stall.count() : std::numeric_limits<int64_t>::min();
  // An offer that was never accepted did not run, so it counts no attempt. One that ran may be what ended its
  // worker.
  return db.run(db.either(ASSAY_END_LEASE ASSAY_EXPIRED,
                          // Those that somebody is just renewing are not waited for.
                          ASSAY_END_LEASE "ctid = ANY(ARRAY(SELECT ctid FROM shards WHERE " ASSAY_EXPIRED
                                          " FOR UPDATE SKIP LOCKED))"),
                now, policy.accept_within.count(), stalled_since);
}

/// One run at a time, its lock first. True: the run has ended by it.
bool set_aside(Database& db, const LeasePolicy& policy) {
  const auto run =
      db.integer("SELECT run FROM shards WHERE state = 0 AND fruitless >= ? ORDER BY run LIMIT 1",
                 policy.fruitless_failures);
  if (!run) return false;
  lock_run(db, *run);
  const auto aside = db.run("UPDATE shards SET state = 4 WHERE run = ? AND state = 0 AND fruitless >= ?",
                            *run, policy.fruitless_failures);
  db.run("UPDATE runs SET shards_aside = shards_aside + ? WHERE id = ?", aside, *run);
  return end_if_complete(db, *run);
}

// In small steps, so that clearing away gigabytes never keeps a claim waiting.
void clear_dataset(Database& db) {
  const auto dataset = db.integer("SELECT id FROM datasets WHERE gone = 1 LIMIT 1");
  if (!dataset) return;
  const auto cleared = db.run(
      "DELETE FROM chunks WHERE dataset = ?1 AND first IN (SELECT first FROM chunks WHERE dataset = ?1 LIMIT "
      "64)",
      dataset);
  if (cleared == 0) db.run("DELETE FROM datasets WHERE id = ?", dataset);
}

void clear_container(Database& db) {
  const auto container = db.integer("SELECT id FROM containers WHERE gone = 1 LIMIT 1");
  if (!container) return;
  const auto cleared = db.run(
      "DELETE FROM logs WHERE container = ?1 AND seq IN (SELECT seq FROM logs WHERE container = ?1 LIMIT "
      "1000)",
      container);
  if (cleared == 0) db.run("DELETE FROM containers WHERE id = ?", container);
}

/// What the triggers of the schema have noted of the runs' statuses becomes one row for each again.
void gather_totals(Database& db) {
  db.run(db.either(
      "DELETE FROM run_totals WHERE n = 0",
      "WITH many AS (SELECT project, container, status FROM run_totals GROUP BY 1, 2, 3 HAVING "
      "count(*) > 1), noted AS (DELETE FROM run_totals t USING many m WHERE t.project = m.project "
      "AND t.container = m.container AND t.status = m.status RETURNING t.*) "
      "INSERT INTO run_totals SELECT project, container, status, sum(n) FROM noted GROUP BY 1, 2, 3 "
      "HAVING sum(n) <> 0"));
}

/// The oldest lines come first, so a few of them say whether any is too old.
void clear_audit(Database& db, int64_t before) {
  db.run("DELETE FROM audit WHERE at < ? AND id IN (SELECT id FROM audit ORDER BY id LIMIT 100)", before);
}

void clear_run(Database& db) {
  const auto run = db.integer("SELECT id FROM runs WHERE gone = 1 LIMIT 1");
  if (!run) return;
  const auto reached = db.integer(
      "SELECT max(item) FROM (SELECT item FROM outcomes WHERE run = ? ORDER BY item LIMIT 5000) AS page",
      run);
  if (reached) {
    db.run("DELETE FROM outcomes WHERE run = ? AND item <= ?", run, *reached);
    return;
  }
  db.run("DELETE FROM shards WHERE run = ?", run);
  db.run("DELETE FROM shard_rows WHERE run = ?", run);
  db.run("DELETE FROM run_evaluators WHERE run = ?", run);
  db.run("DELETE FROM run_sources WHERE run = ?", run);
  db.run("DELETE FROM run_sandboxes WHERE run = ?", run);
  db.run("DELETE FROM runs WHERE id = ?", run);
}

}  // namespace

Task<Answer<TickAnswer>> SqlStore::tick() {
  auto leases = co_await write([this](Database& db) -> Answer<TickAnswer> {
    forgive_outage(db, leases_);
    const auto waited = db.run(
        "UPDATE shards SET not_before = 0 WHERE state = 0 AND not_before > 0 AND not_before <= ?", db.now());
    const auto expired = expire_leases(db, leases_);
    return TickAnswer{waited + expired, false};
  });
  if (!leases) co_return leases;
  const auto aside = co_await write([this](Database& db) -> Answer<bool> { return set_aside(db, leases_); });
  leases->ended = aside && *aside;
  const auto tidied = co_await write([this](Database& db) -> Answer<> {
    const int64_t now = now_ms();
    db.run("DELETE FROM receipts WHERE created_at < ?", now - kDay);
    db.run("DELETE FROM keys WHERE revoked_at < ?", now - 90 * kDay);
    db.run("DELETE FROM worker_boots WHERE at < ?", now - 30 * kDay);
    // An upload that nobody finishes, because its server died.
    db.run("UPDATE datasets SET gone = 1 WHERE ready = 0 AND gone = 0 AND created_at < ?", now - kDay);
    if (leases_.retention.count() > 0)
      db.run(
          "UPDATE runs SET gone = 1 WHERE status >= 3 AND gone = 0 AND completed_at < ? AND NOT EXISTS "
          "(SELECT 1 "
          "FROM run_sources s JOIN runs r ON r.id = s.run WHERE s.kind = 2 AND s.source = runs.id AND "
          "r.status < "
          "3)",
          now - leases_.retention.count());
    if (leases_.audit_retention.count() > 0) clear_audit(db, now - leases_.audit_retention.count());
    clear_dataset(db);
    clear_container(db);
    clear_run(db);
    gather_totals(db);
    return {};
  });
  if (!tidied) co_return std::unexpected(tidied.error());
  co_return leases;
}

Task<Answer<StoreStats>> SqlStore::stats() {
  const auto waiting = static_cast<int64_t>(writes_.size() + reads_.size());
  return read([waiting](Database& db) -> Answer<StoreStats> {
    StoreStats stats;
    stats.queued = db.integer("SELECT count(*) FROM shards WHERE state = 0").value_or(0);
    stats.leased = db.integer("SELECT count(*) FROM shards WHERE state = 1").value_or(0);
    stats.runs = db.integer("SELECT count(*) FROM runs WHERE status < 3").value_or(0);
    stats.oldest_queued =
        db.integer(
              "SELECT min(created_at) FROM runs r WHERE r.status < 2 AND r.paused = 0 AND EXISTS "
              "(SELECT 1 FROM shards s WHERE s.run = r.id AND s.state = 0)")
            .value_or(0);
    stats.waiting_commands = waiting;
    return stats;
  });
}

}  // namespace assay::api
