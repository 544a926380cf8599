// Runs: stored whole with their shards, listed, cancelled, finished.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/store/row_list.hpp"
#include "api/store/sql_store.hpp"
#include "core/check.hpp"
#include "core/id.hpp"
#include "core/json.hpp"

namespace assay::api {
namespace {

// An open run is counted from its shards; an ended one was counted when it ended. The modes are a list in one
// column, which every database makes in a way of its own.
#define ASSAY_RUN_COLUMNS(modes, spec)                                                                      \
  "SELECT r.id, r.public_id, r.status, r.environment, r.items, r.models, r.evaluators, r.trials, " spec     \
  ", r.detail, r.metrics, r.error, r.shards, r.shards_done, r.created_at, r.started_at, r.completed_at, "   \
  "CASE WHEN r.status >= 3 THEN r.outcomes ELSE (SELECT CAST(sum(outcomes) AS BIGINT) FROM shards s WHERE " \
  "s.run = r.id) END, "                                                                                     \
  "CASE WHEN r.status >= 3 THEN r.errors ELSE (SELECT CAST(sum(errors) AS BIGINT) FROM shards s WHERE "     \
  "s.run = r.id) END, "                                                                                     \
  "(SELECT " modes                                                                                          \
  " FROM run_sandboxes b WHERE b.run = r.id), r.priority, r.paused, r.required, "                           \
  "r.source_run, r.project, r.container, r.shards_aside, r.retries, r.spend_limit FROM runs r "
#define ASSAY_SQLITE_RUN ASSAY_RUN_COLUMNS("group_concat(mode)", "r.spec")
#define ASSAY_POSTGRES_RUN ASSAY_RUN_COLUMNS("string_agg(mode, ',')", "r.spec")
#define ASSAY_SQLITE_LISTED ASSAY_RUN_COLUMNS("group_concat(mode)", "''")
#define ASSAY_POSTGRES_LISTED ASSAY_RUN_COLUMNS("string_agg(mode, ',')", "''")

// Of runs (all of it is in the index runs_listed) and of run_totals.
#define ASSAY_WANTED(seen)                                                                    \
  "project = ?1 AND (?2 IS NULL OR container = ?2) AND (?3 IS NULL OR status BETWEEN ?3 AND " \
  "?4) AND (?5 = '' OR container " seen ")"
#define ASSAY_SQLITE_WANTED ASSAY_WANTED("IN " ASSAY_SQLITE_LIST("?5"))
#define ASSAY_POSTGRES_WANTED ASSAY_WANTED("= ANY(string_to_array(?5, ',')::bigint[])")
#define ASSAY_TOTAL "SELECT CAST(sum(n) AS BIGINT) FROM run_totals WHERE "
// The second limit is for a planner that goes through all runs because it thinks there are few.
#define ASSAY_PAGE " AND gone = 0 ORDER BY id DESC LIMIT ?6 OFFSET ?7) ORDER BY r.id DESC LIMIT ?6"

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  std::ranges::sort(parts);
  return parts;
}

Run run_from(const Rows& row) {
  Run run;
  run.row = row.integer(0);
  run.id = row.text(1);
  run.status = static_cast<RunStatus>(row.number(2));
  run.environment = row.text(3);
  run.items = row.integer(4);
  run.models = row.integer(5);
  run.evaluators = row.integer(6);
  run.trials = row.integer(7);
  run.spec = row.text(8);
  run.detail = row.text(9);
  run.metrics = row.text(10);
  run.error = row.text(11);
  run.shards = row.integer(12);
  run.shards_done = row.integer(13);
  run.created_at = row.integer(14);
  run.started_at = row.integer(15);
  run.completed_at = row.integer(16);
  run.outcomes = row.integer(17);
  run.errors = row.integer(18);
  run.sandboxes = split_commas(row.view(19));
  run.priority = row.integer(20);
  run.paused = row.integer(21) != 0;
  if (const auto required = parse_json(row.view(22)))
    run.required = required->get<std::vector<std::string>>();
  run.source_run = row.text(23);
  run.project = row.integer(24);
  run.container = row.integer(25);
  run.shards_aside = row.integer(26);
  run.retries = row.integer(27);
  if (!row.null(28)) run.spend_limit = row.integer(28);
  return run;
}

/// It stays until the transaction ends.
bool is_there(Database& db, const NewRun::Source& source) {
  const auto find = [&](const char* sqlite, const char* postgres) {
    return db.integer(db.either(sqlite, postgres), source.row).has_value();
  };
  switch (source.kind) {
    case SourceKind::dataset:
      return find("SELECT 1 FROM datasets WHERE id = ? AND gone = 0 AND ready = 1",
                  "SELECT 1 FROM datasets WHERE id = ? AND gone = 0 AND ready = 1 FOR SHARE");
    case SourceKind::container:
      return find("SELECT 1 FROM containers WHERE id = ? AND gone = 0",
                  "SELECT 1 FROM containers WHERE id = ? AND gone = 0 FOR SHARE");
    case SourceKind::run:
      return find("SELECT 1 FROM runs WHERE id = ? AND gone = 0",
                  "SELECT 1 FROM runs WHERE id = ? AND gone = 0 FOR SHARE");
  }
  return false;
}

/// What the plan rests on was looked up before this transaction; it may have been deleted since. What is
/// there stays until the transaction ends.
Answer<> still_there(Database& db, const NewRun& plan) {
  for (const auto& evaluator : plan.evaluators)
    if (!db.integer(db.either("SELECT 1 FROM evaluators WHERE id = ? AND gone = 0",
                              "SELECT 1 FROM evaluators WHERE id = ? AND gone = 0 FOR SHARE"),
                    evaluator.row))
      return refuse(404, "evaluator_not_found", "an evaluator of the run was deleted meanwhile",
                    "evaluators");
  for (const auto& source : plan.sources) {
    if (is_there(db, source)) continue;
    const char* const code = source.kind == SourceKind::dataset     ? "dataset_not_found"
                             : source.kind == SourceKind::container ? "container_not_found"
                                                                    : "run_not_found";
    return refuse(404, code, "a source of the run was deleted meanwhile");
  }
  return {};
}

void insert_shards(Database& db, int64_t run, const NewRun& plan) {
  db.run(
      db.either(
          "WITH RECURSIVE shard(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM shard WHERE (i + 1) * ?2 < ?3) "
          "INSERT INTO shards(run, idx, lo, hi) SELECT ?1, i, i * ?2, min((i + 1) * ?2, ?3) FROM shard",
          "INSERT INTO shards(run, idx, lo, hi) SELECT ?1, i, i * ?2, least((i + 1) * ?2, ?3) "
          "FROM generate_series(0, (?3 - 1) / ?2) AS shard(i)"),
      run, plan.shard_size, plan.run.items);
  const auto rows = [&](int64_t shard, int side, const std::vector<int64_t>& all) {
    const auto from = static_cast<size_t>(shard * plan.shard_size);
    const auto part =
        std::span(all).subspan(from, std::min(all.size() - from, static_cast<size_t>(plan.shard_size)));
    db.run("INSERT INTO shard_rows(run, idx, side, rows) VALUES(?, ?, ?, ?)", run, shard, side,
           Blob{encode_rows(part)});
  };
  for (int64_t shard = 0; shard * plan.shard_size < plan.run.items; ++shard) {
    if (!plan.sample_rows.empty()) rows(shard, 0, plan.sample_rows);
    if (!plan.ground_truth_rows.empty()) rows(shard, 1, plan.ground_truth_rows);
  }
}

/// A run can only be worked on while its rows are there.
Answer<> sources_there(Database& db, int64_t run) {
  // They stay until the transaction ends.
  for (const char* const sources : {"SELECT id FROM datasets WHERE id IN (SELECT source FROM run_sources "
                                    "WHERE run = ? AND kind = 0) FOR SHARE",
                                    "SELECT id FROM containers WHERE id IN (SELECT source FROM run_sources "
                                    "WHERE run = ? AND kind = 1) FOR SHARE",
                                    "SELECT id FROM runs WHERE id IN (SELECT source FROM run_sources "
                                    "WHERE run = ? AND kind = 2) FOR SHARE"})
    if (db.dialect() == Database::Dialect::postgres) db.integer(sources, run);
  const auto gone = db.integer(
      "SELECT 1 FROM run_sources s LEFT JOIN datasets d ON s.kind = 0 AND d.id = s.source AND d.gone = 0 "
      "LEFT JOIN containers c ON s.kind = 1 AND c.id = s.source AND c.gone = 0 "
      "LEFT JOIN runs t ON s.kind = 2 AND t.id = s.source AND t.gone = 0 "
      "WHERE s.run = ? AND d.id IS NULL AND c.id IS NULL AND t.id IS NULL LIMIT 1",
      run);
  if (!gone) return {};
  return refuse(409, "source_deleted", "a dataset, container or run that this run reads was deleted");
}

void count_run(Database& db, int64_t run) {
  db.run(
      "UPDATE runs SET outcomes = (SELECT coalesce(sum(s.outcomes), 0) FROM shards s WHERE s.run = runs.id), "
      "errors = (SELECT coalesce(sum(s.errors), 0) FROM shards s WHERE s.run = runs.id) WHERE id = ?",
      run);
}

std::unexpected<Problem> run_finished(const Run& run) {
  return refuse(409, "run_finished", "the run is " + std::string(to_string(run.status)) + " already");
}

std::unexpected<Problem> run_not_finished() {
  return refuse(409, "run_not_finished", "the run has not ended yet; wait for it or cancel it first");
}

/// Found, and locked until the transaction ends.
Answer<Run> find_and_lock(Database& db, const Access& access, const std::string& id) {
  ASSAY_TRY(const auto found, find_run(db, access, id));
  lock_run(db, found.row);
  return find_run(db, access, id);
}

}  // namespace

