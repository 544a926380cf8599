#include "daemon/llm/reply_cache.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <memory>

#include "core/check.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"

namespace assay::llm {
namespace {

// 1 had no total. A program of that time would not keep it, so that it must not take this file for its own.
constexpr int kVersion = 2;
constexpr int kBusyMilliseconds = 1000;
constexpr int64_t kRowBytes = 128;  // of a row besides its value
// How much is removed at once: whoever waits for a reply waits for this.
constexpr int kEvictedRows = 16;
constexpr int kEvictionsAtStart = 256, kEvictionsAtOnce = 16;

enum Statement { kFind, kTouch, kKeep, kEvict, kTotal };
constexpr std::array<const char*, 5> kSql = {
    "SELECT value FROM reply WHERE key = ?1", "UPDATE reply SET used = ?2 WHERE key = ?1",
    "INSERT INTO reply (key, value, bytes, used) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, bytes = excluded.bytes, used = excluded.used",
    "DELETE FROM reply WHERE key IN (SELECT key FROM reply ORDER BY used LIMIT ?1)",
    "SELECT bytes FROM total"};

constexpr const char* kSchema =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;"
    "PRAGMA wal_autocheckpoint = 4000;"
    "CREATE TABLE IF NOT EXISTS reply (key TEXT PRIMARY KEY, value BLOB NOT NULL, bytes INTEGER NOT NULL,"
    " used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS reply_used ON reply (used, bytes);"
    // The sum of all, for every worker that shares the file: to add them up takes seconds.
    "CREATE TABLE IF NOT EXISTS total (bytes INTEGER NOT NULL);"
    "INSERT INTO total SELECT coalesce(sum(bytes), 0) FROM reply WHERE NOT EXISTS (SELECT 1 FROM total);"
    "CREATE TRIGGER IF NOT EXISTS reply_kept AFTER INSERT ON reply BEGIN"
    " UPDATE total SET bytes = bytes + new.bytes; END;"
    "CREATE TRIGGER IF NOT EXISTS reply_replaced AFTER UPDATE OF bytes ON reply BEGIN"
    " UPDATE total SET bytes = bytes + new.bytes - old.bytes; END;"
    "CREATE TRIGGER IF NOT EXISTS reply_removed AFTER DELETE ON reply BEGIN"
    " UPDATE total SET bytes = bytes - old.bytes; END;";

int64_t now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// One number; -1 when the question failed.
int64_t number(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  int64_t value = -1;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, nullptr) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW)
    value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return value;
}

bool is_damage(int code) {
  return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

void bind(sqlite3_stmt* statement, int at, const std::string& text) {
  sqlite3_bind_text(statement, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

}  // namespace

Result<std::unique_ptr<ReplyCache>> ReplyCache::open(const std::string& folder, int64_t limit_bytes) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(ErrorKind::config, "the folder " + folder + " for replies: " + error.message());
  // What models were asked is nobody else's business.
  if (::chmod(folder.c_str(), 0700) != 0)
    return fail_errno(ErrorKind::config, "the folder " + folder + " for replies must be the worker's own",
                      errno);
  std::unique_ptr<ReplyCache> cache(new ReplyCache(folder + "/replies.db", limit_bytes));
  if (cache->begin() || cache->begin_again()) return cache;
  return fail(ErrorKind::config, "replies cannot be kept in " + cache->path_ + ": " +
                                     (cache->db_ != nullptr ? sqlite3_errmsg(cache->db_) : "out of memory"));
}

ReplyCache::~ReplyCache() {
  close();
}

void ReplyCache::close() {
  for (auto*& statement : statements_) sqlite3_finalize(std::exchange(statement, nullptr));
  sqlite3_close(std::exchange(db_, nullptr));
}

/// Another worker that has the file goes on with what it has, and begins again when it meets the damage.
bool ReplyCache::begin_again() {
  log::warn("the replies kept are not readable and begun again", {{"file", path_}});
  close();
  std::error_code error;
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + suffix, error);
  return begin();
}

bool ReplyCache::begin() {
  close();
  // SQLite makes its other files with the mode of this one.
  const auto file = open_cloexec(path_, O_RDWR | O_CREAT, 0600);
  if (!file || ::fchmod(file->get(), 0600) != 0) return false;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path_.c_str(), &db_, kFlags, nullptr) != SQLITE_OK) return false;
  sqlite3_busy_timeout(db_, kBusyMilliseconds);
  const int64_t version = number(db_, "PRAGMA user_version");
  if (version < 0 || version > kVersion) return false;
  if (!run(kSchema) || !run(("PRAGMA user_version = " + std::to_string(kVersion)).c_str())) return false;
  // Cheap damage is found here; other damage when it is met.
  if (number(db_, "SELECT count(*) FROM (SELECT value FROM reply ORDER BY used LIMIT 1)") < 0) return false;
  make_room(0, kEvictionsAtStart);
  return true;
}

