#include "api/store/postgres_database.hpp"

#include <poll.h>

#include <array>
#include <bit>
#include <cstring>

#include "core/async/task.hpp"
#include "core/check.hpp"

namespace assay::api {
namespace {

using namespace std::chrono_literals;

// Beyond the server's own limit for a statement, which is the better one: it says what took so long.
constexpr auto kPatience = 40s;
constexpr const char* kSession =
    "SET statement_timeout = '30s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = "
    "'30s';"
    // Compiling takes longer than any of these queries.
    "SET jit = off;"
    "SET client_encoding = 'UTF8'; SET client_min_messages = 'warning';"
    // What is acknowledged is on the disk, whatever the server's default is.
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = "
    "'off'";

// Of pg_type; they are fixed for ever.
enum Oid_ : Oid {
  kBytea = 17,
  kInt8 = 20,
  kText = 25,
  kFloat8 = 701,
  kInt8s = 1016,
  kTexts = 1009,
  kFloat8s = 1022
};

template <class T>
void put_big_endian(std::string& out, T value) {
  if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
  const auto bytes = std::bit_cast<std::array<char, sizeof(T)>>(value);
  out.append(bytes.data(), bytes.size());
}

template <class T>
T get_big_endian(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);  // callers have looked at the size
  if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
  return value;
}

StoreError::Kind kind_of(const char* state) {
  const std::string_view code = state == nullptr ? "" : state;
  // Serialization failure, deadlock; a row that somebody else has just made: the second try sees it.
  if (code == "40001" || code == "40P01" || code == "23505") return StoreError::Kind::conflict;
  // No connection, no resources, operator intervention (a server that stops), a lock or statement that took
  // too long, a read-only standby.
  for (const std::string_view passing : {"08", "53", "57", "55", "58", "25"})
    if (code.starts_with(passing)) return StoreError::Kind::passing;
  return code.empty() ? StoreError::Kind::passing : StoreError::Kind::broken;
}

/// The first line only: what follows may show parts of rows.
std::string first_line(const char* message) {
  std::string text = message == nullptr ? "" : message;
  text.resize(std::min(text.find('\n'), text.size()));
  return text.empty() ? "PostgreSQL does not answer" : text;
}

void check(const PGresult* result, PGconn* connection) {
  const auto status = PQresultStatus(result);
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return;
  if (result == nullptr) throw StoreError(StoreError::Kind::passing, first_line(PQerrorMessage(connection)));
  throw StoreError(kind_of(PQresultErrorField(result, PG_DIAG_SQLSTATE)),
                   first_line(PQresultErrorMessage(result)));
}

/// Of a column in binary form, whose type its size tells; 0 for null.
int64_t integer_from(std::string_view bytes) {
  switch (bytes.size()) {
    case 0:
      return 0;
    case 1:
      return bytes.front();  // a boolean
    case 2:
      return get_big_endian<int16_t>(bytes);
    case 4:
      return get_big_endian<int32_t>(bytes);
    case 8:
      return get_big_endian<int64_t>(bytes);
    default:
      throw StoreError(StoreError::Kind::broken, "a column is no integer");
  }
}

double real_from(std::string_view bytes) {
  if (bytes.empty()) return 0;
  ASSAY_CHECK(bytes.size() == 8, "a column is no double");
  return std::bit_cast<double>(get_big_endian<int64_t>(bytes));
}

class PgCursor final : public Cursor {
 public:
  explicit PgCursor(PgResult result) : result_(std::move(result)), rows_(PQntuples(result_.get())) {}

  bool step() override { return ++row_ < rows_; }
  bool null(int column) const override { return PQgetisnull(result_.get(), row_, column) != 0; }
  int64_t integer(int column) const override { return integer_from(field(column)); }
  double real(int column) const override { return real_from(field(column)); }
  std::string_view view(int column) const override {
    const Oid type = PQftype(result_.get(), column);
    ASSAY_CHECK(type == kText || type == kBytea, "a column is no text");
    return field(column);
  }

