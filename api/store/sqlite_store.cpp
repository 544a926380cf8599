#include "api/store/sqlite_store.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>

#include "api/store/sqlite_impl.hpp"
#include "api/store/sqlite_schema.hpp"
#include "core/check.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

constexpr int kReaders = 2;
constexpr size_t kGroup = 64;  // commands that share a commit
constexpr int64_t kReceiptLife = int64_t{24} * 3600 * 1000;

int64_t steady_ms() {
  const auto now = Clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

SqliteOptions with_defaults(SqliteOptions options) {
  if (!options.clock) options.clock = steady_ms;
  return options;
}

// Page caches are what the process's memory is made of when a store is large. The writer's has to hold the
// inner pages of the indexes it inserts into; readers scan, and the system's own cache serves them as well.
// No memory map: its pages would count once more for every connection.
constexpr int kWriterCacheKiB = 32 << 10;
constexpr int kReaderCacheKiB = 4 << 10;

void set_up_connection(Database& db, int cache_kib) {
  const std::string cache = "PRAGMA cache_size=-" + std::to_string(cache_kib);
  db.script(cache.c_str());
  db.script(
      "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF;"
      "PRAGMA busy_timeout=5000;");
}

}  // namespace

SqliteStore::SqliteStore(SqliteOptions options)
    : options_(with_defaults(std::move(options))), writes_(options_.queue), reads_(options_.queue) {}

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
  return fail(ErrorKind::config,
              "another process holds the store " + path_ + "; stop it, or use another --store");
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
  if (!options_.beside_server) {
    ASSAY_OK(lock_file());
  }
  // Made here and closed before SQLite opens it, so that nobody else can read it from the start.
  {
    ASSAY_TRY(const auto made, open_cloexec(path_, O_RDWR | O_CREAT, 0600));
  }
  try {
    writer_ = std::make_unique<Database>(path_, SQLITE_OPEN_READWRITE);
    prepare_schema(*writer_);
    if (!options_.beside_server) recover(*writer_);
    for (int i = 0; i < kReaders; ++i) {
      readers_.push_back(
          std::make_unique<Database>(path_, SQLITE_OPEN_READWRITE));  // WAL readers write its index
      set_up_connection(*readers_.back(), kReaderCacheKiB);
      readers_.back()->script("PRAGMA query_only=ON");
    }
  } catch (const SqliteError& error) {
    return fail(ErrorKind::config, "cannot open the store " + path_ + ": " + error.what());
  }
  threads_.emplace_back([this] { serve_writes(); });
  for (auto& reader : readers_) threads_.emplace_back([this, &reader] { serve_reads(*reader); });
  return {};
}

void SqliteStore::prepare_schema(Database& db) {
  set_up_connection(db, kWriterCacheKiB);
  // A temporary store dies with its process, so nothing of it needs to reach the disk.
  db.script(temporary_directory_.empty() ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                                         : "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;");
  db.script("PRAGMA wal_autocheckpoint=8000; PRAGMA journal_size_limit=67108864;");
  const auto version = db.integer("PRAGMA user_version").value_or(0);
  if (version > kSchemaVersion)
    throw SqliteError(SQLITE_ERROR, "it was written by a newer version of assay (schema " +
                                        std::to_string(version) + ", this one knows " +
                                        std::to_string(kSchemaVersion) + ")");
  if (version == 0) {
    db.script("BEGIN IMMEDIATE");
    db.script(kSchema);
    db.run("INSERT INTO meta(key, value) VALUES('incarnation', ?)", make_id("inc_"));
    db.script(("PRAGMA user_version=" + std::to_string(kSchemaVersion)).c_str());
    db.script("COMMIT");
  }
  auto row = db.query("SELECT value FROM meta WHERE key = 'incarnation'");
  if (!row.step()) throw SqliteError(SQLITE_CORRUPT, "it has tables, but no incarnation");
  incarnation_ = row.text(0);
}

void SqliteStore::recover(Database& db) {
  db.script("BEGIN IMMEDIATE");
  // Workers get a whole TTL from now to be heard: they could not reach us while we were away.
  const int64_t now = options_.clock();
  db.run("UPDATE shards SET granted_at = ?, lease_until = ? WHERE state = 1", now,
         now + options_.leases.ttl.count());
  db.run("UPDATE shards SET not_before = 0 WHERE state = 0 AND not_before > 0");
  db.run("UPDATE datasets SET gone = 1 WHERE ready = 0");
  db.script("COMMIT");
}

void SqliteStore::serve_writes() {
  for (;;) {
    auto group = writes_.pop(kGroup);
    if (group.empty()) return;
    commit_group(group);
  }
}

void SqliteStore::commit_group(std::vector<std::unique_ptr<Command>>& group) {
  std::optional<Problem> broken;
  try {
    writer_->script("BEGIN IMMEDIATE");
    for (auto& command : group) {
      writer_->run("SAVEPOINT command");
      const bool keep = command->run(*writer_);
      // An error such as a full disk may already have ended the transaction: then nothing of the group was
      // kept.
      if (!writer_->in_transaction()) throw SqliteError(SQLITE_FULL, "the transaction was rolled back");
      if (!keep) writer_->run("ROLLBACK TO command");
      writer_->run("RELEASE command");
    }
    writer_->script("COMMIT");
  } catch (const SqliteError& error) {
    broken = problem_from(error);
    try {
      if (writer_->in_transaction()) writer_->script("ROLLBACK");
    } catch (const SqliteError& again) {
      log::error("the store cannot roll back", {{"error", again.what()}});
    }
  }
  for (auto& command : group) {
    if (broken) command->fail(*broken);
    command->answer();
  }
}

