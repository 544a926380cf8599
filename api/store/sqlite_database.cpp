#include "api/store/sqlite_database.hpp"

#include "core/check.hpp"

namespace assay::api {
namespace {

/// A statement on loan from its connection's cache; given back, reset, at the end.
class SqliteCursor final : public Cursor {
 public:
  SqliteCursor(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
  SqliteCursor(const SqliteCursor&) = delete;
  SqliteCursor& operator=(const SqliteCursor&) = delete;
  ~SqliteCursor() override { sqlite3_reset(statement_); }

  bool step() override {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    throw sqlite_error(code, sqlite3_errmsg(db_));
  }
  bool null(int column) const override { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  int64_t integer(int column) const override { return sqlite3_column_int64(statement_, column); }
  double real(int column) const override { return sqlite3_column_double(statement_, column); }
  std::string_view view(int column) const override {
    // The pointer first: asking for it may convert the value, which changes the size.
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_;
};

int bind_one(sqlite3_stmt* statement, int index, const Value& value, sqlite3_destructor_type lifetime) {
  if (value.null()) return sqlite3_bind_null(statement, index);
  const auto bytes = value.bytes();
  const char* data = bytes.data() == nullptr ? "" : bytes.data();  // a null pointer would bind NULL
  switch (value.type()) {
    case Value::Type::integer:
      return sqlite3_bind_int64(statement, index, value.integer());
    case Value::Type::real:
      return sqlite3_bind_double(statement, index, value.real());
    case Value::Type::text:
      return sqlite3_bind_text64(statement, index, data, bytes.size(), lifetime, SQLITE_UTF8);
    case Value::Type::bytes:
      return sqlite3_bind_blob64(statement, index, data, bytes.size(), lifetime);
  }
  return SQLITE_MISUSE;
}

}  // namespace

StoreError sqlite_error(int code, const std::string& what) {
  switch (code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_BUSY:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
      return {StoreError::Kind::passing, what};
    default:
      return {StoreError::Kind::broken, what};
  }
}

SqliteDatabase::SqliteDatabase(const std::string& path, int flags, std::function<int64_t()> clock)
    : clock_(std::move(clock)) {
  const int code = sqlite3_open_v2(path.c_str(), &db_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code == SQLITE_OK) return;
  const std::string what = db_ != nullptr ? sqlite3_errmsg(db_) : "out of memory";
  sqlite3_close(db_);
  throw sqlite_error(code, what);
}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [sql, statement] : cache_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

void SqliteDatabase::script(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw sqlite_error(code, sqlite3_errmsg(db_));
}

sqlite3_stmt* SqliteDatabase::prepare(const char* sql) {
  auto& statement = cache_[sql];
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) throw sqlite_error(code, std::string(sqlite3_errmsg(db_)) + " in " + sql);
  }
  ASSAY_CHECK(sqlite3_stmt_busy(statement) == 0, "a statement is used inside its own loop");
  return statement;
}

sqlite3_stmt* SqliteDatabase::bind(const char* sql, std::span<const Value> values,
                                   sqlite3_destructor_type lifetime) {
  auto* statement = prepare(sql);
  sqlite3_reset(statement);  // repeats the error that the last step has thrown
  int index = 0;
  for (const auto& value : values) {
    const int code = bind_one(statement, ++index, value, lifetime);
    if (code != SQLITE_OK) throw sqlite_error(code, sqlite3_errmsg(db_));
  }
  return statement;
}

int64_t SqliteDatabase::execute(const char* sql, std::span<const Value> values) {
  auto* statement = bind(sql, values, SQLITE_STATIC);
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step(statement);
  const std::string what = code == SQLITE_DONE ? "" : sqlite3_errmsg(db_);
  sqlite3_reset(statement);
  if (code != SQLITE_DONE) throw sqlite_error(code, what);
  return sqlite3_changes64(db_);
}

std::unique_ptr<Cursor> SqliteDatabase::start(const char* sql, std::span<const Value> values) {
  return std::make_unique<SqliteCursor>(db_, bind(sql, values, SQLITE_TRANSIENT));
}

}  // namespace assay::api
