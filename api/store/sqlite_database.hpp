// SQLite as a Database, private to the store: prepared statements, kept for the life of the connection.
#pragma once

#include <sqlite3.h>

#include <functional>
#include <unordered_map>

#include "api/store/database.hpp"

namespace assay::api {

/// `code` is SQLite's.
StoreError sqlite_error(int code, const std::string& what);

class SqliteDatabase final : public Database {
 public:
  /// `clock`: see now().
  SqliteDatabase(const std::string& path, int flags, std::function<int64_t()> clock);
  ~SqliteDatabase() override;

  Dialect dialect() const override { return Dialect::sqlite; }
  int64_t now() const override { return clock_(); }
  void script(const char* sql) override;
  int64_t execute(const char* sql, std::span<const Value> values) override;
  std::unique_ptr<Cursor> start(const char* sql, std::span<const Value> values) override;
  /// Inside BEGIN … COMMIT.
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

 private:
  sqlite3_stmt* prepare(const char* sql);
  sqlite3_stmt* bind(const char* sql, std::span<const Value> values, sqlite3_destructor_type lifetime);

  sqlite3* db_ = nullptr;
  std::function<int64_t()> clock_;
  std::unordered_map<std::string_view, sqlite3_stmt*> cache_;
};

}  // namespace assay::api
