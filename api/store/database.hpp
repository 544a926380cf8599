// The database behind a store, as its queries see it: statements with parameters, rows, and one transaction
// around every command (command.hpp). SQLite and PostgreSQL are behind it; nearly all SQL is the same for
// both, written with `?` and `?1` for parameters, and where it is not, either() holds the two.
//
// A statement that fails throws StoreError; the command boundary turns it into a Problem, so queries read as
// what they do.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace assay::api {

class StoreError : public std::runtime_error {
 public:
  enum class Kind {
    broken,    ///< will fail again
    passing,   ///< a full disk, a server that went away: may work later
    conflict,  ///< another transaction was in the way: the command can be run again at once
  };
  StoreError(Kind kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

struct Blob {
  std::string_view bytes;
};

/// One parameter. Text and bytes are borrowed for the call that it is passed to.
class Value {
 public:
  enum class Type { integer, real, text, bytes };

  template <class T>
    requires(std::is_integral_v<T> || std::is_enum_v<T>)
  Value(T value) : type_(Type::integer), integer_(static_cast<int64_t>(value)) {}  // NOLINT(*-explicit-*)
  Value(double value) : type_(Type::real), real_(value) {}                         // NOLINT(*-explicit-*)
  Value(std::string_view value) : type_(Type::text), bytes_(value) {}              // NOLINT(*-explicit-*)
  Value(const std::string& value) : type_(Type::text), bytes_(value) {}            // NOLINT(*-explicit-*)
  Value(const char* value) : type_(Type::text), bytes_(value) {}                   // NOLINT(*-explicit-*)
  Value(Blob value) : type_(Type::bytes), bytes_(value.bytes) {}                   // NOLINT(*-explicit-*)
  template <class T>
  Value(const std::optional<T>& value) : Value(value ? Value(*value) : Value(T{})) {  // NOLINT(*-explicit-*)
    null_ = !value;
  }

  Type type() const { return type_; }
  bool null() const { return null_; }
  int64_t integer() const { return integer_; }
  double real() const { return real_; }
  std::string_view bytes() const { return bytes_; }

 private:
  Type type_;
  bool null_ = false;
  int64_t integer_ = 0;
  double real_ = 0;
  std::string_view bytes_;
};

/// The rows of one query.
class Cursor {
 public:
  virtual ~Cursor() = default;
  virtual bool step() = 0;
  virtual bool null(int column) const = 0;
  virtual int64_t integer(int column) const = 0;
  virtual double real(int column) const = 0;
  virtual std::string_view view(int column) const = 0;
};

/// Gives its query up at the end of its life.
class Rows {
 public:
  explicit Rows(std::unique_ptr<Cursor> cursor) : cursor_(std::move(cursor)) {}
  Rows(Rows&&) noexcept = default;

  /// True: there is a row; its text views are valid until the next step.
  bool step() { return cursor_->step(); }
  bool null(int column) const { return cursor_->null(column); }
  int64_t integer(int column) const { return cursor_->integer(column); }
  int number(int column) const { return static_cast<int>(cursor_->integer(column)); }
  double real(int column) const { return cursor_->real(column); }
  std::string_view view(int column) const { return cursor_->view(column); }
  std::string text(int column) const { return std::string(view(column)); }

 private:
  std::unique_ptr<Cursor> cursor_;
};

/// One connection, used by one thread at a time. `sql` arguments must be string literals: they are the keys
/// of the cache of prepared statements.
class Database {
 public:
  enum class Dialect { sqlite, postgres };

  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  virtual ~Database() = default;

  /// How many rows it changed.
  template <class... Values>
  int64_t run(const char* sql, const Values&... values) {
    if constexpr (sizeof...(values) == 0) {
      return execute(sql, {});
    } else {
      const Value list[] = {Value(values)...};
      return execute(sql, list);
    }
  }
  template <class... Values>
  Rows query(const char* sql, const Values&... values) {
    if constexpr (sizeof...(values) == 0) {
      return Rows(start(sql, {}));
    } else {
      const Value list[] = {Value(values)...};
      return Rows(start(sql, list));
    }
  }
  /// The first column of the first row; nullopt: there is none, or it is null.
  template <class... Values>
  std::optional<int64_t> integer(const char* sql, const Values&... values) {
    Rows rows = query(sql, values...);
    std::optional<int64_t> first;
    for (bool any = false; rows.step(); any = true)
      if (!any && !rows.null(0)) first = rows.integer(0);
    return first;
  }

  virtual Dialect dialect() const = 0;
  const char* either(const char* sqlite, const char* postgres) const {
    return dialect() == Dialect::sqlite ? sqlite : postgres;
  }
  /// Milliseconds of the clock that leases go by: everyone who shares this database reads the same one. It
  /// stands still within a command.
  virtual int64_t now() const = 0;
  /// Several statements, none with parameters or results that matter.
  virtual void script(const char* sql) = 0;
  virtual int64_t execute(const char* sql, std::span<const Value> values) = 0;
  virtual std::unique_ptr<Cursor> start(const char* sql, std::span<const Value> values) = 0;
};

/// "3,5,8": a list as one parameter; `IN_LIST(?2)` in either dialect's SQL reads it.
std::string comma_list(std::span<const int64_t> numbers);

}  // namespace assay::api
