// Leases: handed out, renewed, taken back.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "api/store/row_list.hpp"
#include "api/store/workers.hpp"
#include "core/id.hpp"
#include "core/json.hpp"

namespace assay::api {
namespace {

/// A run with shards to hand out.
struct Candidate {
  int64_t run = 0;
  int64_t project = 0;
  int64_t priority = 0;
  int64_t leased = 0;
};

/// Those of one project that this worker can serve: the most urgent and oldest.
void add_candidates(Database& db, int64_t project, const KnownWorker& worker, int most_failures,
                    std::vector<Candidate>& found) {
  auto row = db.query(
      db.either("SELECT r.id, r.priority, (SELECT count(*) FROM shards s WHERE s.run = r.id AND s.state = 1) "
                "FROM runs r WHERE r.project = ?1 AND r.status < 2 AND r.paused = 0 "
                "AND r.environment IN (SELECT value FROM json_each(?2)) "
                "AND NOT EXISTS (SELECT 1 FROM json_each(r.required) q "
                "WHERE q.value NOT IN (SELECT value FROM json_each(?3))) "
                "AND EXISTS (SELECT 1 FROM shards s WHERE s.run = r.id AND s.state = 0 AND s.not_before <= "
                "?4 AND s.fruitless < ?5) "
                "ORDER BY r.priority DESC, r.id LIMIT 64",
                "SELECT r.id, r.priority, (SELECT count(*) FROM shards s WHERE s.run = r.id AND s.state = 1) "
                "FROM runs r WHERE r.project = ?1 AND r.status < 2 AND r.paused = 0 "
                "AND r.environment IN (SELECT jsonb_array_elements_text(?2::jsonb)) "
                "AND r.required::jsonb <@ ?3::jsonb "
                "AND EXISTS (SELECT 1 FROM shards s WHERE s.run = r.id AND s.state = 0 AND s.not_before <= "
                "?4 AND s.fruitless < ?5) "
                "ORDER BY r.priority DESC, r.id LIMIT 64"),
      project, worker.environments, worker.labels, db.now(), most_failures);
  while (row.step()) found.push_back({row.integer(0), project, row.integer(1), row.integer(2)});
}

/// Every project that has an open run, found by leaping through the index.
std::vector<int64_t> open_projects(Database& db) {
  std::vector<int64_t> projects;
  auto row = db.query(
      "WITH RECURSIVE open(project) AS (SELECT min(project) FROM runs WHERE status < 2 UNION ALL "
      "SELECT (SELECT min(project) FROM runs WHERE status < 2 AND project > open.project) FROM open "
      "WHERE open.project IS NOT NULL) SELECT project FROM open WHERE project IS NOT NULL");
  while (row.step()) projects.push_back(row.integer(0));
  return projects;
}

/// Leases are places of workers: who holds the fewest is next, first among projects, then among the most
/// urgent runs of one. So a project with a million items and one with ten share the workers evenly, and a
/// small run does not wait behind a large one.
class FairShare {
 public:
  explicit FairShare(std::vector<Candidate> candidates) : candidates_(std::move(candidates)) {
    for (const auto& candidate : candidates_) projects_[candidate.project] += candidate.leased;
  }
  bool empty() const { return candidates_.empty(); }
  void exhausted(int64_t run) {
    std::erase_if(candidates_, [run](const Candidate& candidate) { return candidate.run == run; });
  }
  /// How many of `count` each run should get.
  std::map<int64_t, int64_t> divide(int64_t count) {
    std::map<int64_t, int64_t> shares;
    for (; count > 0 && !candidates_.empty(); --count) {
      const auto next = std::ranges::min_element(
          candidates_, [this](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); });
      ++next->leased;
      ++projects_[next->project];
      ++shares[next->run];
    }
    return shares;
  }