Answer<Run> find_run(Database& db, const Access& access, const std::string& id) {
  auto row = db.query(
      db.either(ASSAY_SQLITE_RUN "WHERE r.public_id = ?1 AND r.gone = 0 AND (?2 = 0 OR r.project = ?2)",
                ASSAY_POSTGRES_RUN "WHERE r.public_id = ?1 AND r.gone = 0 AND (?2 = 0 OR r.project = ?2)"),
      id, access.project);
  if (!row.step() || !access.sees(row.integer(25))) return not_found("run", id, "run");
  return run_from(row);
}

void lock_run(Database& db, int64_t run) {
  db.integer(db.either("SELECT 1 FROM runs WHERE id = ?", "SELECT 1 FROM runs WHERE id = ? FOR UPDATE"), run);
}

void end_shards(Database& db, int64_t run) {
  db.run("UPDATE shards SET state = 3 WHERE run = ? AND state IN (0, 1)", run);
}

bool end_if_complete(Database& db, int64_t run) {
  const auto moved = db.run(
      "UPDATE runs SET status = 2 WHERE id = ? AND status < 2 AND shards_done + shards_aside = shards", run);
  if (moved == 0) return false;
  std::string error;
  {
    auto row = db.query(
        "SELECT (SELECT count(*) FROM shards WHERE run = ?1 AND state = 4), error, lo, hi FROM shards "
        "WHERE run = ?1 AND state = 4 ORDER BY idx LIMIT 1",
        run);
    if (!row.step()) return true;
    error = "shards set aside: " + std::to_string(row.integer(0)) + "; the first, with the items " +
            std::to_string(row.integer(2)) + " to " + std::to_string(row.integer(3) - 1) + ": " + row.text(1);
  }
  db.run("UPDATE runs SET error = ? WHERE id = ?", error, run);
  return true;
}

