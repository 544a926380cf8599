#include "daemon/llm/reply_cache.hpp"

#include <openssl/evp.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <memory>

#include "core/check.hpp"
#include "core/log.hpp"

namespace assay::llm {
namespace {

constexpr int kVersion = 1;
constexpr int kBusyMilliseconds = 1000;
constexpr int64_t kRowBytes = 128;  // of a row besides its value

enum Statement { kFind, kTouch, kKeep, kEvict };
constexpr std::array<const char*, 4> kSql = {
    "SELECT value FROM reply WHERE key = ?1", "UPDATE reply SET used = ?2 WHERE key = ?1",
    "INSERT OR REPLACE INTO reply (key, value, bytes, used) VALUES (?1, ?2, ?3, ?4)",
    "DELETE FROM reply WHERE key IN (SELECT key FROM reply ORDER BY used LIMIT 64)"};

constexpr const char* kSchema =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 16777216;"
    "PRAGMA wal_autocheckpoint = 4000;"
    "CREATE TABLE IF NOT EXISTS reply (key TEXT PRIMARY KEY, value BLOB NOT NULL, bytes INTEGER NOT NULL,"
    " used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS reply_used ON reply (used, bytes);";

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

void bind(sqlite3_stmt* statement, int at, const std::string& text) {
  sqlite3_bind_text(statement, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

}  // namespace

Result<std::unique_ptr<ReplyCache>> ReplyCache::open(const std::string& folder, int64_t limit_bytes) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fail(ErrorKind::config, "the folder " + folder + " for replies: " + error.message());
  ::chmod(folder.c_str(), 0700);  // what models were asked is nobody else's business
  std::unique_ptr<ReplyCache> cache(new ReplyCache(folder + "/replies.db", limit_bytes));
  if (cache->begin()) return cache;
  log::warn("the replies kept are not readable and begun again", {{"file", cache->path_}});
  for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(cache->path_ + suffix, error);
  if (cache->begin()) return cache;
  return fail(ErrorKind::config, "replies cannot be kept in " + cache->path_ + ": " +
                                     (cache->db_ != nullptr ? sqlite3_errmsg(cache->db_) : "out of memory"));
}

ReplyCache::~ReplyCache() {
  for (auto* statement : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

bool ReplyCache::begin() {
  sqlite3_close(std::exchange(db_, nullptr));
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path_.c_str(), &db_, kFlags, nullptr) != SQLITE_OK) return false;
  sqlite3_busy_timeout(db_, kBusyMilliseconds);
  const int64_t version = number(db_, "PRAGMA user_version");
  if (version != 0 && version != kVersion) return false;
  if (!run(kSchema) || !run(("PRAGMA user_version = " + std::to_string(kVersion)).c_str())) return false;
  // Cheap damage is found here; other damage when it is read, which then only misses.
  if (number(db_, "SELECT count(*) FROM reply") < 0) return false;
  count();
  make_room();
  return true;
}

bool ReplyCache::run(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

void ReplyCache::count() {
  bytes_ = std::max<int64_t>(0, number(db_, "SELECT coalesce(sum(bytes), 0) FROM reply"));
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
    warn("replies kept cannot be read");
    return std::nullopt;
  }
  bind(find, 1, key);
  std::optional<std::string> value;
  const int code = sqlite3_step(find);
  if (code == SQLITE_ROW)
    value.emplace(static_cast<const char*>(sqlite3_column_blob(find, 0)),
                  static_cast<size_t>(sqlite3_column_bytes(find, 0)));
  else if (code != SQLITE_DONE)
    warn("replies kept cannot be read");
  sqlite3_reset(find);
  if (!value) return std::nullopt;
  if (sqlite3_stmt* touch = statement(kTouch)) {
    bind(touch, 1, key);
    sqlite3_bind_int64(touch, 2, now());
    sqlite3_step(touch);
    sqlite3_reset(touch);
  }
  return value;
}

void ReplyCache::keep(const std::string& key, const std::string& value) {
  const auto bytes = static_cast<int64_t>(key.size() + value.size()) + kRowBytes;
  if (bytes > limit_bytes_ / 8) return;
  sqlite3_stmt* keep = statement(kKeep);
  bool kept = false;
  if (keep != nullptr) {
    bind(keep, 1, key);
    sqlite3_bind_blob(keep, 2, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
    sqlite3_bind_int64(keep, 3, bytes);
    sqlite3_bind_int64(keep, 4, now());
    kept = sqlite3_step(keep) == SQLITE_DONE;
    sqlite3_reset(keep);
  }
  if (!kept) {
    warn("a reply could not be kept");
    return;
  }
  bytes_ += bytes;
  make_room();
}

void ReplyCache::make_room() {
  if (bytes_ <= limit_bytes_) return;
  count();  // others may have removed some, or replaced what was counted twice
  while (bytes_ > limit_bytes_ / 10 * 9) {
    sqlite3_stmt* evict = statement(kEvict);
    const bool done = evict != nullptr && sqlite3_step(evict) == SQLITE_DONE && sqlite3_changes(db_) > 0;
    if (evict != nullptr) sqlite3_reset(evict);
    if (!done) break;
    count();
  }
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
