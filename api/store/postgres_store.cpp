// Commands are served by threads with a connection each: PostgreSQL runs them beside each other and flushes
// the commits of several together. A command that met another transaction is run again; one whose connection
// was lost before its commit was sent likewise. When the database is away commands are answered 503 at once.
#include "api/store/postgres_store.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "api/store/postgres_database.hpp"
#include "api/store/postgres_schema.hpp"
#include "api/store/sql_store.hpp"
#include "core/fd.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

using namespace std::chrono_literals;

constexpr int kTries = 5;
constexpr auto kReconnect = 500ms;  // between attempts of one connection
constexpr auto kQuiet = 20ms;       // between two announcements of one server

/// A connection that is made when it is needed, and made anew when it was lost.
class Link {
 public:
  Link(const PostgresOptions& options) : options_(options) {}  // NOLINT(google-explicit-constructor)

  /// Null: the database is away, for the reason in `why`.
  PostgresDatabase* get(std::string& why) {
    if (db_ && db_->connected()) return db_.get();
    db_.reset();
    if (Clock::now() < again_) {
      why = why_;
      return nullptr;
    }
    try {
      db_ = std::make_unique<PostgresDatabase>(options_.address, options_.clock);
    } catch (const StoreError& error) {
      why = why_ = error.what();
      again_ = Clock::now() + kReconnect;
    }
    return db_.get();
  }

 private:
  const PostgresOptions& options_;
  std::unique_ptr<PostgresDatabase> db_;
  Deadline again_;
  std::string why_;
};

/// Tells the other servers, and hears them: a thread with a connection of its own, beside all transactions.
class Courier {
 public:
  explicit Courier(const PostgresOptions& options)
      : link_(options), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  void start(std::function<void(Change)> heard) {
    heard_ = std::move(heard);
    thread_ = std::jthread([this](const std::stop_token& stop) { serve(stop); });
  }
  void announce(Change change) {
    pending_ |= change == Change::work ? kWork : kEnded;
    constexpr uint64_t kOne = 1;
    [[maybe_unused]] const auto written = ::write(wake_.get(), &kOne, sizeof kOne);
  }
  void stop() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    announce(Change::work);
    thread_.join();
  }

 private:
  static constexpr unsigned kWork = 1, kEnded = 2;

  void serve(const std::stop_token& stop) {
    const PostgresDatabase* listening = nullptr;
    while (!stop.stop_requested()) {
      std::string why;
      auto* db = link_.get(why);
      if (db == nullptr) {
        listening = nullptr;
        wait(-1);
        continue;
      }
      try {
        if (std::exchange(listening, db) != db) {
          db->script("LISTEN assay_work; LISTEN assay_ended");
          // What was announced while nobody listened.
          heard_(Change::work);
          heard_(Change::ended);
        }
        tell(*db);
        hear(*db);
      } catch (const StoreError& error) {
        log::warn("announcements are interrupted", {{"error", error.what()}});
        listening = nullptr;
      }
    }
  }

  void tell(PostgresDatabase& db) {
    if (Clock::now() < told_ + kQuiet) return;
    const unsigned changes = pending_.exchange(0);
    if ((changes & kWork) != 0) db.script("NOTIFY assay_work");
    if ((changes & kEnded) != 0) db.script("NOTIFY assay_ended");
    if (changes != 0) told_ = Clock::now();
  }

  void hear(PostgresDatabase& db) {
    wait(PQsocket(db.raw()));
    if (PQconsumeInput(db.raw()) == 0)
      throw StoreError(StoreError::Kind::passing, "the connection for announcements was lost");
    while (auto* note = PQnotifies(db.raw())) {
      const bool own = note->be_pid == PQbackendPID(db.raw());
      const bool ended = std::string_view(note->relname) == "assay_ended";
      PQfreemem(note);
      if (!own) heard_(ended ? Change::ended : Change::work);
    }
  }

  /// Until something is to be told or was heard, a second at most.
  void wait(int socket) {
    pollfd ready[] = {{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                      {.fd = socket, .events = POLLIN, .revents = 0}};
    const bool quiet = Clock::now() < told_ + kQuiet && pending_ != 0;
    ::poll(ready, 2, quiet ? static_cast<int>(kQuiet.count()) : 1000);
    uint64_t count = 0;
    [[maybe_unused]] const auto taken = ::read(wake_.get(), &count, sizeof count);
  }

  Link link_;
  UniqueFd wake_;
  std::function<void(Change)> heard_;
  std::atomic<unsigned> pending_ = 0;
  Deadline told_;
  std::jthread thread_;
};

class PostgresStore final : public SqlStore {
 public:
  explicit PostgresStore(PostgresOptions options)
      : SqlStore(options.leases, options.queue), options_(std::move(options)), courier_(options_) {}
  ~PostgresStore() override;
  Result<void> open();
  void announce(Change change) override { courier_.announce(change); }
  void listen(std::function<void(Change)> heard) override { courier_.start(std::move(heard)); }

