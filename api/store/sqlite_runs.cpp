// Runs: stored whole with their shards, listed, cancelled, finished.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/store/row_list.hpp"
#include "api/store/sqlite_impl.hpp"
#include "core/check.hpp"
#include "core/id.hpp"
#include "core/json.hpp"

namespace assay::api {
namespace {

#define ASSAY_RUN_COLUMNS                                                                                  \
  "SELECT r.id, r.public_id, r.status, r.environment, r.items, r.models, r.evaluators, r.trials, r.spec, " \
  "r.detail, "                                                                                             \
  "r.metrics, r.error, r.shards, r.shards_done, r.created_at, r.started_at, r.completed_at, "              \
  "(SELECT total(outcomes) FROM shards s WHERE s.run = r.id), (SELECT total(errors) FROM shards s WHERE "  \
  "s.run = r.id), "                                                                                        \
  "(SELECT group_concat(mode) FROM run_sandboxes b WHERE b.run = r.id) FROM runs r "

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

Run run_from(const Statement& row) {
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
  return run;
}

/// What the plan rests on was looked up before this transaction; it may have been deleted since.
Answer<> still_there(Database& db, const NewRun& plan) {
  for (const auto& evaluator : plan.evaluators)
    if (!db.integer("SELECT 1 FROM evaluators WHERE id = ? AND gone = 0", evaluator.row))
      return refuse(404, "evaluator_not_found", "an evaluator of the run was deleted meanwhile",
                    "evaluators");
  for (const auto& source : plan.sources) {
    const bool dataset = source.kind == SourceKind::dataset;
    const auto found =
        dataset ? db.integer("SELECT 1 FROM datasets WHERE id = ? AND gone = 0 AND ready = 1", source.row)
                : db.integer("SELECT 1 FROM containers WHERE id = ? AND gone = 0", source.row);
    if (found) continue;
    return refuse(404, dataset ? "dataset_not_found" : "container_not_found",
                  "a source of the run was deleted meanwhile");
  }
  return {};
}

void insert_shards(Database& db, int64_t run, const NewRun& plan) {
  const auto rows = [&](int64_t shard, int side, const std::vector<int64_t>& all, Range range) {
    if (all.empty()) return;
    const auto part =
        std::span(all).subspan(static_cast<size_t>(range.from), static_cast<size_t>(range.to - range.from));
    db.run("INSERT INTO shard_rows(run, idx, side, rows) VALUES(?, ?, ?, ?)", run, shard, side,
           Blob{encode_rows(part)});
  };
  int64_t shard = 0;
  for (int64_t lo = 0; lo < plan.run.items; lo += plan.shard_size, ++shard) {
    const Range range{lo, std::min(lo + plan.shard_size, plan.run.items)};
    db.run("INSERT INTO shards(run, idx, lo, hi) VALUES(?, ?, ?, ?)", run, shard, range.from, range.to);
    rows(shard, 0, plan.sample_rows, range);
    rows(shard, 1, plan.ground_truth_rows, range);
  }
}

}  // namespace

Answer<Run> find_run(Database& db, int64_t project, const std::string& id) {
  auto row = db.query(ASSAY_RUN_COLUMNS "WHERE r.project = ? AND r.public_id = ?", project, id);
  if (!row.step()) return not_found("run", id, "run");
  return run_from(row);
}

void end_shards(Database& db, int64_t run) {
  db.run("UPDATE shards SET state = 3 WHERE run = ? AND state IN (0, 1)", run);
}

Task<Answer<>> SqliteStore::create_run(int64_t project, NewRun plan, std::optional<Receipt> receipt) {
  return write([=, plan = std::move(plan)](Database& db) -> Answer<> {
    ASSAY_OK(keep_receipt(db, project, receipt));
    ASSAY_OK(still_there(db, plan));
    const Run& run = plan.run;
    db.run(
        "INSERT INTO runs(public_id, project, container, environment, status, items, models, evaluators, "
        "trials, shards, "
        "spec, detail, created_at) VALUES(?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
        run.id, project, plan.container, run.environment, run.items, run.models, run.evaluators, run.trials,
        run.shards, run.spec, run.detail, run.created_at);
    const int64_t row = db.last_row();
    for (size_t i = 0; i < plan.evaluators.size(); ++i)
      db.run("INSERT INTO run_evaluators(run, idx, evaluator, version) VALUES(?, ?, ?, ?)", row, i,
             plan.evaluators[i].row, plan.evaluators[i].version);
    for (const auto& source : plan.sources)
      db.run("INSERT INTO run_sources(kind, source, run) VALUES(?, ?, ?) ON CONFLICT DO NOTHING",
             static_cast<int>(source.kind), source.row, row);
    insert_shards(db, row, plan);
    return {};
  });
}

Task<Answer<Listing<Run>>> SqliteStore::runs(int64_t project, RunFilter filter, Page page) {
  return read([=](Database& db) -> Answer<Listing<Run>> {
    const auto low = filter.status ? std::optional(static_cast<int>(*filter.status)) : std::nullopt;
    const auto high = low == static_cast<int>(RunStatus::running)
                          ? std::optional(static_cast<int>(RunStatus::finalizing))
                          : low;
    Listing<Run> list;
    list.total = db.integer(
                       "SELECT count(*) FROM runs WHERE project = ? AND (?2 IS NULL OR container = ?2) "
                       "AND (?3 IS NULL OR status BETWEEN ?3 AND ?4)",
                       project, filter.container, low, high)
                     .value_or(0);
    auto row =
        db.query(ASSAY_RUN_COLUMNS
                 "WHERE r.project = ?1 AND (?2 IS NULL OR r.container = ?2) "
                 "AND (?3 IS NULL OR r.status BETWEEN ?3 AND ?4) ORDER BY r.id DESC LIMIT ?5 OFFSET ?6",
                 project, filter.container, low, high, page.limit, page.offset);
    while (row.step()) list.data.push_back(run_from(row));
    return list;
  });
}

Task<Answer<Run>> SqliteStore::run(int64_t project, std::string id) {
  return read([=](Database& db) -> Answer<Run> { return find_run(db, project, id); });
}

Task<Answer<>> SqliteStore::cancel_run(int64_t project, std::string id) {
  return write([=](Database& db) -> Answer<> {
    ASSAY_TRY(const auto run, find_run(db, project, id));
    const auto moved =
        db.run("UPDATE runs SET status = 5, completed_at = ? WHERE id = ? AND status < 3", now_ms(), run.row);
    if (moved == 0)
      return refuse(409, "run_finished", "the run is " + std::string(to_string(run.status)) + " already");
    end_shards(db, run.row);
    return {};
  });
}

Task<Answer<std::vector<Run>>> SqliteStore::finalizing_runs() {
  return read([](Database& db) -> Answer<std::vector<Run>> {
    std::vector<Run> found;
    auto row = db.query(ASSAY_RUN_COLUMNS "WHERE r.status = 2 ORDER BY r.id LIMIT 16");
    while (row.step()) found.push_back(run_from(row));
    return found;
  });
}

Task<Answer<bool>> SqliteStore::finish_run(int64_t run, std::string metrics) {
  return write([=](Database& db) -> Answer<bool> {
    return db.run("UPDATE runs SET status = 3, metrics = ?, completed_at = ? WHERE id = ? AND status = 2",
                  metrics, now_ms(), run) == 1;
  });
}

}  // namespace assay::api