 private:
  std::string_view field(int column) const {
    return {PQgetvalue(result_.get(), row_, column),
            static_cast<size_t>(PQgetlength(result_.get(), row_, column))};
  }

  PgResult result_;
  int rows_;
  int row_ = -1;
};

/// One row of COPY's binary form at a time.
class CopyCursor final : public Cursor {
 public:
  /// False for the end of the rows. `message` is borrowed until the next.
  bool take(std::string_view message) {
    if (!std::exchange(begun_, true)) {
      constexpr size_t kSignature = 11, kFlags = 4, kLength = 4;
      if (message.size() < kSignature + kFlags + kLength) throw broken();
      const auto more = get_big_endian<uint32_t>(message.substr(kSignature + kFlags));
      if (message.size() < kSignature + kFlags + kLength + more) throw broken();
      message.remove_prefix(kSignature + kFlags + kLength + more);
    }
    if (message.size() < 2) throw broken();
    const auto count = get_big_endian<int16_t>(message);
    if (count < 0) return false;
    message.remove_prefix(2);
    fields_.clear();
    for (int i = 0; i < count; ++i) {
      if (message.size() < 4) throw broken();
      const auto size = get_big_endian<int32_t>(message);
      message.remove_prefix(4);
      if (size < 0) {
        fields_.emplace_back();
        continue;
      }
      if (message.size() < static_cast<size_t>(size)) throw broken();
      fields_.push_back(message.substr(0, static_cast<size_t>(size)));
      message.remove_prefix(static_cast<size_t>(size));
    }
    return true;
  }

  bool step() override { return false; }
  bool null(int column) const override { return field(column).data() == nullptr; }
  int64_t integer(int column) const override { return integer_from(field(column)); }
  double real(int column) const override { return real_from(field(column)); }
  std::string_view view(int column) const override { return field(column); }

 private:
  static StoreError broken() { return {StoreError::Kind::broken, "PostgreSQL sent what is no row"}; }
  std::string_view field(int column) const { return fields_.at(static_cast<size_t>(column)); }

  std::vector<std::string_view> fields_;
  bool begun_ = false;
};

}  // namespace

std::string numbered_parameters(std::string_view sql) {
  std::string out;
  int last = 0;
  bool quoted = false;
  for (size_t i = 0; i < sql.size(); ++i) {
    if (sql[i] == '\'') quoted = !quoted;
    if (quoted || sql[i] != '?') {
      out += sql[i];
      continue;
    }
    size_t end = i + 1;
    while (end < sql.size() && sql[end] >= '0' && sql[end] <= '9') ++end;
    const int number = end > i + 1 ? std::stoi(std::string(sql.substr(i + 1, end - i - 1))) : last + 1;
    last = std::max(last, number);
    out += '$' + std::to_string(number);
    i = end - 1;
  }
  return out;
}

PgArray::PgArray(Type type, size_t count) : type_(type) {
  put_big_endian<int32_t>(bytes_, count == 0 ? 0 : 1);  // dimensions
  put_big_endian<int32_t>(bytes_, 1);                   // there may be nulls
  put_big_endian<uint32_t>(bytes_, type == Type::integers ? kInt8 : type == Type::reals ? kFloat8 : kText);
  if (count == 0) return;
  put_big_endian<int32_t>(bytes_, static_cast<int32_t>(count));
  put_big_endian<int32_t>(bytes_, 1);  // the first index
}

void PgArray::add(int64_t value) {
  put_big_endian<int32_t>(bytes_, 8);
  put_big_endian(bytes_, value);
}

void PgArray::add(double value) {
  add(std::bit_cast<int64_t>(value));
}

void PgArray::add(std::string_view value) {
  put_big_endian(bytes_, static_cast<int32_t>(value.size()));
  bytes_ += value;
}