 private:
  InsertCounts insert_outcomes(Database& any, int64_t run, const OutcomeBatch& batch,
                               std::span<const OutcomeBatch::Row> rows) const override;
  bool scan_page(Database& any, int64_t run, OutcomeId& at,
                 const std::function<void(const ScoreRow&)>& visit) const override;
  void migrate(PostgresDatabase& db);
  void serve(CommandQueue& queue, bool read_only);
  void serve_one(Link& link, Command& command, bool read_only);
  /// False: to be tried again, for the reason in `why`.
  bool try_one(PostgresDatabase& db, Command& command, bool read_only, std::string& why);

  const PostgresOptions options_;
  Courier courier_;
  std::vector<std::jthread> threads_;
};

PostgresStore::~PostgresStore() {
  courier_.stop();
  writes_.close();
  reads_.close();
  threads_.clear();  // joins: what was queued is still done and answered
}

Result<void> PostgresStore::open() {
  try {
    PostgresDatabase db(options_.address, options_.clock);
    migrate(db);
  } catch (const StoreError& error) {
    // A schema that is too new is wrong for good. A database that is not up yet is for whoever starts us to
    // wait for: systemd starts again what ends so, and not what was told something wrong.
    const bool for_good = error.kind() == StoreError::Kind::broken;
    return fail(for_good ? ErrorKind::config : ErrorKind::transport,
                std::string("cannot open the PostgreSQL store: ") + error.what());
  }
  for (size_t i = 0; i < options_.writers; ++i) threads_.emplace_back([this] { serve(writes_, false); });
  for (size_t i = 0; i < options_.readers; ++i) threads_.emplace_back([this] { serve(reads_, true); });
  return {};
}

void PostgresStore::migrate(PostgresDatabase& db) {
  db.begin(false);
  // One server at a time; the others then find it done. The number is Assay's own.
  db.script("SELECT pg_advisory_xact_lock(7306083418651591)");
  db.script("CREATE TABLE IF NOT EXISTS assay_schema(version bigint NOT NULL)");
  const auto version = db.integer("SELECT max(version) FROM assay_schema").value_or(0);
  const auto known = static_cast<int64_t>(kPostgresMigrations.size());
  if (version > known)
    throw StoreError(StoreError::Kind::broken, "it was written by a newer version of assay (schema " +
                                                   std::to_string(version) + ", this one knows " +
                                                   std::to_string(known) + "); upgrade this one");
  for (int64_t step = version; step < known; ++step) {
    db.script(kPostgresMigrations[static_cast<size_t>(step)]);
    db.run("INSERT INTO assay_schema(version) VALUES(?)", step + 1);
  }
  db.run("INSERT INTO meta(key, value) VALUES('incarnation', ?) ON CONFLICT DO NOTHING", make_id("inc_"));
  {
    auto row = db.query("SELECT value FROM meta WHERE key = 'incarnation'");
    if (!row.step()) throw StoreError(StoreError::Kind::broken, "it has tables, but no incarnation");
    incarnation_ = row.text(0);
  }
  db.commit();
}

void PostgresStore::serve(CommandQueue& queue, bool read_only) {
  Link link(options_);
  for (;;) {
    auto commands = queue.pop(1);
    if (commands.empty()) return;
    serve_one(link, *commands.front(), read_only);
    commands.front()->answer();
  }
}

void PostgresStore::serve_one(Link& link, Command& command, bool read_only) {
  std::string why;
  for (int i = 0; i < kTries; ++i) {
    auto* db = link.get(why);
    if (db == nullptr) break;
    if (try_one(*db, command, read_only, why)) return;
  }
  command.fail(store_unavailable(why));
}

bool PostgresStore::try_one(PostgresDatabase& db, Command& command, bool read_only, std::string& why) {
  try {
    db.begin(read_only);
  } catch (const StoreError& error) {
    why = error.what();  // an idle connection that the server has closed, mostly
    db.rollback();
    return false;
  }
  const auto end = command.run(db);
  if (!db.connected() || end == Command::End::again) {
    why = db.connected() ? "other requests were in the way again and again"
                         : "the connection to PostgreSQL was lost";
    db.rollback();
    return false;
  }
  if (end == Command::End::undo) {
    db.rollback();
    return true;
  }
  try {
    db.commit();
  } catch (const StoreError& error) {
    // It may have been kept or not: the client is told to try again, and every request can be repeated.
    db.rollback();
    command.fail(problem_from(error));
  }
  return true;
}