Task<Answer<>> SqlStore::create_run(int64_t project, NewRun plan, std::optional<Receipt> receipt) {
  return write([=, plan = std::move(plan)](Database& db) -> Answer<> {
    ASSAY_OK(keep_receipt(db, project, receipt));
    ASSAY_OK(still_there(db, plan));
    const Run& run = plan.run;
    const auto row = db.integer(
        "INSERT INTO runs(public_id, project, container, environment, status, items, models, evaluators, "
        "trials, shards, spec, detail, priority, required, source_run, spend_limit, created_at) "
        "VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        run.id, project, plan.container, run.environment, run.items, run.models, run.evaluators, run.trials,
        run.shards, run.spec, run.detail, run.priority, dump_json(Json(run.required)), run.source_run,
        run.spend_limit, run.created_at);
    for (size_t i = 0; i < plan.evaluators.size(); ++i)
      db.run("INSERT INTO run_evaluators(run, idx, evaluator, version) VALUES(?, ?, ?, ?)", row, i,
             plan.evaluators[i].row, plan.evaluators[i].version);
    for (const auto& source : plan.sources)
      db.run("INSERT INTO run_sources(kind, source, run) VALUES(?, ?, ?) ON CONFLICT DO NOTHING", source.kind,
             source.row, row);
    insert_shards(db, *row, plan);
    return {};
  });
}

Task<Answer<Listing<Run>>> SqlStore::runs(Access access, RunFilter filter, Page page) {
  return read([=](Database& db) -> Answer<Listing<Run>> {
    const auto low = filter.status ? std::optional(static_cast<int>(*filter.status)) : std::nullopt;
    const auto high = low == static_cast<int>(RunStatus::running)
                          ? std::optional(static_cast<int>(RunStatus::finalizing))
                          : low;
    const auto seen = comma_list(access.containers);
    Listing<Run> list;
    list.total = db.integer(db.either(ASSAY_TOTAL ASSAY_SQLITE_WANTED, ASSAY_TOTAL ASSAY_POSTGRES_WANTED),
                            access.project, filter.container, low, high, seen)
                     .value_or(0);
    auto row =
        db.query(db.either(ASSAY_SQLITE_LISTED
                           "WHERE r.id IN (SELECT id FROM runs WHERE " ASSAY_SQLITE_WANTED ASSAY_PAGE,
                           ASSAY_POSTGRES_LISTED
                           "WHERE r.id IN (SELECT id FROM runs WHERE " ASSAY_POSTGRES_WANTED ASSAY_PAGE),
                 access.project, filter.container, low, high, seen, page.limit, page.offset);
    while (row.step()) list.data.push_back(run_from(row));
    return list;
  });
}

