#include "api/store/sqlite.hpp"

#include "core/check.hpp"

namespace assay::api {

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  throw SqliteError(code, sqlite3_errmsg(db_));
}

void Statement::reset() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);  // repeats the error that step() has thrown
  if (bound_ > 0) sqlite3_clear_bindings(statement_);
}

std::string_view Statement::view(int column) const {
  // The pointer first: asking for it may convert the value, which changes the size.
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

void Statement::check(int code) {
  if (code != SQLITE_OK) throw SqliteError(code, sqlite3_errmsg(db_));
}

void Statement::put(int index, int64_t value, Lifetime) {
  check(sqlite3_bind_int64(statement_, index, value));
}
void Statement::put(int index, double value, Lifetime) {
  check(sqlite3_bind_double(statement_, index, value));
}
void Statement::put(int index, std::string_view value, Lifetime lifetime) {
  const char* data = value.data() == nullptr ? "" : value.data();  // a null pointer would bind NULL
  check(sqlite3_bind_text64(statement_, index, data, value.size(), lifetime, SQLITE_UTF8));
}
void Statement::put(int index, Blob value, Lifetime lifetime) {
  const char* data = value.bytes.data() == nullptr ? "" : value.bytes.data();
  check(sqlite3_bind_blob64(statement_, index, data, value.bytes.size(), lifetime));
}
void Statement::put(int index, std::nullptr_t, Lifetime) {
  check(sqlite3_bind_null(statement_, index));
}

Database::Database(const std::string& path, int flags) {
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code == SQLITE_OK) return;
  const std::string what = db_ != nullptr ? sqlite3_errmsg(db_) : "out of memory";
  sqlite3_close(db_);
  throw SqliteError(code, what);
}

Database::~Database() {
  for (const auto& [sql, statement] : cache_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

void Database::script(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw SqliteError(code, sqlite3_errmsg(db_));
}

Statement Database::prepare(const char* sql) {
  auto& statement = cache_[sql];
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) throw SqliteError(code, std::string(sqlite3_errmsg(db_)) + " in " + sql);
  }
  ASSAY_CHECK(sqlite3_stmt_busy(statement) == 0, "a statement is used inside its own loop");
  return {db_, statement};
}

}  // namespace assay::api