bool ReplyCache::run(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

bool ReplyCache::is_together() const {
  return db_ != nullptr && sqlite3_get_autocommit(db_) == 0;
}

void ReplyCache::count() {
  sqlite3_stmt* total = statement(kTotal);
  if (total == nullptr) return;
  if (sqlite3_step(total) == SQLITE_ROW) bytes_ = sqlite3_column_int64(total, 0);
  sqlite3_reset(total);
}

/// What a statement came to; a damaged file is begun again.
bool ReplyCache::is_sound(int code, const char* what) {
  if (code == SQLITE_DONE || code == SQLITE_ROW) return true;
  if (is_damage(code) && begin_again()) return false;
  warn(what);
  return false;
}

void ReplyCache::warn(const char* what) {
  if (std::exchange(warned_, true)) return;
  log::warn(what, {{"file", path_}, {"why", sqlite3_errmsg(db_)}});
}

sqlite3_stmt* ReplyCache::statement(int which) {
  sqlite3_stmt*& prepared = statements_[which];
  if (prepared == nullptr) sqlite3_prepare_v2(db_, kSql.at(which), -1, &prepared, nullptr);
  if (prepared != nullptr) {
    sqlite3_reset(prepared);
    sqlite3_clear_bindings(prepared);
  }
  return prepared;
}

std::optional<std::string> ReplyCache::find(const std::string& key) {
  sqlite3_stmt* find = statement(kFind);
  if (find == nullptr) {
    is_sound(sqlite3_errcode(db_), "replies kept cannot be read");
    return std::nullopt;
  }
  bind(find, 1, key);
  std::optional<std::string> value;
  const int code = sqlite3_step(find);
  if (code == SQLITE_ROW)
    value.emplace(static_cast<const char*>(sqlite3_column_blob(find, 0)),
                  static_cast<size_t>(sqlite3_column_bytes(find, 0)));
  sqlite3_reset(find);
  if (!is_sound(code, "replies kept cannot be read") || !value) return std::nullopt;
  if (sqlite3_stmt* touch = statement(kTouch)) {
    bind(touch, 1, key);
    sqlite3_bind_int64(touch, 2, now());
    const int touched = sqlite3_step(touch);
    sqlite3_reset(touch);
    if (is_damage(touched)) begin_again();
  }
  return value;
}

void ReplyCache::keep(const std::string& key, const std::string& value) {
  const auto bytes = static_cast<int64_t>(key.size() + value.size()) + kRowBytes;
  if (bytes > limit_bytes_ / 8 || !make_room(bytes, kEvictionsAtOnce)) return;
  sqlite3_stmt* keep = statement(kKeep);
  int code = sqlite3_errcode(db_);
  if (keep != nullptr) {
    bind(keep, 1, key);
    sqlite3_bind_blob(keep, 2, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
    sqlite3_bind_int64(keep, 3, bytes);
    sqlite3_bind_int64(keep, 4, now());
    code = sqlite3_step(keep);
    sqlite3_reset(keep);
  }
  if (is_sound(code, "a reply could not be kept")) count();
}

/// Whether there is room for `bytes`, after at most so many evictions: of small entries a large one needs
/// more than are removed at once, and is not kept.
bool ReplyCache::make_room(int64_t bytes, int evictions) {
  count();  // others may have kept some
  for (; bytes_ + bytes > limit_bytes_ && evictions > 0; --evictions) {
    sqlite3_stmt* evict = statement(kEvict);
    int code = sqlite3_errcode(db_);
    if (evict != nullptr) {
      sqlite3_bind_int(evict, 1, kEvictedRows);
      code = sqlite3_step(evict);
      sqlite3_reset(evict);
    }
    if (!is_sound(code, "room could not be made for replies") || sqlite3_changes(db_) == 0) break;
    count();
  }
  return bytes_ + bytes <= limit_bytes_;
}

std::string cache_key(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const auto part : parts) text += std::to_string(part.size()) + ":" + std::string(part);
  std::array<unsigned char, 32> digest{};
  ASSAY_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1,
              "SHA-256 failed");
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string key;
  for (const unsigned char byte : digest) {
    key += kDigits[byte >> 4];
    key += kDigits[byte & 15];
  }
  return key;
}

}  // namespace assay::llm