Task<Answer<Run>> SqlStore::run(Access access, std::string id) {
  return read([=](Database& db) -> Answer<Run> { return find_run(db, access, id); });
}

Task<Answer<RunRows>> SqlStore::run_rows(int64_t run) {
  return read([=](Database& db) -> Answer<RunRows> {
    RunRows rows;
    auto row = db.query("SELECT side, rows FROM shard_rows WHERE run = ? ORDER BY idx", run);
    while (row.step()) {
      auto& side = row.number(0) == 0 ? rows.sample : rows.ground_truth;
      std::ranges::copy(decode_rows(row.view(1)), std::back_inserter(side));
    }
    return rows;
  });
}

Task<Answer<>> SqlStore::cancel_run(Access access, std::string id) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_TRY(const auto run, find_and_lock(db, access, id));
    if (is_terminal(run.status)) return run_finished(run);
    end_shards(db, run.row);
    count_run(db, run.row);
    db.run("UPDATE runs SET status = 5, completed_at = ? WHERE id = ?", now_ms(), run.row);
    return {};
  });
}

Task<Answer<>> SqlStore::pause_run(Access access, std::string id, bool paused) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_TRY(const auto run, find_and_lock(db, access, id));
    if (is_terminal(run.status)) return run_finished(run);
    db.run("UPDATE runs SET paused = ? WHERE id = ?", paused, run.row);
    return {};
  });
}

Task<Answer<int64_t>> SqlStore::retry_run(Access access, std::string id) {
  return write([=](Database& db) -> Answer<int64_t> {
    ASSAY_TRY(const auto run, find_and_lock(db, access, id));
    if (!is_terminal(run.status)) return run_not_finished();
    ASSAY_OK(sources_there(db, run.row));
    // Every shard but one that is whole; epochs count on, so that no lease of before fits one of after.
    const auto again = db.run(
        "UPDATE shards SET state = 0, fruitless = 0, attempts = 0, not_before = 0, error = '', retry_epoch = "
        "epoch, "
        "token = NULL, worker = NULL, claim = NULL, outcomes = outcomes - errors, errors = 0 "
        "WHERE run = ? AND (errors > 0 OR state <> 2)",
        run.row);
    db.run("DELETE FROM outcomes WHERE run = ? AND verdict = 1", run.row);
    const auto missing = run.items * run.per_item() - (run.outcomes - run.errors);
    if (again == 0)
      return refuse(409, "nothing_to_retry", "every outcome of the run is there, and none erred");
    db.run(
        "UPDATE runs SET status = 1, retries = retries + 1, paused = 0, metrics = '', error = '', "
        "completed_at = 0, shards_aside = "
        "0, "
        "shards_done = (SELECT count(*) FROM shards s WHERE s.run = runs.id AND s.state = 2) WHERE id = ?",
        run.row);
    return missing;
  });
}

Task<Answer<Run>> SqlStore::delete_run(Access access, std::string id) {
  return write([=](Database& db) -> Answer<Run> {
    ASSAY_TRY(auto run, find_and_lock(db, access, id));
    if (!is_terminal(run.status)) return run_not_finished();
    if (used_by_open_run(db, SourceKind::run, run.row))
      return refuse(409, "run_in_use", "a run that has not ended reads the texts of this one");
    db.run("UPDATE runs SET gone = 1 WHERE id = ?", run.row);
    return run;
  });
}

Task<Answer<std::vector<Run>>> SqlStore::finalizing_runs() {
  return read([](Database& db) -> Answer<std::vector<Run>> {
    std::vector<Run> found;
    auto row = db.query(db.either(ASSAY_SQLITE_RUN "WHERE r.status = 2 ORDER BY r.id LIMIT 16",
                                  ASSAY_POSTGRES_RUN "WHERE r.status = 2 ORDER BY r.id LIMIT 16"));
    while (row.step()) found.push_back(run_from(row));
    return found;
  });
}

Task<Answer<bool>> SqlStore::finish_run(int64_t run, int64_t retries, std::string metrics) {
  return write([=](Database& db) -> Answer<bool> {
    lock_run(db, run);
    count_run(db, run);
    return db.run(
               "UPDATE runs SET status = CASE WHEN error = '' THEN 3 ELSE 4 END, metrics = ?, completed_at = "
               "? "
               "WHERE id = ? AND status = 2 AND retries = ?",
               metrics, now_ms(), run, retries) == 1;
  });
}

}  // namespace assay::api