 private:
  std::array<int64_t, 5> rank(const Candidate& c) const {
    return {projects_.at(c.project), c.project, -c.priority, c.leased, c.run};
  }
  std::vector<Candidate> candidates_;
  std::map<int64_t, int64_t> projects_;
};

/// What is common to the leases of one run.
struct LeaseRun {
  int64_t row = 0;
  std::string id;
  int64_t models = 1, evaluators = 1, trials = 1;
};

LeaseRun lease_run(Database& db, int64_t run) {
  auto row = db.query("SELECT public_id, models, evaluators, trials FROM runs WHERE id = ?", run);
  if (!row.step()) return {};
  return {run, row.text(0), row.integer(1), row.integer(2), row.integer(3)};
}

/// Adds what the shards' own rows do not say: the rows that the planner chose, and what is done.
void complete_leases(Database& db, const LeaseRun& run, std::span<Lease> leases,
                     const std::set<int64_t>& started) {
  std::vector<int64_t> indexes;
  std::map<int64_t, Lease*> by_index;
  for (auto& lease : leases) {
    indexes.push_back(lease.ref.shard);
    by_index[lease.ref.shard] = &lease;
    if (!started.contains(lease.ref.shard)) continue;
    lease.done = stored_codes(db, run.row, {lease.lo, lease.hi, run.models, run.evaluators, run.trials});
  }
  const auto list = comma_list(indexes);
  auto row = db.query(
      db.either("SELECT idx, side, rows FROM shard_rows WHERE run = ?1 AND idx IN " ASSAY_SQLITE_LIST("?2"),
                "SELECT idx, side, rows FROM shard_rows WHERE run = ?1 AND idx = "
                "ANY(string_to_array(?2, ',')::bigint[])"),
      run.row, list);
  while (row.step()) {
    Lease& lease = *by_index.at(row.integer(0));
    (row.number(1) == 0 ? lease.sample_rows : lease.ground_truth_rows) = decode_rows(row.view(2));
  }
}

/// Reads `idx, lo, hi, epoch, token, attempts, outcomes` of one run's shards.
std::vector<Lease> read_leases(Database& db, int64_t run_row, Rows shard) {
  const LeaseRun run = lease_run(db, run_row);
  std::vector<Lease> leases;
  std::set<int64_t> started;
  while (shard.step()) {
    Lease lease;
    lease.ref = {run.id, shard.integer(0), shard.integer(3), shard.text(4)};
    lease.lo = shard.integer(1);
    lease.hi = shard.integer(2);
    lease.attempt = shard.integer(5) + 1;
    if (shard.integer(6) > 0) started.insert(lease.ref.shard);
    leases.push_back(std::move(lease));
  }
  std::ranges::sort(leases, {}, [](const Lease& lease) { return lease.ref.shard; });
  if (!leases.empty()) complete_leases(db, run, leases, started);
  return leases;
}

std::vector<int64_t> held_runs(Database& db, int64_t worker) {
  std::vector<int64_t> runs;
  auto row = db.query("SELECT DISTINCT run FROM shards WHERE state = 1 AND worker = ? ORDER BY run", worker);
  while (row.step()) runs.push_back(row.integer(0));
  return runs;
}

/// The leases that this worker holds; of one claim only, when it is named.
std::vector<Lease> held(Database& db, int64_t worker, const std::optional<std::string>& claim) {
  std::vector<Lease> leases;
  for (const int64_t run : held_runs(db, worker)) {
    auto more =
        read_leases(db, run,
                    db.query("SELECT idx, lo, hi, epoch, token, attempts, outcomes FROM shards "
                             "WHERE state = 1 AND worker = ?1 AND run = ?2 AND (?3 IS NULL OR claim = ?3)",
                             worker, run, claim));
    std::ranges::move(more, std::back_inserter(leases));
  }
  return leases;
}

struct Grant {
  int64_t worker = 0;
  std::string claim, token;
  int64_t now = 0, until = 0;
  int most_failures = 0;
};

std::vector<Lease> grant(Database& db, int64_t run, int64_t most, const Grant& to) {
  // Before the shards: locks are taken run first.
  db.run("UPDATE runs SET status = 1, started_at = ? WHERE id = ? AND status = 0", now_ms(), run);
  return read_leases(
      db, run,
      db.query(
          db.either(
              "UPDATE shards SET state = 1, epoch = epoch + 1, token = ?3, worker = ?4, claim = ?5, "
              "accepted = 0, granted_at = ?6, lease_until = ?7 WHERE run = ?1 AND idx IN "
              "(SELECT idx FROM shards WHERE run = ?1 AND state = 0 AND not_before <= ?6 AND fruitless < ?8 "
              "ORDER BY not_before, idx LIMIT ?2) "
              "RETURNING idx, lo, hi, epoch, token, attempts, outcomes",
              // An array, so that the inner query runs once: joined, it may run again and lock more.
              "UPDATE shards SET state = 1, epoch = epoch + 1, token = ?3, worker = ?4, claim = ?5, "
              "accepted = 0, granted_at = ?6, lease_until = ?7 WHERE run = ?1 AND idx = ANY(ARRAY("
              "SELECT idx FROM shards WHERE run = ?1 AND state = 0 AND not_before <= ?6 AND fruitless < ?8 "
              "ORDER BY not_before, idx LIMIT ?2 FOR UPDATE SKIP LOCKED)) "
              "RETURNING idx, lo, hi, epoch, token, attempts, outcomes"),
          run, most, to.token, to.worker, to.claim, to.now, to.until, to.most_failures));
}

std::vector<Lease> claim_new(Database& db, const ClaimRequest& request, const KnownWorker& worker,
                             const LeasePolicy& policy) {
  std::vector<Candidate> candidates;
  if (request.worker.project != kAnyProject) {
    add_candidates(db, request.worker.project, worker, policy.fruitless_failures, candidates);
  } else {
    for (const int64_t project : open_projects(db))
      add_candidates(db, project, worker, policy.fruitless_failures, candidates);
  }
  FairShare share(std::move(candidates));
  const Grant to{worker.row,
                 request.claim_id,
                 random_hex(16),
                 db.now(),
                 db.now() + policy.ttl.count(),
                 policy.fruitless_failures};
  std::vector<Lease> leases;
  while (!share.empty() && static_cast<int64_t>(leases.size()) < request.max) {
    for (const auto& [run, count] : share.divide(request.max - static_cast<int64_t>(leases.size()))) {
      auto granted = grant(db, run, count, to);
      if (static_cast<int64_t>(granted.size()) < count) share.exhausted(run);
      std::ranges::move(granted, std::back_inserter(leases));
    }
  }
  return leases;
}

/// Unix milliseconds of one clock, whichever server asks: the database's. Of SQLite there is one server.
int64_t wall_clock(const Database& db) {
  return db.dialect() == Database::Dialect::sqlite ? now_ms() : db.now();
}

void give_back(Database& db, int64_t worker) {
  // What ran and came to nothing counts against the shard: it may be what ended the worker.
  db.run(
      "UPDATE shards SET state = 0, attempts = attempts + accepted, fruitless = fruitless + accepted, "
      "error = CASE WHEN accepted = 1 THEN 'internal: its worker ended while it ran' ELSE error END, "
      "token = NULL, worker = NULL, claim = NULL WHERE state = 1 AND worker = ?",
      worker);
}

}  // namespace