void SqliteStore::serve_reads(Database& db) {
  for (;;) {
    auto commands = reads_.pop(1);
    if (commands.empty()) return;
    // One snapshot a command. COMMIT of a transaction that only reads cannot lose anything.
    bool open = false;
    try {
      db.script("BEGIN");
      open = true;
    } catch (const SqliteError& error) {
      commands.front()->fail(problem_from(error));
    }
    if (open) {
      commands.front()->run(db);
      try {
        db.script("COMMIT");
      } catch (const SqliteError& error) {
        log::warn("a reader could not end its transaction", {{"error", error.what()}});
      }
    }
    commands.front()->answer();
  }
}

Task<Answer<>> SqliteStore::ping() {
  return read([](Database& db) -> Answer<> {
    db.integer("SELECT 1");
    return {};
  });
}

Task<Answer<int64_t>> SqliteStore::tick() {
  return write([this](Database& db) -> Answer<int64_t> {
    db.run("DELETE FROM receipts WHERE created_at < ?", now_ms() - kReceiptLife);
    // In small steps, so that clearing away gigabytes never keeps a claim waiting.
    if (const auto dataset = db.integer("SELECT id FROM datasets WHERE gone = 1 LIMIT 1")) {
      db.run("DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE dataset = ? LIMIT 64)",
             *dataset);
      if (db.changes() == 0) db.run("DELETE FROM datasets WHERE id = ?", *dataset);
    }
    if (const auto container = db.integer("SELECT id FROM containers WHERE gone = 1 LIMIT 1")) {
      db.run("DELETE FROM logs WHERE rowid IN (SELECT rowid FROM logs WHERE container = ? LIMIT 1000)",
             *container);
      if (db.changes() == 0) db.run("DELETE FROM containers WHERE id = ?", *container);
    }
    const int64_t now = options_.clock();
    const auto waited = db.run(
        "UPDATE shards SET not_before = 0 WHERE state = 0 AND not_before > 0 AND not_before <= ?", now);
    return waited + expire_leases(db, options_.leases, now);
  });
}

Task<Answer<>> SqliteStore::create_key(std::string project, std::string name, unsigned scopes,
                                       std::string sha256) {
  return write([=](Database& db) -> Answer<> {
    db.run("INSERT INTO projects(name, created_at) VALUES(?, ?) ON CONFLICT DO NOTHING", project, now_ms());
    db.run(
        "INSERT INTO keys(sha256, project, name, scopes, created_at) "
        "VALUES(?, (SELECT id FROM projects WHERE name = ?), ?, ?, ?)",
        sha256, project, name, static_cast<int64_t>(scopes), now_ms());
    return {};
  });
}

Task<Answer<>> SqliteStore::revoke_key(std::string sha256) {
  return write([=](Database& db) -> Answer<> {
    db.run("UPDATE keys SET revoked_at = ? WHERE sha256 = ? AND revoked_at IS NULL", now_ms(), sha256);
    return {};
  });
}

Task<Answer<std::optional<Principal>>> SqliteStore::principal(std::string key_sha256) {
  return read([=](Database& db) -> Answer<std::optional<Principal>> {
    auto row =
        db.query("SELECT project, scopes FROM keys WHERE sha256 = ? AND revoked_at IS NULL", key_sha256);
    if (!row.step()) return std::nullopt;
    return Principal{row.integer(0), static_cast<unsigned>(row.integer(1))};
  });
}

Task<Answer<std::optional<Receipt>>> SqliteStore::receipt(int64_t project, std::string key) {
  return read([=](Database& db) -> Answer<std::optional<Receipt>> {
    auto row = db.query(
        "SELECT request_sha256, response FROM receipts WHERE project = ? AND key = ? AND created_at >= ?",
        project, key, now_ms() - kReceiptLife);
    if (!row.step()) return std::nullopt;
    return Receipt{key, row.text(0), row.text(1)};
  });
}

Answer<> keep_receipt(Database& db, int64_t project, const std::optional<Receipt>& receipt) {
  if (!receipt) return {};
  db.run("DELETE FROM receipts WHERE project = ? AND key = ? AND created_at < ?", project, receipt->key,
         now_ms() - kReceiptLife);
  const auto kept = db.run(
      "INSERT INTO receipts(project, key, request_sha256, response, created_at) VALUES(?, ?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING",
      project, receipt->key, receipt->request_sha256, receipt->response, now_ms());
  if (kept == 1) return {};
  return refuse(409, "idempotency_key_in_use",
                "another request with this Idempotency-Key was done meanwhile");
}

Result<std::unique_ptr<Store>> open_sqlite_store(SqliteOptions options) {
  auto store = std::make_unique<SqliteStore>(std::move(options));
  ASSAY_OK(store->open());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace assay::api
