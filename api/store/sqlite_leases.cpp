// Leases: handed out, renewed, taken back.
#include <nlohmann/json.hpp>
#include <set>

#include "api/store/row_list.hpp"
#include "api/store/sqlite_impl.hpp"
#include "api/store/sqlite_worker.hpp"
#include "core/id.hpp"
#include "core/json.hpp"

namespace assay::api {
namespace {

struct ShardKey {
  int64_t run = 0;
  int64_t index = 0;
  auto operator<=>(const ShardKey&) const = default;
};

/// From the run with the fewest leases, so that a small run does not wait behind a large one; then from the
/// oldest.
std::optional<ShardKey> pick_shard(Database& db, int64_t project, const std::string& environments,
                                   int64_t now) {
  const auto run = db.integer(
      "SELECT r.id FROM runs r WHERE r.project = ?1 AND r.status < 2 "
      "AND r.environment IN (SELECT value FROM json_each(?2)) "
      "AND EXISTS (SELECT 1 FROM shards s WHERE s.run = r.id AND s.state = 0 AND s.not_before <= ?3) "
      "ORDER BY (SELECT count(*) FROM shards s WHERE s.run = r.id AND s.state = 1), r.id LIMIT 1",
      project, environments, now);
  if (!run) return std::nullopt;
  const auto index = db.integer(
      "SELECT idx FROM shards WHERE run = ? AND state = 0 AND not_before <= ? ORDER BY not_before, idx LIMIT "
      "1",
      *run, now);
  if (!index) return std::nullopt;
  return ShardKey{*run, *index};
}

/// What the table says of a leased shard, as the worker is told.
Lease read_lease(Database& db, ShardKey shard) {
  Lease lease;
  Shape shape;
  int64_t outcomes = 0;
  {
    auto row = db.query(
        "SELECT r.public_id, r.models, r.evaluators, r.trials, s.epoch, s.token, s.attempts, s.lo, s.hi, "
        "s.outcomes "
        "FROM shards s JOIN runs r ON r.id = s.run WHERE s.run = ? AND s.idx = ?",
        shard.run, shard.index);
    if (!row.step()) return lease;
    lease.ref = {row.text(0), shard.index, row.integer(4), row.text(5)};
    shape = {row.integer(7), row.integer(8), row.integer(1), row.integer(2), row.integer(3)};
    lease.attempt = row.integer(6) + 1;
    outcomes = row.integer(9);
  }
  lease.lo = shape.lo;
  lease.hi = shape.hi;
  if (outcomes > 0) lease.done = stored_codes(db, shard.run, shape);
  auto rows = db.query("SELECT side, rows FROM shard_rows WHERE run = ? AND idx = ?", shard.run, shard.index);
  while (rows.step())
    (rows.number(0) == 0 ? lease.sample_rows : lease.ground_truth_rows) = decode_rows(rows.view(1));
  return lease;
}

/// The shards that this worker holds; of one claim only, when it is named.
std::vector<ShardKey> held(Database& db, int64_t worker, const std::optional<std::string>& claim) {
  std::vector<ShardKey> shards;
  auto row = db.query(
      "SELECT run, idx FROM shards WHERE state = 1 AND worker = ?1 AND (?2 IS NULL OR claim = ?2) ORDER BY "
      "run, idx",
      worker, claim);
  while (row.step()) shards.push_back({row.integer(0), row.integer(1)});
  return shards;
}

}  // namespace

int64_t expire_leases(Database& db, const LeasePolicy& policy, int64_t now) {
  // An offer that was never accepted did not run, so it counts no attempt.
  return db.run(
      "UPDATE shards SET state = 0, attempts = attempts + accepted, token = NULL, worker = NULL, claim = "
      "NULL "
      "WHERE state = 1 AND (lease_until <= ?1 OR (accepted = 0 AND granted_at + ?2 <= ?1))",
      now, policy.accept_within.count());
}

Task<Answer<std::string>> SqliteStore::register_worker(int64_t project, WorkerHello hello) {
  return write([=](Database& db) -> Answer<std::string> {
    std::optional<int64_t> worker;
    std::string id, boot;
    {
      auto row = db.query("SELECT id, public_id, boot FROM workers WHERE project = ? AND name = ?", project,
                          hello.name);
      if (row.step()) {
        worker = row.integer(0);
        id = row.text(1);
        boot = row.text(2);
      }
    }
    const auto environments = dump_json(Json(hello.environments));
    if (!worker) {
      id = make_id("wrk_");
      db.run(
          "INSERT INTO workers(public_id, project, name, boot, version, sandbox, environments, slots, "
          "seen_at) "
          "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
          id, project, hello.name, hello.boot_id, hello.version, hello.sandbox, environments, hello.slots,
          now_ms());
      worker = db.last_row();
    } else {
      const bool past =
          db.integer("SELECT 1 FROM worker_boots WHERE worker = ? AND boot = ?", *worker, hello.boot_id)
              .has_value();
      if (past && boot != hello.boot_id) return superseded();
      db.run(
          "UPDATE workers SET boot = ?, version = ?, sandbox = ?, environments = ?, slots = ?, seen_at = ? "
          "WHERE id = ?",
          hello.boot_id, hello.version, hello.sandbox, environments, hello.slots, now_ms(), *worker);
      // Another boot of one name means that the process which held these leases is gone.
      if (boot != hello.boot_id)
        db.run(
            "UPDATE shards SET state = 0, attempts = attempts + accepted, token = NULL, worker = NULL, claim "
            "= NULL "
            "WHERE state = 1 AND worker = ?",
            *worker);
    }
    db.run("INSERT INTO worker_boots(worker, boot) VALUES(?, ?) ON CONFLICT DO NOTHING", *worker,
           hello.boot_id);
    return id;
  });
}

Task<Answer<std::vector<Lease>>> SqliteStore::claim(ClaimRequest request) {
  return write([=, this](Database& db) -> Answer<std::vector<Lease>> {
    ASSAY_TRY(const auto worker, known_worker(db, request.worker));
    const int64_t now = options_.clock();
    const int64_t until = now + options_.leases.ttl.count();
    auto shards = held(db, worker.row, request.claim_id);
    if (!shards.empty()) {
      // The answer to this very claim was lost: the same leases again, for a whole TTL again.
      for (const auto& [run, shard] : shards)
        db.run("UPDATE shards SET lease_until = ? WHERE run = ? AND idx = ?", until, run, shard);
    } else {
      expire_leases(db, options_.leases, now);
      while (static_cast<int64_t>(shards.size()) < request.max) {
        const auto next = pick_shard(db, request.worker.project, worker.environments, now);
        if (!next) break;
        db.run(
            "UPDATE shards SET state = 1, epoch = epoch + 1, token = ?, worker = ?, claim = ?, accepted = 0, "
            "granted_at = ?, lease_until = ? WHERE run = ? AND idx = ?",
            random_hex(16), worker.row, request.claim_id, now, until, next->run, next->index);
        db.run("UPDATE runs SET status = 1, started_at = ? WHERE id = ? AND status = 0", now_ms(), next->run);
        shards.push_back(*next);
      }
    }
    std::vector<Lease> leases;
    for (const auto& shard : shards) leases.push_back(read_lease(db, shard));
    return leases;
  });
}

Task<Answer<HeartbeatAnswer>> SqliteStore::heartbeat(WorkerRef who, std::vector<LeaseRef> leases) {
  return write([=, this](Database& db) -> Answer<HeartbeatAnswer> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    const int64_t until = options_.clock() + options_.leases.ttl.count();
    db.run("UPDATE workers SET seen_at = ? WHERE id = ?", now_ms(), worker.row);
    HeartbeatAnswer answer;
    std::set<ShardKey> listed;
    for (const auto& lease : leases) {
      answer.verdicts.push_back(LeaseVerdict::lost);
      const auto found = find_shard(db, who.project, lease);
      if (!found) continue;
      auto& verdict = answer.verdicts.back();
      if (found->status == RunStatus::cancelled || found->status == RunStatus::error) {
        verdict = LeaseVerdict::cancel;
      } else if (found->state == kDone) {
        verdict = LeaseVerdict::done;
      } else if (holds(*found, worker, lease)) {
        verdict = LeaseVerdict::ok;
        listed.insert({found->run, lease.shard});
        db.run("UPDATE shards SET lease_until = ?, accepted = 1 WHERE run = ? AND idx = ?", until, found->run,
               lease.shard);
      }
    }
    for (const auto& shard : held(db, worker.row, std::nullopt))
      if (!listed.contains(shard)) answer.unknown.push_back(read_lease(db, shard));
    return answer;
  });
}

Task<Answer<>> SqliteStore::release(WorkerRef who, LeaseRef lease) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto shard, find_shard(db, who.project, lease));
    if (!holds(shard, worker, lease)) return lost();
    db.run(
        "UPDATE shards SET state = 0, token = NULL, worker = NULL, claim = NULL, not_before = 0 WHERE run = "
        "? AND idx = ?",
        shard.run, lease.shard);
    return {};
  });
}

}  // namespace assay::api