Task<Answer<std::string>> SqlStore::register_worker(int64_t project, WorkerHello hello) {
  return write([=](Database& db) -> Answer<std::string> {
    const auto environments = dump_json(Json(hello.environments));
    const auto labels = dump_json(Json(hello.labels));
    // Whoever is first makes the row; it is then locked until the end.
    db.run(
        "INSERT INTO workers(public_id, project, name, boot, version, sandbox, environments, labels, slots, "
        "state, seen_at) VALUES(?, ?, ?, '', '', '', '[]', '[]', 1, 'run', ?) ON CONFLICT DO NOTHING",
        make_id("wrk_"), project, hello.name, wall_clock(db));
    int64_t worker = 0;
    std::string id, boot;
    {
      auto row = db.query(
          db.either("SELECT id, public_id, boot FROM workers WHERE project = ? AND name = ?",
                    "SELECT id, public_id, boot FROM workers WHERE project = ? AND name = ? FOR UPDATE"),
          project, hello.name);
      if (!row.step()) return refuse(500, "internal", "a worker vanished while it was registered");
      worker = row.integer(0);
      id = row.text(1);
      boot = row.text(2);
    }
    if (boot != hello.boot_id) {
      const auto past =
          db.integer("SELECT 1 FROM worker_boots WHERE worker = ? AND boot = ?", worker, hello.boot_id);
      if (past) return superseded();
      // Another boot of one name means that the process which held these leases is gone.
      give_back(db, worker);
      db.run("INSERT INTO worker_boots(worker, boot, at) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", worker,
             hello.boot_id, now_ms());
    }
    db.run(
        "UPDATE workers SET boot = ?, version = ?, sandbox = ?, environments = ?, labels = ?, slots = ?, "
        "state = 'run', seen_at = ? WHERE id = ?",
        hello.boot_id, hello.version, hello.sandbox, environments, labels, hello.slots, wall_clock(db),
        worker);
    return id;
  });
}

