// SQLite behind a few lines of RAII, private to the store. Inside the store a statement that fails throws
// SqliteError; the command boundary (sqlite_command.hpp) turns it into a Problem, so queries read as what
// they do.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace assay::api {

class SqliteError : public std::runtime_error {
 public:
  SqliteError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

struct Blob {
  std::string_view bytes;
};

/// A prepared statement on loan from its Database's cache; given back, reset, at the end of its life.
class Statement {
 public:
  Statement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  Statement(Statement&& other) noexcept
      : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)), bound_(other.bound_) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement() { reset(); }

  /// Binds the parameters in order. Text is borrowed until the next bind or reset when `borrow`, else copied.
  template <class... Values>
  Statement& bind(bool borrow, const Values&... values) {
    bound_ = 0;
    (put(++bound_, values, borrow ? SQLITE_STATIC : SQLITE_TRANSIENT), ...);
    return *this;
  }
  /// True: there is a row; its text views are valid until the next step.
  bool step();
  void reset();

  bool null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  int number(int column) const { return sqlite3_column_int(statement_, column); }
  double real(int column) const { return sqlite3_column_double(statement_, column); }
  std::string_view view(int column) const;
  std::string text(int column) const { return std::string(view(column)); }

 private:
  using Lifetime = void (*)(void*);
  void put(int index, int64_t value, Lifetime);
  void put(int index, int value, Lifetime lifetime) { put(index, static_cast<int64_t>(value), lifetime); }
  void put(int index, size_t value, Lifetime lifetime) { put(index, static_cast<int64_t>(value), lifetime); }
  void put(int index, bool value, Lifetime lifetime) { put(index, static_cast<int64_t>(value), lifetime); }
  void put(int index, double value, Lifetime);
  void put(int index, std::string_view value, Lifetime lifetime);
  void put(int index, const std::string& value, Lifetime lifetime) {
    put(index, std::string_view(value), lifetime);
  }
  void put(int index, const char* value, Lifetime lifetime) { put(index, std::string_view(value), lifetime); }
  void put(int index, Blob value, Lifetime lifetime);
  void put(int index, std::nullptr_t, Lifetime);
  template <class T>
  void put(int index, const std::optional<T>& value, Lifetime lifetime) {
    value ? put(index, *value, lifetime) : put(index, nullptr, lifetime);
  }
  void check(int code);

  sqlite3* db_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

/// One connection, used by one thread at a time. `sql` arguments must be string literals: they are the
/// cache's keys.
class Database {
 public:
  Database(const std::string& path, int flags);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  /// Several statements, none with parameters or results that matter.
  void script(const char* sql);
  /// Runs to the end; how many rows it changed.
  template <class... Values>
  int64_t run(const char* sql, const Values&... values) {
    Statement statement = prepare(sql);
    statement.bind(true, values...);
    while (statement.step()) {
    }
    return sqlite3_changes64(db_);
  }
  template <class... Values>
  Statement query(const char* sql, const Values&... values) {
    Statement statement = prepare(sql);
    statement.bind(false, values...);
    return statement;
  }
  /// The first column of the first row.
  template <class... Values>
  std::optional<int64_t> integer(const char* sql, const Values&... values) {
    Statement statement = query(sql, values...);
    if (!statement.step() || statement.null(0)) return std::nullopt;
    return statement.integer(0);
  }
  Statement prepare(const char* sql);
  int64_t changes() const { return sqlite3_changes64(db_); }
  int64_t last_row() const { return sqlite3_last_insert_rowid(db_); }
  /// Inside BEGIN … COMMIT.
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

 private:
  sqlite3* db_ = nullptr;
  std::unordered_map<std::string_view, sqlite3_stmt*> cache_;
};

}  // namespace assay::api
