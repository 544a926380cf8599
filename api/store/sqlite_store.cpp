// One writer thread takes commands from its queue and commits them in groups: each in its own savepoint, all
// with one fsync, and nobody is answered before it. So claims, heartbeats and appends of many workers cost
// one flush. Two reader threads with connections of their own see the last commit (WAL) and never wait for
// the writer.
#include "api/store/sqlite_store.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "api/store/sql_store.hpp"
#include "api/store/sqlite_database.hpp"
#include "api/store/sqlite_schema.hpp"
#include "core/check.hpp"
#include "core/fd.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

constexpr int kReaders = 2;
constexpr size_t kGroup = 64;  // commands that share a commit

int64_t steady_ms() {
  const auto now = Clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// Page caches are what the process's memory is made of when a store is large. The writer's has to hold the
// inner pages of the indexes it inserts into; readers scan, and the system's own cache serves them as well.
// No memory map: its pages would count once more for every connection.
constexpr int kWriterCacheKiB = 32 << 10;
constexpr int kReaderCacheKiB = 4 << 10;

void set_up_connection(SqliteDatabase& db, int cache_kib) {
  const std::string cache = "PRAGMA cache_size=-" + std::to_string(cache_kib);
  db.script(cache.c_str());
  db.script(
      "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;"
      "PRAGMA busy_timeout=5000;");
}

class SqliteStore final : public SqlStore {
 public:
  explicit SqliteStore(SqliteOptions options)
      : SqlStore(options.leases, options.queue), options_(std::move(options)) {
    if (!options_.clock) options_.clock = steady_ms;
  }
  ~SqliteStore() override;
  Result<void> open();
  /// A file has one server.
  void announce(Change) override {}
  void listen(std::function<void(Change)>) override {}

 private:
  InsertCounts insert_outcomes(Database& any, int64_t run, const OutcomeBatch& batch,
                               std::span<const OutcomeBatch::Row> rows) const override;
  Result<void> lock_file();
  void prepare_schema(SqliteDatabase& db);
  void serve_writes();
  void serve_reads(SqliteDatabase& db);
  void run_group(std::vector<std::unique_ptr<Command>>& group);
  void commit_group(std::vector<std::unique_ptr<Command>>& group);

  SqliteOptions options_;
  std::string path_;
  std::string temporary_directory_;  // to be removed at the end; empty: none
  UniqueFd lock_;
  std::unique_ptr<SqliteDatabase> writer_;
  std::vector<std::unique_ptr<SqliteDatabase>> readers_;
  std::vector<std::jthread> threads_;
};

SqliteStore::~SqliteStore() {
  writes_.close();
  reads_.close();
  threads_.clear();  // joins: what was queued is still done and answered
  readers_.clear();
  writer_.reset();
  if (temporary_directory_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(temporary_directory_, ignored);
}

Result<void> SqliteStore::lock_file() {
  // A file beside the database: SQLite's own locks on it belong to the process, and closing any descriptor
  // drops them.
  ASSAY_TRY(lock_, open_cloexec(path_ + ".lock", O_RDWR | O_CREAT, 0600));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return {};
  if (errno != EWOULDBLOCK) return fail_errno(ErrorKind::config, "cannot lock " + path_, errno);
  return fail(ErrorKind::config, "another process holds the store " + path_ +
                                     "; stop it, use another --store, or serve several from PostgreSQL");
}

Result<void> SqliteStore::open() {
  path_ = options_.path;
  if (path_ == ":memory:") {
    auto pattern = (std::filesystem::temp_directory_path() / "assay-store-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      return fail_errno(ErrorKind::config, "cannot make the directory " + pattern, errno);
    temporary_directory_ = pattern;
    path_ = pattern + "/store.db";
  }
  if (options_.beside_server) {
    if (!std::filesystem::exists(path_))
      return fail(ErrorKind::config, "there is no store " + path_ + (path_.starts_with('/') ? "" : " here") +
                                         ": name it with --store, or start `assay serve` once");
  } else {
    ASSAY_OK(lock_file());
    // Made here and closed before SQLite opens it, so that nobody else can read it from the start.
    ASSAY_TRY(const auto made, open_cloexec(path_, O_RDWR | O_CREAT, 0600));
  }
  try {
    writer_ = std::make_unique<SqliteDatabase>(path_, SQLITE_OPEN_READWRITE, options_.clock);
    prepare_schema(*writer_);
    // What a server that is gone was uploading will never be finished.
    if (!options_.beside_server) writer_->run("UPDATE datasets SET gone = 1 WHERE ready = 0");
    for (int i = 0; i < kReaders; ++i) {
      // For writing: readers of a WAL write its index.
      readers_.push_back(std::make_unique<SqliteDatabase>(path_, SQLITE_OPEN_READWRITE, options_.clock));
      set_up_connection(*readers_.back(), kReaderCacheKiB);
      readers_.back()->script("PRAGMA query_only=ON");
    }
  } catch (const StoreError& error) {
    return fail(ErrorKind::config, "cannot open the store " + path_ + ": " + error.what());
  }
  threads_.emplace_back([this] { serve_writes(); });
  for (auto& reader : readers_) threads_.emplace_back([this, &reader] { serve_reads(*reader); });
  return {};
}

void SqliteStore::prepare_schema(SqliteDatabase& db) {
  set_up_connection(db, kWriterCacheKiB);
  // Before anything that could be in the way of the server that is making it.
  if (options_.beside_server && db.integer("PRAGMA user_version").value_or(0) == 0)
    throw StoreError(StoreError::Kind::broken, "it is no store of assay's yet; start `assay serve` once");
  // A temporary store dies with its process, so nothing of it needs to reach the disk.
  db.script(temporary_directory_.empty() ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                         : "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;");
  db.script("PRAGMA wal_autocheckpoint=8000; PRAGMA journal_size_limit=67108864;");
  db.script("BEGIN IMMEDIATE");
  const auto known = static_cast<int64_t>(kSqliteMigrations.size());
  const auto version = db.integer("PRAGMA user_version").value_or(0);
  if (version > known)
    throw StoreError(StoreError::Kind::broken, "it was written by a newer version of assay (schema " +
                                                   std::to_string(version) + ", this one knows " +
                                                   std::to_string(known) + ")");
  for (int64_t step = version; step < known; ++step) db.script(kSqliteMigrations[static_cast<size_t>(step)]);
  if (version == 0) db.run("INSERT INTO meta(key, value) VALUES('incarnation', ?)", make_id("inc_"));
  db.script(("PRAGMA user_version=" + std::to_string(known)).c_str());
  db.script("COMMIT");
  auto row = db.query("SELECT value FROM meta WHERE key = 'incarnation'");
  if (!row.step()) throw StoreError(StoreError::Kind::broken, "it has tables, but no incarnation");
  incarnation_ = row.text(0);
}

void SqliteStore::serve_writes() {
  for (;;) {
    auto group = writes_.pop(kGroup);
    if (group.empty()) return;
    commit_group(group);
  }
}

void SqliteStore::run_group(std::vector<std::unique_ptr<Command>>& group) {
  writer_->script("BEGIN IMMEDIATE");
  for (auto& command : group) {
    writer_->run("SAVEPOINT command");
    const auto end = command->run(*writer_);
    // An error such as a full disk may already have ended the transaction: then nothing of the group was
    // kept.
    if (!writer_->in_transaction())
      throw StoreError(StoreError::Kind::passing, "the transaction was rolled back");
    if (end != Command::End::keep) writer_->run("ROLLBACK TO command");
    writer_->run("RELEASE command");
  }
  writer_->script("COMMIT");
}

void SqliteStore::commit_group(std::vector<std::unique_ptr<Command>>& group) {
  std::optional<Problem> broken;
  try {
    run_group(group);
  } catch (const StoreError& error) {
    broken = problem_from(error);
    try {
      if (writer_->in_transaction()) writer_->script("ROLLBACK");
    } catch (const StoreError& again) {
      log::error("the store cannot roll back", {{"error", again.what()}});
    }
  }
  for (auto& command : group) {
    if (broken) command->fail(*broken);
    command->answer();
  }
}

void SqliteStore::serve_reads(SqliteDatabase& db) {
  for (;;) {
    auto commands = reads_.pop(1);
    if (commands.empty()) return;
    // One snapshot a command. COMMIT of a transaction that only reads cannot lose anything.
    bool open = false;
    try {
      db.script("BEGIN");
      open = true;
    } catch (const StoreError& error) {
      commands.front()->fail(problem_from(error));
    }
    if (open) {
      commands.front()->run(db);
      try {
        db.script("COMMIT");
      } catch (const StoreError& error) {
        log::warn("a reader could not end its transaction", {{"error", error.what()}});
      }
    }
    commands.front()->answer();
  }
}

InsertCounts SqliteStore::insert_outcomes(Database& any, int64_t run, const OutcomeBatch& batch,
                                          std::span<const OutcomeBatch::Row> rows) const {
  auto& db = static_cast<SqliteDatabase&>(any);
  InsertCounts counts;
  for (const auto& row : rows) {
    const auto kind = row.verdict == Verdict::errored ? std::optional(row.kind) : std::nullopt;
    const auto score = row.verdict == Verdict::scored ? std::optional(row.score) : std::nullopt;
    const auto generation = row.generation.empty() ? std::nullopt : std::optional(row.generation);
    // Most outcomes are of no model's, and nulls take no room.
    const auto used = [&](int64_t count) {
      return row.models.calls > 0 ? std::optional(count) : std::nullopt;
    };
    const auto inserted = db.run(
        "INSERT INTO outcomes(run, item, model, evaluator, trial, verdict, kind, score, passed, wall_us, "
        "payload, calls, input_tokens, output_tokens, nano_dollars, unpriced, estimated, generation) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        run, row.id.item, row.id.model, row.id.evaluator, row.id.trial, row.verdict, kind, score, row.passed,
        row.wall_us, batch.payload(row), used(row.models.calls), used(row.models.input_tokens),
        used(row.models.output_tokens), used(row.models.nano_dollars), used(row.models.unpriced),
        used(row.models.estimated), generation);
    if (inserted == 0) continue;
    ++counts.inserted;
    if (row.verdict == Verdict::errored) ++counts.errors;
  }
  return counts;
}

}  // namespace

Result<std::unique_ptr<Store>> open_sqlite_store(SqliteOptions options) {
  auto store = std::make_unique<SqliteStore>(std::move(options));
  ASSAY_OK(store->open());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace assay::api