Task<Answer<std::vector<WorkerInfo>>> SqlStore::workers(int64_t project) {
  return read([=](Database& db) -> Answer<std::vector<WorkerInfo>> {
    std::vector<WorkerInfo> workers;
    const int64_t now = wall_clock(db);
    auto row = db.query(
        "SELECT w.public_id, w.name, w.version, w.sandbox, w.state, w.environments, w.labels, w.slots, "
        "w.seen_at, "
        "w.project, (SELECT count(*) FROM shards s JOIN runs r ON r.id = s.run WHERE s.state = 1 "
        "AND s.worker = w.id AND r.project = ?1) "
        "FROM workers w WHERE w.project = ?1 OR w.project = 0 ORDER BY w.seen_at DESC LIMIT 1000",
        project);
    while (row.step()) {
      WorkerInfo worker;
      worker.id = row.text(0);
      worker.name = row.text(1);
      worker.version = row.text(2);
      worker.sandbox = row.text(3);
      worker.state = row.text(4);
      worker.environments = row.text(5);
      worker.labels = row.text(6);
      worker.slots = row.integer(7);
      worker.seen_at = row.integer(8);
      worker.silent = std::chrono::milliseconds(std::max<int64_t>(0, now - worker.seen_at));
      worker.fleet = row.integer(9) == kAnyProject;
      worker.leases = row.integer(10);
      workers.push_back(std::move(worker));
    }
    return workers;
  });
}

Task<Answer<std::vector<Lease>>> SqlStore::claim(ClaimRequest request) {
  return write([=, this](Database& db) -> Answer<std::vector<Lease>> {
    ASSAY_TRY(const auto worker, known_worker(db, request.worker));
    // The answer to this very claim may have been lost: the same leases again, for a whole TTL again.
    const auto renewed =
        db.run("UPDATE shards SET lease_until = ? WHERE state = 1 AND worker = ? AND claim = ?",
               db.now() + leases_.ttl.count(), worker.row, request.claim_id);
    if (renewed > 0) return held(db, worker.row, request.claim_id);
    return claim_new(db, request, worker, leases_);
  });
}

Task<Answer<HeartbeatAnswer>> SqlStore::heartbeat(WorkerRef who, std::string state,
                                                  std::vector<LeaseRef> leases) {
  return write([=, this](Database& db) -> Answer<HeartbeatAnswer> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    const int64_t until = db.now() + leases_.ttl.count();
    db.run("UPDATE workers SET seen_at = ?, state = ? WHERE id = ?", wall_clock(db), state, worker.row);
    HeartbeatAnswer answer;
    std::set<std::pair<std::string, int64_t>> listed;
    std::map<std::string, std::vector<size_t>> by_run;
    answer.verdicts.assign(leases.size(), LeaseVerdict::lost);
    for (size_t i = 0; i < leases.size(); ++i) by_run[leases[i].run].push_back(i);
    for (const auto& [id, places] : by_run) {
      const auto run = find_run_row(db, who.project, id);
      if (!run) continue;
      std::vector<int64_t> indexes, renewed;
      for (const size_t place : places) indexes.push_back(leases[place].shard);
      const auto shards = lock_shards(db, *run, indexes);
      const bool ended =
          run->failing || run->status == RunStatus::cancelled || run->status == RunStatus::error;
      for (const size_t place : places) {
        const auto shard = std::ranges::find(shards, leases[place].shard, &ShardRow::index);
        if (shard == shards.end()) continue;
        auto& verdict = answer.verdicts[place];
        if (holds(*shard, worker, leases[place])) {
          verdict = run->paused ? LeaseVerdict::pause : LeaseVerdict::ok;
          listed.emplace(id, shard->index);
          renewed.push_back(shard->index);
        } else if (shard->state == kDone) {
          verdict = LeaseVerdict::done;
        } else if (ended || shard->state == kEnded) {
          verdict = LeaseVerdict::cancel;
        }
      }
      const auto list = comma_list(renewed);
      db.run(
          db.either(
              "UPDATE shards SET lease_until = ?2, accepted = 1 WHERE run = ?1 AND idx IN " ASSAY_SQLITE_LIST(
                  "?3"),
              "UPDATE shards SET lease_until = ?2, accepted = 1 WHERE run = ?1 AND idx = "
              "ANY(string_to_array(?3, ',')::bigint[])"),
          run->row, until, list);
    }
    for (auto& lease : held(db, worker.row, std::nullopt))
      if (!listed.contains({lease.ref.run, lease.ref.shard})) answer.unknown.push_back(std::move(lease));
    return answer;
  });
}

Task<Answer<>> SqlStore::release(WorkerRef who, LeaseRef lease) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto run, find_run_row(db, who.project, lease.run));
    ASSAY_TRY(const auto shard, lock_shard(db, run, lease.shard));
    if (!holds(shard, worker, lease)) return lost();
    db.run(
        "UPDATE shards SET state = 0, token = NULL, worker = NULL, claim = NULL, not_before = 0 WHERE run = "
        "? AND idx = ?",
        run.row, lease.shard);
    return {};
  });
}

}  // namespace assay::api