void PgArray::add_null() {
  put_big_endian<int32_t>(bytes_, -1);
}

/// As libpq takes them. Numbers live in `numbers`, whose places do not move.
struct PostgresDatabase::Parameters {
  explicit Parameters(size_t count) { numbers.reserve(count); }

  void add(const Value& value) {
    switch (value.type()) {
      case Value::Type::integer:
        add_number(kInt8, value.integer());
        break;
      case Value::Type::real:
        add_number(kFloat8, std::bit_cast<int64_t>(value.real()));
        break;
      case Value::Type::text:
        add_bytes(kText, value.bytes());
        break;
      case Value::Type::bytes:
        add_bytes(kBytea, value.bytes());
        break;
    }
    if (value.null()) values.back() = nullptr;
  }
  void add(const PgArray& array) {
    using Type = PgArray::Type;
    add_bytes(array.type() == Type::integers ? kInt8s
              : array.type() == Type::reals  ? kFloat8s
                                             : kTexts,
              array.bytes());
  }
  void add_number(Oid type, int64_t number) {
    numbers.emplace_back();
    put_big_endian(numbers.back(), number);
    add_bytes(type, numbers.back());
  }
  void add_bytes(Oid type, std::string_view bytes) {
    types.push_back(type);
    values.push_back(bytes.data() == nullptr ? "" : bytes.data());
    lengths.push_back(static_cast<int>(bytes.size()));
    formats.push_back(1);
  }
  int count() const { return static_cast<int>(values.size()); }

  std::vector<std::string> numbers;
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
};

PostgresDatabase::PostgresDatabase(const std::string& address, std::function<int64_t()> clock)
    : clock_(std::move(clock)) {
  const char* const keys[] = {"dbname",          "connect_timeout",  "tcp_user_timeout",
                              "keepalives_idle", "application_name", nullptr};
  const char* const values[] = {address.c_str(), "5", "20000", "10", "assay", nullptr};
  connection_ = PQconnectdbParams(keys, values, 1);
  try {
    if (!connected()) throw StoreError(StoreError::Kind::passing, first_line(PQerrorMessage(connection_)));
    script(kSession);
  } catch (...) {
    PQfinish(connection_);
    throw;
  }
}

PostgresDatabase::~PostgresDatabase() {
  PQfinish(connection_);
}

void PostgresDatabase::send(bool sent) {
  if (!sent) throw StoreError(StoreError::Kind::passing, first_line(PQerrorMessage(connection_)));
}

void PostgresDatabase::wait_for_input(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  pollfd ready{.fd = PQsocket(connection_), .events = POLLIN, .revents = 0};
  const int count = left.count() > 0 ? ::poll(&ready, 1, static_cast<int>(left.count())) : 0;
  if (count == 0) {
    // Nothing can be said any more over a connection that owes an answer.
    drop();
    throw StoreError(StoreError::Kind::passing, "PostgreSQL did not answer in time");
  }
  if (PQconsumeInput(connection_) == 0)
    throw StoreError(StoreError::Kind::passing, first_line(PQerrorMessage(connection_)));
}

/// The last result of what was sent; all are read. Throws for the first that is an error.
PgResult PostgresDatabase::wait_for_result() {
  const Deadline deadline = Clock::now() + kPatience;
  PgResult last;
  for (;;) {
    while (PQisBusy(connection_) != 0) wait_for_input(deadline);
    PgResult next(PQgetResult(connection_));
    if (next == nullptr) break;
    const bool failed = last != nullptr && PQresultStatus(last.get()) == PGRES_FATAL_ERROR;
    if (!failed) last = std::move(next);
  }
  check(last.get(), connection_);
  return last;
}

void PostgresDatabase::script(const char* sql) {
  send(PQsendQuery(connection_, sql) == 1);
  wait_for_result();
}

