#include "api/store/sqlite_schema.hpp"

namespace assay::api {
namespace {

// Times are Unix milliseconds, but for the lease columns, which hold a steady clock's: they mean something
// only to the process that wrote them, and are set anew when a store is opened.
//
// AUTOINCREMENT: caches and other tables hold these numbers, so that of a deleted row must never name
// another. gone: 1 for what was deleted and is being cleared away in small steps; uploads that are not
// finished are `ready` 0.
constexpr const char* kFirst = R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE projects(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL) STRICT;
CREATE TABLE keys(
  sha256 TEXT PRIMARY KEY, project INTEGER NOT NULL, name TEXT NOT NULL, scopes INTEGER NOT NULL,
  created_at INTEGER NOT NULL, revoked_at INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE receipts(
  project INTEGER NOT NULL, key TEXT NOT NULL, request_sha256 TEXT NOT NULL, response TEXT NOT NULL,
  created_at INTEGER NOT NULL, PRIMARY KEY(project, key)) STRICT;
CREATE INDEX receipts_age ON receipts(created_at);

CREATE TABLE containers(
  id INTEGER PRIMARY KEY AUTOINCREMENT, public_id TEXT NOT NULL UNIQUE, project INTEGER NOT NULL, label TEXT NOT NULL,
  metadata TEXT NOT NULL, logs INTEGER NOT NULL DEFAULT 0, last_log_at INTEGER NOT NULL DEFAULT 0,
  gone INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX containers_label ON containers(project, label) WHERE gone = 0;
CREATE TABLE logs(
  container INTEGER NOT NULL, seq INTEGER NOT NULL, created_at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX logs_seq ON logs(container, seq);
CREATE INDEX logs_time ON logs(container, created_at);

CREATE TABLE datasets(
  id INTEGER PRIMARY KEY AUTOINCREMENT, public_id TEXT UNIQUE, project INTEGER NOT NULL, name TEXT NOT NULL, rows INTEGER NOT NULL,
  bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, columns TEXT NOT NULL, metadata TEXT NOT NULL,
  ready INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX datasets_name ON datasets(project, name) WHERE ready = 1 AND gone = 0;
CREATE TABLE chunks(
  dataset INTEGER NOT NULL, first INTEGER NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL,
  data BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX chunks_first ON chunks(dataset, first);

CREATE TABLE evaluators(
  id INTEGER PRIMARY KEY AUTOINCREMENT, public_id TEXT NOT NULL UNIQUE, project INTEGER NOT NULL, name TEXT NOT NULL,
  version INTEGER NOT NULL, spec TEXT NOT NULL, gone INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL) STRICT;
CREATE UNIQUE INDEX evaluators_name ON evaluators(project, name) WHERE gone = 0;
CREATE TABLE evaluator_versions(
  evaluator INTEGER NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL,
  created_at INTEGER NOT NULL, PRIMARY KEY(evaluator, version)) STRICT;

CREATE TABLE runs(
  id INTEGER PRIMARY KEY AUTOINCREMENT, public_id TEXT NOT NULL UNIQUE, project INTEGER NOT NULL, container INTEGER NOT NULL,
  environment TEXT NOT NULL, status INTEGER NOT NULL, items INTEGER NOT NULL, models INTEGER NOT NULL,
  evaluators INTEGER NOT NULL, trials INTEGER NOT NULL, shards INTEGER NOT NULL, shards_done INTEGER NOT NULL DEFAULT 0,
  spec TEXT NOT NULL, detail TEXT NOT NULL, metrics TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL, started_at INTEGER NOT NULL DEFAULT 0, completed_at INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX runs_project ON runs(project, id);
CREATE INDEX runs_open ON runs(project) WHERE status < 3;
CREATE INDEX runs_finalizing ON runs(id) WHERE status = 2;
CREATE TABLE run_evaluators(
  run INTEGER NOT NULL, idx INTEGER NOT NULL, evaluator INTEGER NOT NULL, version INTEGER NOT NULL,
  PRIMARY KEY(run, idx)) STRICT, WITHOUT ROWID;
CREATE INDEX run_evaluators_use ON run_evaluators(evaluator);
CREATE TABLE run_sources(
  kind INTEGER NOT NULL, source INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY(kind, source, run)) STRICT, WITHOUT ROWID;
CREATE TABLE run_sandboxes(run INTEGER NOT NULL, mode TEXT NOT NULL, PRIMARY KEY(run, mode)) STRICT, WITHOUT ROWID;

-- state: 0 queued, 1 leased, 2 done, 3 ended with its run
CREATE TABLE shards(
  run INTEGER NOT NULL, idx INTEGER NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL DEFAULT 0, token TEXT, worker INTEGER, claim TEXT, accepted INTEGER NOT NULL DEFAULT 0,
  granted_at INTEGER NOT NULL DEFAULT 0, lease_until INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, fruitless INTEGER NOT NULL DEFAULT 0,
  outcomes INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(run, idx)) STRICT, WITHOUT ROWID;
CREATE INDEX shards_queued ON shards(run, not_before, idx) WHERE state = 0;
CREATE INDEX shards_waiting ON shards(not_before) WHERE state = 0 AND not_before > 0;
CREATE INDEX shards_leased ON shards(run) WHERE state = 1;
CREATE INDEX shards_held ON shards(worker) WHERE state = 1;
-- side: 0 sample, 1 ground truth. Apart from the shard, because that row is rewritten with every append.
CREATE TABLE shard_rows(
  run INTEGER NOT NULL, idx INTEGER NOT NULL, side INTEGER NOT NULL, rows BLOB NOT NULL,
  PRIMARY KEY(run, idx, side)) STRICT;

CREATE TABLE workers(
  id INTEGER PRIMARY KEY AUTOINCREMENT, public_id TEXT NOT NULL UNIQUE, project INTEGER NOT NULL, name TEXT NOT NULL,
  boot TEXT NOT NULL, version TEXT NOT NULL, sandbox TEXT NOT NULL, environments TEXT NOT NULL, slots INTEGER NOT NULL,
  seen_at INTEGER NOT NULL, UNIQUE(project, name)) STRICT;
CREATE TABLE worker_boots(
  worker INTEGER NOT NULL, boot TEXT NOT NULL, PRIMARY KEY(worker, boot)) STRICT, WITHOUT ROWID;

CREATE TABLE outcomes(
  run INTEGER NOT NULL, item INTEGER NOT NULL, model INTEGER NOT NULL, evaluator INTEGER NOT NULL,
  trial INTEGER NOT NULL, verdict INTEGER NOT NULL, kind TEXT, score REAL, passed INTEGER, wall_us INTEGER NOT NULL,
  payload TEXT NOT NULL, PRIMARY KEY(run, item, model, evaluator, trial)) STRICT, WITHOUT ROWID;
)sql";

// Access by container, directed dispatch, the life of runs, and who did what.
constexpr const char* kSecond = R"sql(
ALTER TABLE keys ADD COLUMN containers TEXT NOT NULL DEFAULT '';

ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN required TEXT NOT NULL DEFAULT '[]';
ALTER TABLE runs ADD COLUMN source_run TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN shards_aside INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN outcomes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN errors INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET outcomes = (SELECT coalesce(sum(s.outcomes), 0) FROM shards s WHERE s.run = runs.id),
  errors = (SELECT coalesce(sum(s.errors), 0) FROM shards s WHERE s.run = runs.id) WHERE status >= 3;
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs(project, priority DESC, id) WHERE status < 2;
CREATE INDEX runs_gone ON runs(id) WHERE gone = 1;
CREATE INDEX runs_ended ON runs(completed_at) WHERE status >= 3 AND gone = 0;

-- state: 4 set aside after it failed again and again. retry_epoch: outcomes under an epoch up to it are of before
-- the run was retried.
ALTER TABLE shards ADD COLUMN retry_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shards ADD COLUMN error TEXT NOT NULL DEFAULT '';
CREATE INDEX shards_failing ON shards(run) WHERE state = 0 AND fruitless > 0;
CREATE INDEX shards_aside ON shards(run) WHERE state = 4;

ALTER TABLE workers ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
ALTER TABLE workers ADD COLUMN state TEXT NOT NULL DEFAULT 'run';
ALTER TABLE worker_boots ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE worker_boots SET at = (SELECT seen_at FROM workers w WHERE w.id = worker);

CREATE TABLE pulse(id INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE audit(
  id INTEGER PRIMARY KEY, project INTEGER NOT NULL, at INTEGER NOT NULL, key TEXT NOT NULL, action TEXT NOT NULL,
  object TEXT NOT NULL, request TEXT NOT NULL, status INTEGER NOT NULL) STRICT;
CREATE INDEX audit_project ON audit(project, id);
)sql";

// Lists read nothing but the index and the rows that they show. Totals are kept.
constexpr const char* kThird = R"sql(
-- Counted up by each retry: metrics that were computed of the run before it are not of the run after it.
ALTER TABLE runs ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;

DROP INDEX runs_project;
CREATE INDEX runs_listed ON runs(project, id, container, status) WHERE gone = 0;

CREATE TABLE run_totals(
  project INTEGER NOT NULL, container INTEGER NOT NULL, status INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY(project, container, status)) STRICT, WITHOUT ROWID;
INSERT INTO run_totals SELECT project, container, status, count(*) FROM runs WHERE gone = 0 GROUP BY 1, 2, 3;
CREATE TRIGGER runs_counted AFTER INSERT ON runs WHEN NEW.gone = 0 BEGIN
  INSERT INTO run_totals VALUES(NEW.project, NEW.container, NEW.status, 1)
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER runs_recounted AFTER UPDATE OF status, gone ON runs BEGIN
  UPDATE run_totals SET n = n - 1 WHERE OLD.gone = 0 AND project = OLD.project AND container = OLD.container AND
    status = OLD.status;
  INSERT INTO run_totals SELECT NEW.project, NEW.container, NEW.status, 1 WHERE NEW.gone = 0
    ON CONFLICT DO UPDATE SET n = n + 1;
END;
)sql";

// Leases under which nothing comes any more.
constexpr const char* kFourth = R"sql(
ALTER TABLE shards ADD COLUMN progress_at INTEGER NOT NULL DEFAULT 0;
UPDATE shards SET progress_at = lease_until WHERE state = 1;
)sql";

// What models were asked for an outcome; null: none.
constexpr const char* kFifth = R"sql(
ALTER TABLE outcomes ADD COLUMN calls INTEGER;
ALTER TABLE outcomes ADD COLUMN input_tokens INTEGER;
ALTER TABLE outcomes ADD COLUMN output_tokens INTEGER;
ALTER TABLE outcomes ADD COLUMN nano_dollars INTEGER;
ALTER TABLE outcomes ADD COLUMN unpriced INTEGER;
ALTER TABLE outcomes ADD COLUMN estimated INTEGER;
-- In nano-dollars: what models may cost, and how much of it workers were given to spend.
ALTER TABLE runs ADD COLUMN spend_limit INTEGER;
ALTER TABLE runs ADD COLUMN spend_granted INTEGER NOT NULL DEFAULT 0;
)sql";

// Texts that models gave for a side of the items are outcomes (verdict 3); `generation`: which text an
// outcome is, or is of. run_sources.kind 2: the run whose texts are evaluated again.
constexpr const char* kSixth = R"sql(
ALTER TABLE outcomes ADD COLUMN generation TEXT;
)sql";

}  // namespace

const std::vector<const char*> kSqliteMigrations = {kFirst, kSecond, kThird, kFourth, kFifth, kSixth};

}  // namespace assay::api
