// One connection to PostgreSQL as a Database, over libpq; private to the store. Statements are prepared once
// a connection; parameters and rows travel in binary. Every exchange has a deadline, and a
// connection that missed one is dropped.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <functional>
#include <unordered_map>
#include <vector>

#include "api/store/database.hpp"

namespace assay::api {

struct PgResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PgResult = std::unique_ptr<PGresult, PgResultDeleter>;

/// An array as one parameter, in PostgreSQL's binary form.
class PgArray {
 public:
  enum class Type { integers, reals, texts };
  PgArray(Type type, size_t count);
  void add(int64_t value);
  void add(double value);
  void add(std::string_view value);
  void add_null();

  Type type() const { return type_; }
  const std::string& bytes() const { return bytes_; }

 private:
  Type type_;
  std::string bytes_;
};

class PostgresDatabase final : public Database {
 public:
  /// Connects and sets the session up; throws StoreError. `clock` may be empty.
  PostgresDatabase(const std::string& address, std::function<int64_t()> clock);
  ~PostgresDatabase() override;

  Dialect dialect() const override { return Dialect::postgres; }
  int64_t now() const override { return clock_ ? clock_() : now_; }
  void script(const char* sql) override;
  int64_t execute(const char* sql, std::span<const Value> values) override;
  std::unique_ptr<Cursor> start(const char* sql, std::span<const Value> values) override;
  /// `run` is ?1, the arrays follow.
  std::unique_ptr<Cursor> start(const char* sql, int64_t first, std::span<const PgArray> arrays);

  /// For many rows, which are not held in memory: they are read while the server sends them. `sql` has no
  /// parameters; how many rows there were.
  int64_t stream(const std::string& sql, const std::function<void(const Rows&)>& visit);

  /// Begins a transaction and reads the clock, in one exchange.
  void begin(bool read_only);
  void commit();
  /// Never throws: what cannot be rolled back is dropped with its connection.
  void rollback() noexcept;
  /// False for good once the connection is lost: the owner makes another.
  bool connected() const { return PQstatus(connection_) == CONNECTION_OK; }
  PGconn* raw() const { return connection_; }

 private:
  struct Parameters;
  const char* prepare(const char* sql, const Parameters& parameters);
  PgResult run_prepared(const char* sql, const Parameters& parameters);
  PgResult wait_for_result();
  void wait_for_input(std::chrono::steady_clock::time_point deadline);
  void send(bool sent);
  void drop();

  PGconn* connection_ = nullptr;
  std::function<int64_t()> clock_;
  int64_t now_ = 0;
  std::unordered_map<const char*, std::string> prepared_;
};

/// "a = ? AND b = ?2" → "a = $1 AND b = $2".
std::string numbered_parameters(std::string_view sql);

}  // namespace assay::api