void PostgresDatabase::begin(bool read_only) {
  constexpr const char* kClock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
  static const std::string read = std::string("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ") + kClock;
  static const std::string write = std::string("BEGIN; ") + kClock;
  send(PQsendQuery(connection_, (read_only ? read : write).c_str()) == 1);
  const auto result = wait_for_result();
  now_ = std::stoll(PQgetvalue(result.get(), 0, 0));
}

void PostgresDatabase::commit() {
  script("COMMIT");
}

void PostgresDatabase::rollback() noexcept {
  try {
    if (connected() && PQtransactionStatus(connection_) != PQTRANS_IDLE) script("ROLLBACK");
  } catch (const StoreError&) {
    drop();
  }
}

void PostgresDatabase::drop() {
  PQfinish(connection_);
  connection_ = nullptr;
}

const char* PostgresDatabase::prepare(const char* sql, const Parameters& parameters) {
  auto& name = prepared_[sql];
  if (!name.empty()) return name.c_str();
  const std::string next = "s" + std::to_string(prepared_.size());
  const std::string text = numbered_parameters(sql);
  send(PQsendPrepare(connection_, next.c_str(), text.c_str(), parameters.count(), parameters.types.data()) ==
       1);
  try {
    wait_for_result();
  } catch (const StoreError& error) {
    prepared_.erase(sql);
    throw StoreError(error.kind(), std::string(error.what()) + " in " + text);
  }
  name = next;
  return name.c_str();
}

PgResult PostgresDatabase::run_prepared(const char* sql, const Parameters& parameters) {
  const char* const name = prepare(sql, parameters);
  constexpr int kBinary = 1;
  send(PQsendQueryPrepared(connection_, name, parameters.count(), parameters.values.data(),
                           parameters.lengths.data(), parameters.formats.data(), kBinary) == 1);
  return wait_for_result();
}

int64_t PostgresDatabase::execute(const char* sql, std::span<const Value> values) {
  Parameters parameters(values.size());
  for (const auto& value : values) parameters.add(value);
  const auto result = run_prepared(sql, parameters);
  const char* count = PQcmdTuples(result.get());
  return *count == '\0' ? 0 : std::stoll(count);
}

std::unique_ptr<Cursor> PostgresDatabase::start(const char* sql, std::span<const Value> values) {
  Parameters parameters(values.size());
  for (const auto& value : values) parameters.add(value);
  return std::make_unique<PgCursor>(run_prepared(sql, parameters));
}

std::unique_ptr<Cursor> PostgresDatabase::start(const char* sql, int64_t first,
                                                std::span<const PgArray> arrays) {
  Parameters parameters(1);
  parameters.add(Value(first));
  for (const auto& array : arrays) parameters.add(array);
  return std::make_unique<PgCursor>(run_prepared(sql, parameters));
}

int64_t PostgresDatabase::stream(const std::string& sql, const std::function<void(const Rows&)>& visit) {
  send(PQsendQuery(connection_, ("COPY (" + sql + ") TO STDOUT (FORMAT binary)").c_str()) == 1);
  Deadline deadline = Clock::now() + kPatience;
  while (PQisBusy(connection_) != 0) wait_for_input(deadline);
  const PgResult begun(PQgetResult(connection_));
  if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) {
    wait_for_result();
    check(begun.get(), connection_);
  }
  auto cursor = std::make_unique<CopyCursor>();
  CopyCursor& row = *cursor;
  const Rows rows(std::move(cursor));
  int64_t count = 0;
  for (;;) {
    char* message = nullptr;
    const int size = PQgetCopyData(connection_, &message, 1);
    const std::unique_ptr<char, decltype(&PQfreemem)> owned(message, &PQfreemem);
    if (size == 0) {
      wait_for_input(deadline);
      deadline = Clock::now() + kPatience;
      continue;
    }
    if (size < 0) break;
    if (!row.take({message, static_cast<size_t>(size)})) continue;
    visit(rows);
    ++count;
  }
  wait_for_result();
  return count;
}

}  // namespace assay::api