InsertCounts PostgresStore::insert_outcomes(Database& any, int64_t run, const OutcomeBatch& batch,
                                            std::span<const OutcomeBatch::Row> rows) const {
  using Type = PgArray::Type;
  const size_t count = rows.size();
  if (count == 0) return {};
  std::vector<PgArray> columns;
  for (const Type type :
       {Type::integers, Type::integers, Type::integers, Type::integers, Type::integers, Type::texts,
        Type::reals, Type::integers, Type::integers, Type::texts, Type::integers, Type::integers,
        Type::integers, Type::integers, Type::integers, Type::integers, Type::texts})
    columns.emplace_back(type, count);
  for (const auto& row : rows) {
    columns[0].add(row.id.item);
    columns[1].add(int64_t{row.id.model});
    columns[2].add(int64_t{row.id.evaluator});
    columns[3].add(int64_t{row.id.trial});
    columns[4].add(static_cast<int64_t>(row.verdict));
    row.verdict == Verdict::errored ? columns[5].add(row.kind) : columns[5].add_null();
    row.verdict == Verdict::scored ? columns[6].add(row.score) : columns[6].add_null();
    row.passed ? columns[7].add(int64_t{*row.passed}) : columns[7].add_null();
    columns[8].add(row.wall_us);
    columns[9].add(batch.payload(row));
    const ModelUse& use = row.models;
    size_t column = 10;
    for (const int64_t sum :
         {use.calls, use.input_tokens, use.output_tokens, use.nano_dollars, use.unpriced, use.estimated}) {
      use.calls > 0 ? columns[column].add(sum) : columns[column].add_null();
      column++;
    }
    row.generation.empty() ? columns[column].add_null() : columns[column].add(row.generation);
  }
  auto& db = static_cast<PostgresDatabase&>(any);
  Rows counted(db.start(
      // Sorted: two writers of the same rows then wait for each other in one order.
      "WITH new AS (INSERT INTO outcomes(run, item, model, evaluator, trial, verdict, kind, score, passed, "
      "wall_us, payload, calls, input_tokens, output_tokens, nano_dollars, unpriced, estimated, generation) "
      "SELECT ?1, u.* FROM unnest(?2::bigint[], ?3::bigint[], ?4::bigint[], ?5::bigint[], ?6::bigint[], "
      "?7::text[], ?8::float8[], ?9::bigint[], ?10::bigint[], ?11::text[], ?12::bigint[], ?13::bigint[], "
      "?14::bigint[], ?15::bigint[], ?16::bigint[], ?17::bigint[], ?18::text[]) AS u(a, b, c, d) "
      "ORDER BY a, b, c, d ON CONFLICT DO NOTHING RETURNING verdict) "
      "SELECT count(*), count(*) FILTER (WHERE verdict = 1) FROM new",
      run, columns));
  if (!counted.step()) return {};
  return {counted.integer(0), counted.integer(1)};
}

/// A page is sent while it is read, so it can be a large one.
bool PostgresStore::scan_page(Database& any, int64_t run, OutcomeId& at,
                              const std::function<void(const ScoreRow&)>& visit) const {
  constexpr int64_t kPage = 500'000;
  auto& db = static_cast<PostgresDatabase&>(any);
  // The key has the order, and outcomes lie about in it. The planner thinks that a run has few of them and
  // would sort all that are left, for each page.
  db.script("SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off");
  const auto count = db.stream(
      "SELECT " ASSAY_SCORE_COLUMNS " FROM outcomes WHERE run = " + std::to_string(run) +
          " AND (item, model, evaluator, trial) > (" + std::to_string(at.item) + ", " +
          std::to_string(at.model) + ", " + std::to_string(at.evaluator) + ", " + std::to_string(at.trial) +
          ") ORDER BY item, model, evaluator, trial LIMIT " + std::to_string(kPage),
      [&](const Rows& row) { at = visit_score(row, visit); });
  return count < kPage;
}

Result<void> check_address(const std::string& address) {
  char* error = nullptr;
  PQconninfoOption* const options = PQconninfoParse(address.c_str(), &error);
  if (options == nullptr) {
    PQfreemem(error);  // it may show the address, and the address a password
    return fail(ErrorKind::config,
                "the store's address is none that PostgreSQL knows: postgresql://USER@HOST:PORT/DATABASE");
  }
  bool password = false;
  for (const auto* option = options; option->keyword != nullptr; ++option)
    password |= std::string_view(option->keyword) == "password" && option->val != nullptr;
  PQconninfoFree(options);
  if (!password) return {};
  return fail(
      ErrorKind::config,
      "the store's address holds a password, and addresses show in process lists: put it into a password "
      "file (~/.pgpass, or passfile=/PATH in the address)");
}

}  // namespace

bool is_postgres_address(std::string_view address) {
  return address.starts_with("postgresql://") || address.starts_with("postgres://");
}

Result<std::unique_ptr<Store>> open_postgres_store(PostgresOptions options) {
  ASSAY_OK(check_address(options.address));
  auto store = std::make_unique<PostgresStore>(std::move(options));
  ASSAY_OK(store->open());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace assay::api
