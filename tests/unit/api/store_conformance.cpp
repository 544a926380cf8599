// What every store must do, whatever is behind it.
#include <libpq-fe.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "api/store/postgres_store.hpp"
#include "api/store/sqlite_store.hpp"
#include "core/id.hpp"

namespace assay::api::test {
namespace {

/// Makes stores of one kind; each is empty, and gone with its maker.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual Result<std::unique_ptr<Store>> open(LeasePolicy leases, std::function<int64_t()> clock) = 0;
};

class Sqlite final : public Backend {
 public:
  Result<std::unique_ptr<Store>> open(LeasePolicy leases, std::function<int64_t()> clock) override {
    return open_sqlite_store({.leases = leases, .clock = std::move(clock)});
  }
};

/// A schema of its own in the server that tests/postgres.py has started.
class Postgres final : public Backend {
 public:
  explicit Postgres(std::string server) : server_(std::move(server)), schema_(make_id("t")) {
    sql("CREATE SCHEMA " + schema_);
  }
  ~Postgres() override { sql("DROP SCHEMA " + schema_ + " CASCADE"); }
  Result<std::unique_ptr<Store>> open(LeasePolicy leases, std::function<int64_t()> clock) override {
    return open_postgres_store({.address = server_ + "&options=-csearch_path%3D" + schema_,
                                .leases = leases,
                                .writers = 4,
                                .readers = 2,
                                .clock = std::move(clock)});
  }

 private:
  void sql(const std::string& text) const {
    PGconn* connection = PQconnectdb(server_.c_str());
    PGresult* result = PQexec(connection, ("SET client_min_messages = warning; " + text).c_str());
    const bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    const std::string error = PQerrorMessage(connection);
    PQclear(result);
    PQfinish(connection);
    if (!done) FAIL(error);
  }
  std::string server_, schema_;
};

std::vector<std::string> kinds() {
  if (std::getenv("ASSAY_TEST_POSTGRES") != nullptr) return {"sqlite", "postgres"};
  WARN("PostgreSQL is not tested: there is no ASSAY_TEST_POSTGRES; tests/postgres.py gives one");
  return {"sqlite"};
}

std::unique_ptr<Backend> backend(const std::string& kind) {
  if (kind == "sqlite") return std::make_unique<Sqlite>();
  return std::make_unique<Postgres>(std::getenv("ASSAY_TEST_POSTGRES"));
}

OutcomeBatch scores(int64_t from, int64_t to, double score, int evaluator = 0) {
  OutcomeBatch batch;
  for (int64_t item = from; item < to; ++item) batch.add({{item, 0, evaluator, 0}, Outcome::scored(score)});
  return batch;
}

/// A store with one project, one container, one dataset row and one evaluator, under a clock that stands
/// still.
class Fixture {
 public:
  explicit Fixture(const std::string& kind, LeasePolicy leases = {})
      : backend_(backend(kind)), thread_([this] { io_.run(); }) {
    auto opened = backend_->open(leases, [this] { return now_ms_.load(); });
    if (!opened) FAIL(opened.error().message);
    store_ = std::move(*opened);
    REQUIRE(wait(store_->tick()));  // as servers do when they start
    REQUIRE(wait(store_->create_key({"one", "k", kSubmit, "hash-one", {}})));
    REQUIRE(wait(store_->create_key({"two", "k", kSubmit, "hash-two", {}})));
    project_ = (*wait(store_->principal("hash-one")))->project();
    other_ = (*wait(store_->principal("hash-two")))->project();
    Container container;
    container.id = make_id("ctr_");
    container.label = "app";
    REQUIRE(wait(store_->create_container(project_, container, std::nullopt)));
    Evaluator evaluator;
    evaluator.id = make_id("eval_");
    evaluator.name = "exact";
    evaluator.spec = "{}";
    REQUIRE(wait(store_->create_evaluator(project_, evaluator, std::nullopt)));
  }
  ~Fixture() {
    store_.reset();
    work_.reset();
  }

  template <class T>
  T wait(Task<T> task) {
    return asio::co_spawn(io_, std::move(task), asio::use_future).get();
  }
  Store& store() { return *store_; }
  int64_t project() const { return project_; }
  int64_t other() const { return other_; }
  /// Time goes by while a server is there: it ticks.
  void advance(std::chrono::milliseconds time) {
    for (auto left = time; left.count() > 0; left -= kTick) {
      now_ms_ += std::min(left, kTick).count();
      REQUIRE(wait(store_->tick()));
    }
  }
  /// Time goes by and nobody is there.
  void be_away(std::chrono::milliseconds time) { now_ms_ += time.count(); }
  Access access() const { return {project_, {}}; }

  using Change = std::function<void(NewRun&)>;
  std::string create_run(int64_t items, int64_t shard_size, int64_t evaluators = 1,
                         const Change& change = {}) {
    NewRun plan;
    plan.run.id = make_id("run_");
    plan.run.items = items;
    plan.run.evaluators = evaluators;
    plan.run.shards = (items + shard_size - 1) / shard_size;
    plan.run.spec = plan.run.detail = "{}";
    plan.shard_size = shard_size;
    plan.container = wait(store_->container(access(), "app"))->row;
    plan.evaluators = {{wait(store_->evaluator({project_, {}}, "exact"))->row, 1}};
    plan.sources = {{SourceKind::container, plan.container}};
    if (change) change(plan);
    const auto created = wait(store_->create_run(project_, plan, std::nullopt));
    if (!created) FAIL(created.error().message);
    return plan.run.id;
  }
  /// Of the other project, which has no container.
  std::string create_run_of_other(int64_t items, int64_t shard_size) {
    NewRun plan;
    plan.run.id = make_id("run_");
    plan.run.items = items;
    plan.run.shards = (items + shard_size - 1) / shard_size;
    plan.run.spec = plan.run.detail = "{}";
    plan.shard_size = shard_size;
    REQUIRE(wait(store_->create_run(other_, plan, std::nullopt)));
    return plan.run.id;
  }
  WorkerRef add_worker(const std::string& name, const std::string& boot) {
    const auto id = wait(store_->register_worker(project_, {name, boot, "v", "full", {"main"}, 4, {}}));
    if (!id) FAIL(id.error().message);
    return {project_, *id, boot};
  }
  std::vector<Lease> claim(const WorkerRef& worker, int64_t max = 1, const std::string& claim_id = "") {
    const auto leases = wait(store_->claim({worker, claim_id.empty() ? make_id("") : claim_id, max}));
    if (!leases) FAIL(leases.error().message);
    return *leases;
  }
  void accept(const WorkerRef& worker, const Lease& lease) {
    REQUIRE(wait(store_->heartbeat(worker, "run", {lease.ref}))->verdicts[0] == LeaseVerdict::ok);
  }
  Answer<CompleteAnswer> complete(const WorkerRef& worker, const Lease& lease) {
    auto answers = wait(store_->complete(worker, {lease.ref}));
    if (!answers) return std::unexpected(answers.error());
    return answers->front();
  }
  std::string code(const auto& answer) { return answer ? "" : answer.error().code; }
  Run run(const std::string& id) { return *wait(store_->run(access(), id)); }

 private:
  std::unique_ptr<Backend> backend_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::jthread thread_;
  std::atomic<int64_t> now_ms_ = 1'000'000;
  static constexpr std::chrono::milliseconds kTick{5'000};
  std::unique_ptr<Store> store_;
  int64_t project_ = 0, other_ = 0;
};

}  // namespace

TEST_CASE("Store: an outcome counts once, whoever delivers it", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(10, 10);
  const auto one = f.add_worker("one", "b"), two = f.add_worker("two", "b");
  const auto lease = f.claim(one)[0];
  const auto first = f.wait(f.store().append(one, lease.ref, scores(0, 6, 1)));
  CHECK(first->inserted == 6);
  CHECK(first->held);
  // I1, I2: from another worker, without the lease, overlapping.
  LeaseRef forged = lease.ref;
  forged.token = "wrong";
  const auto second = f.wait(f.store().append(two, forged, scores(4, 8, 0)));
  CHECK(second->inserted == 2);
  CHECK(second->duplicate == 2);
  CHECK_FALSE(second->held);
  CHECK(f.run(run).outcomes == 8);
  std::vector<double> seen;
  REQUIRE(
      f.wait(f.store().scan_scores(f.run(run).row, [&](const ScoreRow& row) { seen.push_back(row.score); })));
  CHECK(seen == std::vector<double>{1, 1, 1, 1, 1, 1, 0, 0});
}

TEST_CASE("Store: what models were asked for is kept beside the score", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(2, 2);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  Outcome asked = Outcome::errored(ErrorKind::timeout, "late");
  asked.usage.models = {.calls = 3,
                        .from_cache = 1,
                        .input_tokens = 100,
                        .output_tokens = 20,
                        .nano_dollars = 123'456'789'012,
                        .unpriced = 1,
                        .estimated = 2};
  OutcomeBatch batch = scores(0, 1, 1);
  batch.add({{1, 0, 0, 0}, asked});
  REQUIRE(f.wait(f.store().append(worker, lease.ref, std::move(batch))));
  std::vector<ModelUse> seen;
  REQUIRE(f.wait(
      f.store().scan_scores(f.run(run).row, [&](const ScoreRow& row) { seen.push_back(row.models); })));
  asked.usage.models.from_cache = 0;
  CHECK(seen == std::vector<ModelUse>{{}, asked.usage.models});
}

TEST_CASE("Store: what workers are granted is never more than a run may spend", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto worker = f.add_worker("one", "b");
  CHECK(f.code(f.wait(f.store().grant_spend(worker, f.create_run(2, 2), 1, 0))) == "no_spend_limit");
  const auto run = f.create_run(2, 2, 1, [](NewRun& plan) { plan.run.spend_limit = 6'400; });
  const auto grant = [&](int64_t wanted, int64_t returned = 0) {
    return *f.wait(f.store().grant_spend(worker, run, wanted, returned));
  };
  CHECK(grant(1) == 100);  // a share
  CHECK(grant(6'301) == 0);
  CHECK(grant(6'000) == 6'000);
  CHECK(grant(300) == 300);
  CHECK(grant(1) == 0);
  CHECK(grant(0, 50) == 0);
  CHECK(grant(51) == 0);
  CHECK(grant(50) == 50);
  CHECK(grant(0, 1'000'000) == 0);  // more than was out
  CHECK(grant(6'400) == 6'400);
  CHECK(f.run(run).spend_limit == 6'400);
}

TEST_CASE("Store: a shard is done only when every outcome is there", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(5, 5);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  REQUIRE(f.wait(f.store().append(worker, lease.ref, scores(1, 3, 1))));
  const auto early = f.complete(worker, lease);
  CHECK(f.code(early) == "incomplete");
  CHECK(early.error().extra == "\"missing\":[[0,1],[3,5]]");
  REQUIRE(f.wait(f.store().append(worker, lease.ref, scores(0, 5, 1))));
  CHECK(f.complete(worker, lease)->last);
  CHECK(f.run(run).status == RunStatus::finalizing);
  // A repeat after a lost answer is told the same, and is not the last one again.
  CHECK_FALSE(f.complete(worker, lease)->last);
  // I10, I7.
  CHECK(*f.wait(f.store().finish_run(f.run(run).row, f.run(run).retries, "[]")));
  CHECK_FALSE(*f.wait(f.store().finish_run(f.run(run).row, f.run(run).retries, "[1]")));
  CHECK(f.run(run).metrics == "[]");
  CHECK(f.code(f.wait(f.store().cancel_run(f.access(), run))) == "run_finished");
  CHECK(f.code(f.wait(f.store().append(worker, lease.ref, scores(0, 1, 1)))) == "run_finished");
}

TEST_CASE("Store: an identity outside the shard is refused, and nothing of its batch kept", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(10, 5);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  const auto wrong = f.wait(f.store().append(worker, lease.ref, scores(3, 6, 1)));
  CHECK(f.code(wrong) == "invalid_value");
  CHECK(wrong.error().param == "outcomes[2]");
  CHECK(f.code(f.wait(f.store().append(worker, lease.ref, scores(0, 1, 1, 1)))) == "invalid_value");
  CHECK(f.run(run).outcomes == 0);
}

TEST_CASE("Store: control needs the current lease, data does not", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(4, 4);
  const auto zombie = f.add_worker("zombie", "b"), heir = f.add_worker("heir", "b");
  const auto old = f.claim(zombie)[0];
  f.accept(zombie, old);
  f.advance(std::chrono::seconds(31));
  const auto fresh = f.claim(heir)[0];
  CHECK(fresh.ref.epoch > old.ref.epoch);  // I9
  CHECK(fresh.ref.token != old.ref.token);
  CHECK(fresh.attempt == 2);
  CHECK(f.wait(f.store().append(zombie, old.ref, scores(0, 4, 1)))->inserted == 4);
  CHECK(f.code(f.complete(zombie, old)) == "lost");
  CHECK(f.code(f.wait(f.store().release(zombie, old.ref))) == "lost");
  CHECK(f.code(f.wait(f.store().fail_shard(zombie, old.ref, {ErrorKind::config, "no"}))) == "lost");
  CHECK(f.wait(f.store().heartbeat(zombie, "run", {old.ref}))->verdicts[0] == LeaseVerdict::lost);
  CHECK(f.wait(f.store().append(heir, fresh.ref, scores(0, 4, 0)))->duplicate == 4);
  CHECK(f.complete(heir, fresh)->last);
}

TEST_CASE("Store: what is stored already is told to the next that leases the shard", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  f.create_run(6, 6, 2);
  const auto worker = f.add_worker("one", "b");
  auto lease = f.claim(worker)[0];
  OutcomeBatch batch = scores(1, 3, 1, 0);
  batch.add({{2, 0, 1, 0}, Outcome::errored(ErrorKind::timeout, "slow")});
  REQUIRE(f.wait(f.store().append(worker, lease.ref, std::move(batch))));
  REQUIRE(f.wait(f.store().release(worker, lease.ref)));
  lease = f.claim(worker)[0];
  CHECK(lease.attempt == 1);  // a release counts none
  CHECK(lease.done == std::vector<Range>{{2, 3}, {4, 6}});
}

TEST_CASE("Store: an offer that is not accepted goes back without an attempt", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  f.create_run(4, 4);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker, 1, "claim-1")[0];
  SECTION("the same claim gets the same leases") {
    const auto again = f.claim(worker, 4, "claim-1");
    REQUIRE(again.size() == 1);
    CHECK(again[0].ref.token == lease.ref.token);
    CHECK(f.claim(worker).empty());
  }
  SECTION("a heartbeat tells of leases that it did not list") {
    const auto answer = f.wait(f.store().heartbeat(worker, "run", {}));
    REQUIRE(answer->unknown.size() == 1);
    CHECK(answer->unknown[0].ref.token == lease.ref.token);
  }
  SECTION("after a while it is offered again") {
    f.advance(std::chrono::seconds(31));
    CHECK(f.claim(worker)[0].attempt == 1);
  }
}

TEST_CASE("Store: another boot of a worker ends the leases of the first", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  f.create_run(4, 4);
  const auto old = f.add_worker("one", "boot-1");
  const auto lease = f.claim(old)[0];
  const auto fresh = f.add_worker("one", "boot-2");
  CHECK(fresh.worker_id == old.worker_id);
  CHECK(f.claim(fresh).size() == 1);
  CHECK(f.code(f.wait(f.store().heartbeat(old, "run", {lease.ref}))) == "superseded");
  CHECK(f.code(f.wait(f.store().append(old, lease.ref, scores(0, 1, 1)))) == "superseded");
  CHECK(f.code(f.wait(f.store().register_worker(
            f.project(), {"one", "boot-1", "v", "full", {"main"}, 1, {}}))) == "superseded");
  CHECK(f.code(f.wait(f.store().heartbeat({f.project(), "wrk_nobody", "b"}, "run", {}))) == "unknown_worker");
}

TEST_CASE("Store: failures that may pass are retried, three without progress end the run", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(4, 4);
  const auto worker = f.add_worker("one", "b");
  SECTION("a failure that stays ends it at once") {
    const auto lease = f.claim(worker)[0];
    REQUIRE(f.wait(f.store().fail_shard(worker, lease.ref, {ErrorKind::config, "no such column"})));
    CHECK(f.run(run).error == "config: no such column");
    CHECK(*f.wait(f.store().finish_run(f.run(run).row, f.run(run).retries, "[]")));
    CHECK(f.run(run).status == RunStatus::error);
    CHECK(f.wait(f.store().heartbeat(worker, "run", {lease.ref}))->verdicts[0] == LeaseVerdict::cancel);
  }
  SECTION("one new outcome starts the count again") {
    for (int round = 0; round < 5; ++round) {
      f.advance(std::chrono::seconds(61));
      const auto lease = f.claim(worker)[0];
      CHECK(lease.attempt == round + 1);
      if (round == 1) REQUIRE(f.wait(f.store().append(worker, lease.ref, scores(0, 1, 1)))->inserted == 1);
      REQUIRE(f.wait(f.store().fail_shard(worker, lease.ref, {ErrorKind::transport, "gone"})));
      CHECK(f.claim(worker).empty());  // it waits first
      f.advance(std::chrono::seconds(1));
      CHECK((f.run(run).status == RunStatus::finalizing) == (round == 3));
      if (round == 3) break;
    }
  }
}

TEST_CASE("Store: a small run does not wait behind a large one", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto large = f.create_run(1000, 1);
  const auto worker = f.add_worker("one", "b");
  CHECK(f.claim(worker, 10).size() == 10);
  const auto small = f.create_run(2, 1);
  const auto leases = f.claim(worker, 4);
  CHECK(std::ranges::count_if(leases, [&](const Lease& lease) { return lease.ref.run == small; }) == 2);
}

TEST_CASE("Store: cancelling ends every lease", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(4, 2);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  REQUIRE(f.wait(f.store().cancel_run(f.access(), run)));
  CHECK(f.wait(f.store().heartbeat(worker, "run", {lease.ref}))->verdicts[0] == LeaseVerdict::cancel);
  CHECK(f.code(f.wait(f.store().append(worker, lease.ref, scores(0, 1, 1)))) == "run_finished");
  CHECK(f.code(f.complete(worker, lease)) == "lost");
  CHECK(f.claim(worker).empty());
}

TEST_CASE("Store: rows chosen by the planner come with the lease", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  NewRun plan;
  plan.run.id = make_id("run_");
  plan.run.items = 5;
  plan.run.shards = 2;
  plan.run.spec = plan.run.detail = "{}";
  plan.shard_size = 3;
  plan.container = f.wait(f.store().container(f.access(), "app"))->row;
  plan.sample_rows = {7, 3, 1'000'000'000'000, 0, 2};
  REQUIRE(f.wait(f.store().create_run(f.project(), plan, std::nullopt)));
  const auto worker = f.add_worker("one", "b");
  const auto leases = f.claim(worker, 2);
  CHECK(leases[0].sample_rows == std::vector<int64_t>{7, 3, 1'000'000'000'000});
  CHECK(leases[1].sample_rows == std::vector<int64_t>{0, 2});
  CHECK_FALSE(leases[0].ground_truth_rows);
}

TEST_CASE("Store: a project does not see another's things", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(4, 4);
  CHECK(f.code(f.wait(f.store().run({f.other(), {}}, run))) == "run_not_found");
  CHECK(f.code(f.wait(f.store().cancel_run({f.other(), {}}, run))) == "run_not_found");
  CHECK(f.code(f.wait(f.store().container({f.other(), {}}, "app"))) == "container_not_found");
  CHECK(f.code(f.wait(f.store().evaluator({f.other(), {}}, "exact"))) == "evaluator_not_found");
  CHECK(f.wait(f.store().runs({f.other(), {}}, {}, {}))->total == 0);
  const auto stranger =
      f.wait(f.store().register_worker(f.other(), {"w", "b", "v", "full", {"main"}, 1, {}}));
  const WorkerRef worker{f.other(), *stranger, "b"};
  CHECK(f.claim(worker).empty());
  CHECK(f.code(f.wait(f.store().append(worker, {run, 0, 1, "t"}, scores(0, 1, 1)))) == "run_not_found");
}

TEST_CASE("Store: an upload is invisible until it is finished", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  auto& store = f.store();
  const auto upload = f.wait(store.begin_upload(f.project(), "d"));
  REQUIRE(f.wait(store.append_rows(*upload, 0, 2, "{\"a\":1}\n{\"a\":2}\n")));
  REQUIRE(f.wait(store.append_rows(*upload, 2, 1, "{\"a\":3}\n")));
  CHECK(f.code(f.wait(store.dataset(f.project(), "d"))) == "dataset_not_found");
  Dataset dataset;
  dataset.id = make_id("ds_");
  dataset.name = "d";
  dataset.rows = 3;
  REQUIRE(f.wait(store.finish_upload(f.project(), *upload, dataset, Receipt{"key", "hash", "answer"})));
  const auto stored = f.wait(store.dataset(f.project(), dataset.id));
  CHECK(f.wait(store.dataset_lines(stored->row, {{2, 3}, {0, 1}}, 1000))->text == "{\"a\":3}\n{\"a\":1}\n");
  CHECK(f.wait(store.dataset_lines(stored->row, {{0, 3}}, 1))->rows ==
        2);  // at least a piece, though it is larger
  CHECK((*f.wait(store.receipt(f.project(), "key")))->response == "answer");
  CHECK_FALSE((*f.wait(store.receipt(f.other(), "key"))).has_value());

  const auto second = f.wait(store.begin_upload(f.project(), "d"));
  dataset.id = make_id("ds_");
  CHECK(f.code(f.wait(store.finish_upload(f.project(), *second, dataset, std::nullopt))) == "label_conflict");
  const Receipt used{"key", "other", "x"};
  CHECK(f.code(f.wait(store.finish_upload(f.project(), *second, dataset, used))) == "idempotency_key_in_use");
  REQUIRE(f.wait(store.abort_upload(*second)));
}

TEST_CASE("Store: many threads complete a run exactly once", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(64, 1);
  std::atomic<int> last = 0, wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        const auto worker = f.wait(f.store().register_worker(
            f.project(), {"w" + std::to_string(t), "b", "v", "full", {"main"}, 1, {}}));
        const WorkerRef who{f.project(), *worker, "b"};
        for (;;) {
          const auto leases = f.wait(f.store().claim({who, make_id(""), 2}));
          if (leases->empty()) return;
          for (const auto& lease : *leases) {
            const auto appended = f.wait(f.store().append(who, lease.ref, scores(lease.lo, lease.hi, 1)));
            const auto completed = f.complete(who, lease);
            if (!appended || !completed) ++wrong;
            if (completed && completed->last) ++last;
          }
        }
      });
  }
  CHECK(wrong == 0);
  CHECK(last == 1);
  CHECK(f.run(run).status == RunStatus::finalizing);
  CHECK(f.run(run).shards_done == 64);
}

TEST_CASE("Store: a shard that loses its worker again and again is set aside", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(4, 2);
  const auto good = f.add_worker("good", "b");
  for (int round = 0; round < 3; ++round) {
    const auto doomed = f.add_worker("doomed", "boot-" + std::to_string(round));
    const auto leases = f.claim(doomed);
    REQUIRE(leases.size() == 1);
    CHECK(leases[0].ref.shard == 0);
    f.accept(doomed, leases[0]);
  }
  f.add_worker("doomed", "boot-3");
  f.advance(std::chrono::seconds(1));
  const auto rest = f.claim(good, 4);
  REQUIRE(rest.size() == 1);
  CHECK(rest[0].ref.shard == 1);
  REQUIRE(f.wait(f.store().append(good, rest[0].ref, scores(2, 4, 1))));
  CHECK(f.complete(good, rest[0])->last);
  CHECK(f.run(run).shards_aside == 1);
  CHECK(f.run(run).error.starts_with("shards set aside: 1; the first, with the items 0 to 1: internal: "));
  CHECK(*f.wait(f.store().finish_run(f.run(run).row, f.run(run).retries, "[1]")));
  CHECK(f.run(run).status == RunStatus::error);
  CHECK(f.run(run).metrics == "[1]");
  CHECK(f.run(run).outcomes == 2);
  // Retried, it gets three lives again.
  CHECK(*f.wait(f.store().retry_run(f.access(), run)) == 2);
  CHECK(f.run(run).status == RunStatus::running);
  CHECK(f.run(run).error.empty());
  CHECK_FALSE(*f.wait(f.store().finish_run(f.run(run).row, 0, "[1]")));  // of before the retry
  const auto again = f.claim(good, 4);
  REQUIRE(again.size() == 1);
  CHECK(again[0].attempt == 1);
  REQUIRE(f.wait(f.store().append(good, again[0].ref, scores(0, 2, 1))));
  CHECK(f.complete(good, again[0])->last);
}

TEST_CASE("Store: what comes late for a shard that was set aside counts until the run has ended",
          "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(4, 2);
  const auto good = f.add_worker("good", "b");
  LeaseRef late;
  for (int round = 0; round < 3; ++round) {
    const auto doomed = f.add_worker("doomed", "boot-" + std::to_string(round));
    const auto leases = f.claim(doomed);
    REQUIRE(leases.size() == 1);
    late = leases[0].ref;
    f.accept(doomed, leases[0]);
  }
  f.add_worker("doomed", "boot-3");
  f.advance(std::chrono::seconds(1));  // it is set aside
  auto beyond = late;
  beyond.epoch += 1000;
  CHECK(f.wait(f.store().append(good, beyond, scores(0, 2, 1)))->inserted == 0);  // was never leased
  CHECK(f.wait(f.store().append(good, late, scores(0, 1, 1)))->inserted == 1);
  const auto rest = f.claim(good, 4);
  REQUIRE(rest.size() == 1);
  REQUIRE(f.wait(f.store().append(good, rest[0].ref, scores(2, 4, 1))));
  CHECK(f.wait(f.store().append(good, late, scores(1, 2, 1)))->inserted == 1);
  CHECK(f.complete(good, rest[0])->last);
  CHECK(f.code(f.wait(f.store().append(good, late, scores(0, 2, 1)))) == "run_finished");
  REQUIRE(*f.wait(f.store().finish_run(f.run(run).row, 0, "[]")));
  CHECK(f.run(run).status == RunStatus::error);
  CHECK(f.run(run).outcomes == 4);
  // Nothing is missing, but the shard was never completed: a retry ends that.
  REQUIRE(f.wait(f.store().retry_run(f.access(), run)));
  const auto again = f.claim(good, 4);
  REQUIRE(again.size() == 1);
  CHECK(again[0].done == std::vector<Range>{{0, 2}});
  CHECK(f.complete(good, again[0])->last);
  REQUIRE(*f.wait(f.store().finish_run(f.run(run).row, 1, "[]")));
  CHECK(f.run(run).status == RunStatus::completed);
}

TEST_CASE("Store: while nobody could renew them no leases run out", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  f.create_run(4, 4);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  f.accept(worker, lease);
  f.be_away(std::chrono::hours(1));
  REQUIRE(f.wait(f.store().tick()));
  f.accept(worker, lease);
  f.be_away(-std::chrono::hours(2));  // the clock was set back
  REQUIRE(f.wait(f.store().tick()));
  f.advance(std::chrono::seconds(31));
  CHECK(f.wait(f.store().heartbeat(worker, "run", {lease.ref}))->verdicts[0] == LeaseVerdict::lost);
}

TEST_CASE("Store: a lease that is renewed for ever and brings nothing is lost", "[api][store]") {
  using namespace std::chrono_literals;
  LeasePolicy policy;
  const bool limited = GENERATE(true, false);
  if (limited) policy.stall = 10min;
  Fixture f(GENERATE(from_range(kinds())), policy);
  const auto run = f.create_run(4, 4);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  const auto renew_for = [&](std::chrono::milliseconds time) {
    auto verdict = LeaseVerdict::ok;
    for (; time > 0ms && verdict == LeaseVerdict::ok; time -= 20s) {
      verdict = f.wait(f.store().heartbeat(worker, "run", {lease.ref}))->verdicts[0];
      f.advance(20s);
    }
    return f.wait(f.store().heartbeat(worker, "run", {lease.ref}))->verdicts[0];
  };
  CHECK(renew_for(9min) == LeaseVerdict::ok);
  REQUIRE(f.wait(f.store().append(worker, lease.ref, scores(0, 1, 1)))->inserted == 1);
  CHECK(renew_for(9min) == LeaseVerdict::ok);  // a new outcome starts the time again
  REQUIRE(f.wait(f.store().append(worker, lease.ref, scores(0, 1, 1)))->duplicate == 1);
  CHECK(renew_for(2min) == (limited ? LeaseVerdict::lost : LeaseVerdict::ok));
  if (!limited) return;
  // What it brings late still counts, and the next to lease the shard has a whole time again.
  CHECK(f.wait(f.store().append(worker, lease.ref, scores(1, 2, 1)))->inserted == 1);
  const auto again = f.claim(worker);
  REQUIRE(again.size() == 1);
  CHECK(again[0].attempt == 2);
  f.accept(worker, again[0]);
  f.advance(20s);
  f.accept(worker, again[0]);
  CHECK(f.run(run).outcomes == 2);
}

TEST_CASE("Store: a paused run hands nothing out and takes what it is given", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(4, 2);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  REQUIRE(f.wait(f.store().pause_run(f.access(), run, true)));
  CHECK(f.run(run).paused);
  CHECK(f.claim(worker).empty());
  CHECK(f.wait(f.store().heartbeat(worker, "run", {lease.ref}))->verdicts[0] == LeaseVerdict::pause);
  CHECK(f.wait(f.store().append(worker, lease.ref, scores(0, 1, 1)))->inserted == 1);
  REQUIRE(f.wait(f.store().release(worker, lease.ref)));
  CHECK(f.claim(worker).empty());
  REQUIRE(f.wait(f.store().pause_run(f.access(), run, false)));
  CHECK(f.claim(worker, 4).size() == 2);
  REQUIRE(f.wait(f.store().cancel_run(f.access(), run)));
  CHECK(f.code(f.wait(f.store().pause_run(f.access(), run, true))) == "run_finished");
}

TEST_CASE("Store: retrying forgets what erred, and only that", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(6, 3);
  const auto worker = f.add_worker("one", "b");
  const auto leases = f.claim(worker, 2);
  CHECK(f.code(f.wait(f.store().retry_run(f.access(), run))) == "run_not_finished");
  OutcomeBatch first = scores(0, 2, 1);
  first.add({{2, 0, 0, 0}, Outcome::errored(ErrorKind::timeout, "slow")});
  REQUIRE(f.wait(f.store().append(worker, leases[0].ref, std::move(first))));
  REQUIRE(f.wait(f.store().append(worker, leases[1].ref, scores(3, 6, 1))));
  REQUIRE(f.complete(worker, leases[0]));
  REQUIRE(f.complete(worker, leases[1])->last);
  REQUIRE(f.wait(f.store().finish_run(f.run(run).row, f.run(run).retries, "[]")));
  CHECK(f.run(run).errors == 1);

  CHECK(*f.wait(f.store().retry_run(f.access(), run)) == 1);
  CHECK(f.run(run).outcomes == 5);
  CHECK(f.run(run).errors == 0);
  CHECK(f.run(run).metrics.empty());
  // What a worker of before still brings is of before: the run has forgotten it.
  OutcomeBatch stale;
  stale.add({{2, 0, 0, 0}, Outcome::errored(ErrorKind::timeout, "slow")});
  CHECK(f.wait(f.store().append(worker, leases[0].ref, std::move(stale)))->inserted == 0);
  const auto again = f.claim(worker, 4);
  REQUIRE(again.size() == 1);
  CHECK(again[0].done == std::vector<Range>{{0, 2}});
  REQUIRE(f.wait(f.store().append(worker, again[0].ref, scores(2, 3, 0.5))));
  CHECK(f.complete(worker, again[0])->last);
  REQUIRE(f.wait(f.store().finish_run(f.run(run).row, f.run(run).retries, "[]")));
  CHECK(f.run(run).status == RunStatus::completed);
  CHECK(f.code(f.wait(f.store().retry_run(f.access(), run))) == "nothing_to_retry");
  REQUIRE(f.wait(f.store().delete_container(f.access(), "app")));
  CHECK(f.code(f.wait(f.store().retry_run(f.access(), run))) == "source_deleted");
}

namespace {

OutcomeRow text(int64_t item, const std::string& output) {
  auto outcome = Outcome::generated(output);
  outcome.generation = "of " + output;
  return {{item, 0, 1, 0}, std::move(outcome)};
}

OutcomeRow score_of(int64_t item, const std::string& output, double score) {
  auto outcome = Outcome::scored(score);
  outcome.generation = "of " + output;
  return {{item, 0, 0, 0}, std::move(outcome)};
}

OutcomeBatch batch_of(const std::vector<OutcomeRow>& rows) {
  OutcomeBatch batch;
  for (const auto& row : rows) batch.add(row);
  return batch;
}

}  // namespace

TEST_CASE("Store: of two texts of an item the first is kept, and no score of the other", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(3, 3, 2);
  const auto one = f.add_worker("one", "b"), two = f.add_worker("two", "b");
  const auto lease = f.claim(one)[0];
  const auto append = [&](const WorkerRef& who, const std::vector<OutcomeRow>& rows) {
    return f.wait(f.store().append(who, lease.ref, batch_of(rows)))->inserted;
  };
  CHECK(append(one, {text(0, "a"), score_of(0, "a", 1), text(1, "b")}) == 3);
  // A worker whose lease is another's by now brings what it had: its text of item 2 is the first.
  CHECK(append(two, {text(1, "z"), score_of(1, "z", 0), text(2, "c"), score_of(2, "c", 0.5)}) == 2);
  CHECK(append(one, {text(2, "y"), score_of(2, "y", 0), score_of(1, "b", 1)}) == 1);
  // Not of a text that nobody brought, before it or without it.
  CHECK(append(one, {score_of(0, "x", 0)}) == 0);
  const auto results = f.wait(f.store().results(f.run(run).row, std::nullopt, {}, 100));
  std::vector<std::string> kept;
  for (const auto& row : *results)
    kept.push_back(row.verdict == Verdict::generated     ? row.payload.substr(0, 13)
                   : std::to_string(row.score)[2] == '5' ? "0.5"
                                                         : std::to_string(static_cast<int>(row.score)));
  CHECK(kept == std::vector<std::string>{"1", R"({"output":"a")", "1", R"({"output":"b")", "0.5",
                                         R"({"output":"c")"});
  CHECK(f.complete(one, lease)->last);

  // Only those of some items.
  const auto of_one =
      f.wait(f.store().results(f.run(run).row, OutcomeId{0, 9, 9, 9}, {.evaluator = 1, .until = 2}, 9));
  REQUIRE(of_one->size() == 1);
  CHECK(of_one->front().id == OutcomeId{1, 0, 1, 0});
}

TEST_CASE("Store: a run whose texts an open run reads stays", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())), {.retention = std::chrono::hours(1)});
  const auto first = f.create_run(1, 1, 2);
  REQUIRE(f.wait(f.store().cancel_run(f.access(), first)));
  const auto row = f.run(first).row;
  const auto reads_first = [&](NewRun& plan) { plan.sources.push_back({SourceKind::run, row}); };
  const auto second = f.create_run(1, 1, 1, reads_first);
  CHECK(f.code(f.wait(f.store().delete_run(f.access(), first))) == "run_in_use");
  REQUIRE(f.wait(f.store().cancel_run(f.access(), second)));
  REQUIRE(f.wait(f.store().delete_run(f.access(), first)));
  CHECK(f.code(f.wait(f.store().retry_run(f.access(), second))) == "source_deleted");
}

TEST_CASE("Store: a deleted run is gone at once, and its rows in time", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(6, 3);
  CHECK(f.code(f.wait(f.store().delete_run(f.access(), run))) == "run_not_finished");
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  REQUIRE(f.wait(f.store().append(worker, lease.ref, scores(0, 3, 1))));
  REQUIRE(f.wait(f.store().cancel_run(f.access(), run)));
  const auto row = f.run(run).row;
  REQUIRE(f.wait(f.store().delete_run(f.access(), run)));
  CHECK(f.code(f.wait(f.store().run(f.access(), run))) == "run_not_found");
  CHECK(f.wait(f.store().runs(f.access(), {}, {}))->total == 0);
  CHECK(f.code(f.wait(f.store().append(worker, lease.ref, scores(0, 3, 1)))) == "run_not_found");
  for (int i = 0; i < 3; ++i) REQUIRE(f.wait(f.store().tick()));
  CHECK(f.wait(f.store().count_results(row, {})) == 0);
}

TEST_CASE("Store: totals follow every change of a run", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto totals = [&] {
    std::vector<int64_t> found{f.wait(f.store().runs(f.access(), {}, {}))->total};
    for (const auto status : {RunStatus::queued, RunStatus::running, RunStatus::cancelled}) {
      RunFilter filter;
      filter.status = status;
      const auto list = f.wait(f.store().runs(f.access(), filter, {}));
      CHECK(static_cast<int64_t>(list->data.size()) == list->total);
      found.push_back(list->total);
    }
    return found;
  };
  using Totals = std::vector<int64_t>;
  const bool ticks = GENERATE(false, true);  // between the changes
  const auto changed = [&] {
    if (ticks) REQUIRE(f.wait(f.store().tick()));
    return totals();
  };
  CHECK(changed() == Totals{0, 0, 0, 0});
  const auto first = f.create_run(6, 3);
  f.create_run(6, 3);
  CHECK(changed() == Totals{2, 2, 0, 0});
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  f.accept(worker, lease);
  CHECK(changed() == Totals{2, 1, 1, 0});
  REQUIRE(f.wait(f.store().cancel_run(f.access(), first)));
  CHECK(changed() == Totals{2, 1, 0, 1});
  REQUIRE(f.wait(f.store().delete_run(f.access(), first)));
  CHECK(changed() == Totals{1, 1, 0, 0});
  for (int i = 0; i < 3; ++i) REQUIRE(f.wait(f.store().tick()));
  CHECK(totals() == Totals{1, 1, 0, 0});
  CHECK(f.wait(f.store().runs({f.other(), {}}, {}, {}))->total == 0);
}

TEST_CASE("Store: ended runs are kept as long as the operator says", "[api][store]") {
  LeasePolicy policy;
  policy.retention = std::chrono::milliseconds(1);
  Fixture f(GENERATE(from_range(kinds())), policy);
  const auto ended = f.create_run(2, 2), open = f.create_run(2, 2);
  REQUIRE(f.wait(f.store().cancel_run(f.access(), ended)));
  const auto gone = [&] {
    REQUIRE(f.wait(f.store().tick()));
    return f.code(f.wait(f.store().run(f.access(), ended))) == "run_not_found";
  };
  const auto end = Clock::now() + std::chrono::seconds(10);
  bool is_gone = gone();
  while (!is_gone && Clock::now() < end) is_gone = gone();
  CHECK(is_gone);
  CHECK(f.run(open).id == open);
}

TEST_CASE("Store: labels, environments and priorities direct what a worker gets", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto plain = f.create_run(4, 2);
  const auto gpu =
      f.create_run(4, 2, 1, [](NewRun& plan) { plan.run.required = {"gpu:a100", "language:lua"}; });
  const auto urgent = f.create_run(4, 2, 1, [](NewRun& plan) { plan.run.priority = 5; });
  const auto staging = f.create_run(4, 2, 1, [](NewRun& plan) { plan.run.environment = "staging"; });
  const auto runs_of = [&](std::vector<std::string> environments, std::vector<std::string> labels) {
    const auto name = make_id("w");
    const auto id = f.wait(f.store().register_worker(
        f.project(), {name, "b", "v", "full", std::move(environments), 4, std::move(labels)}));
    const WorkerRef who{f.project(), *id, "b"};
    std::vector<std::string> runs;
    for (const auto& lease : f.claim(who, 8)) {
      if (runs.empty() || runs.back() != lease.ref.run) runs.push_back(lease.ref.run);
      REQUIRE(f.wait(f.store().release(who, lease.ref)));
    }
    std::ranges::sort(runs);
    return runs;
  };
  const auto sorted = [](std::vector<std::string> runs) {
    std::ranges::sort(runs);
    return runs;
  };
  CHECK(runs_of({"main"}, {}) == sorted({plain, urgent}));
  CHECK(runs_of({"main"}, {"gpu:a100"}) == sorted({plain, urgent}));
  CHECK(runs_of({"main"}, {"gpu:a100", "language:lua", "more"}) == sorted({plain, urgent, gpu}));
  CHECK(runs_of({"staging", "other"}, {}) == std::vector{staging});
  const auto worker = f.add_worker("one", "b");
  CHECK(f.claim(worker)[0].ref.run == urgent);
}

TEST_CASE("Store: a worker of the fleet serves every project evenly", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto large = f.create_run(100'000, 10);
  const auto id =
      f.wait(f.store().register_worker(kAnyProject, {"fleet", "b", "v", "full", {"main"}, 8, {}}));
  const WorkerRef fleet{kAnyProject, *id, "b"};
  CHECK(f.claim(fleet, 50).size() == 50);
  const auto small = f.create_run_of_other(10, 1);
  const auto leases = f.claim(fleet, 8);
  CHECK(std::ranges::count_if(leases, [&](const Lease& lease) { return lease.ref.run == small; }) == 8);
  const auto lease = *std::ranges::find_if(leases, [&](const Lease& l) { return l.ref.run == small; });
  CHECK(f.wait(f.store().append(fleet, lease.ref, scores(lease.lo, lease.hi, 1)))->inserted == 1);
  CHECK(f.complete(fleet, lease));
  // Equal shares from there on.
  const auto more = f.claim(fleet, 4);
  CHECK(std::ranges::count_if(more, [&](const Lease& l) { return l.ref.run == small; }) == 2);
  // A project sees the fleet's workers and how many of its own shards they hold; not those of others.
  const auto seen = *f.wait(f.store().workers(f.other()));
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].fleet);
  CHECK(seen[0].leases == 9);
  (void)large;
}

TEST_CASE("Store: a key sees what it was made for", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  auto& store = f.store();
  const auto seen = f.create_run(2, 2);
  Container hidden;
  hidden.id = make_id("ctr_");
  hidden.label = "hidden";
  REQUIRE(f.wait(store.create_container(f.project(), hidden, std::nullopt)));
  const auto unseen = f.create_run(
      2, 2, 1, [&](NewRun& plan) { plan.container = f.wait(store.container(f.access(), "hidden"))->row; });
  REQUIRE(f.wait(store.create_key({"one", "narrow", kRead | kSubmit, "narrow-hash-1234567", {"app"}})));
  CHECK(f.code(f.wait(store.create_key({"one", "k", kRead, "x", {"nowhere"}}))) == "container_not_found");
  CHECK(f.code(f.wait(store.create_key({"one", "k", kWorker, "x", {"app"}}))) == "invalid_value");
  CHECK(f.code(f.wait(store.create_key({"*", "k", kRead, "x", {}}))) == "invalid_value");
  const auto narrow = (*f.wait(store.principal("narrow-hash-1234567")))->access;
  CHECK(narrow.containers.size() == 1);
  CHECK(f.wait(store.containers(narrow, {}))->total == 1);
  CHECK(f.code(f.wait(store.container(narrow, "hidden"))) == "container_not_found");
  CHECK(f.code(f.wait(store.container(narrow, hidden.id))) == "container_not_found");
  CHECK(f.wait(store.runs(narrow, {}, {}))->total == 1);
  CHECK(f.wait(store.runs(narrow, {}, {}))->data[0].id == seen);
  CHECK(f.wait(store.run(narrow, seen)));
  CHECK(f.code(f.wait(store.run(narrow, unseen))) == "run_not_found");
  CHECK(f.code(f.wait(store.cancel_run(narrow, unseen))) == "run_not_found");
  const auto keys = *f.wait(store.keys());
  const auto key = std::ranges::find(keys, "narrow", &KeyInfo::name);
  REQUIRE(key != keys.end());
  CHECK(key->id == "key_narrow-hash-");
  CHECK(key->containers == std::vector<std::string>{"app"});
  REQUIRE(f.wait(store.revoke_key(key->id)));
  CHECK_FALSE((*f.wait(store.principal("narrow-hash-1234567"))).has_value());
  CHECK(f.code(f.wait(store.revoke_key(key->id))) == "key_not_found");
}

TEST_CASE("Store: who did what is kept, by project", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  REQUIRE(f.wait(f.store().audit(f.project(), {1, "key_a", "POST /x", "run_1", "req", 200})));
  REQUIRE(f.wait(f.store().audit(f.project(), {2, "key_b", "DELETE /x", "run_1", "req", 409})));
  const auto log = *f.wait(f.store().audit_log(f.project(), {1, 0}));
  CHECK(log.total == 2);
  REQUIRE(log.data.size() == 1);
  CHECK(log.data[0].key_id == "key_b");
  CHECK(log.data[0].status == 409);
  CHECK(f.wait(f.store().audit_log(f.other(), {}))->total == 0);
}

TEST_CASE("Store: how long a worker was silent goes by one clock", "[api][store]") {
  const auto kind = GENERATE(from_range(kinds()));
  Fixture f(kind);
  const auto worker = f.add_worker("one", "b");
  const auto silent = [&] { return (*f.wait(f.store().workers(f.project())))[0].silent; };
  CHECK(silent() < std::chrono::seconds(60));
  f.advance(std::chrono::minutes(2));
  if (kind == "postgres")
    CHECK(silent() == std::chrono::minutes(2));  // the database's, which the test has set
  REQUIRE(f.wait(f.store().heartbeat(worker, "run", {})));
  CHECK(silent() < std::chrono::seconds(60));
}

TEST_CASE("Store: the audit log is kept as long as the operator says", "[api][store]") {
  LeasePolicy policy;
  const bool limited = GENERATE(true, false);
  if (limited) policy.audit_retention = std::chrono::hours(1);
  Fixture f(GENERATE(from_range(kinds())), policy);
  for (int i = 0; i < 150; ++i)
    REQUIRE(f.wait(f.store().audit(f.project(), {now_ms() - 3'700'000, "old", "POST /x", "", "", 200})));
  REQUIRE(f.wait(f.store().audit(f.project(), {now_ms(), "new", "POST /x", "", "", 200})));
  for (int i = 0; i < 3; ++i) REQUIRE(f.wait(f.store().tick()));
  const auto log = *f.wait(f.store().audit_log(f.project(), {}));
  CHECK(log.total == (limited ? 1 : 151));
  CHECK(log.data[0].key_id == "new");
}

TEST_CASE("Store: many leases complete in one call, each by its own right", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(3, 1), other = f.create_run(1, 1);
  const auto worker = f.add_worker("one", "b");
  auto leases = f.claim(worker, 8);
  REQUIRE(leases.size() == 4);
  std::vector<LeaseRef> refs;
  for (const auto& lease : leases) {
    refs.push_back(lease.ref);
    if (lease.ref.run == run && lease.ref.shard == 1) continue;  // has no outcome
    REQUIRE(f.wait(f.store().append(worker, lease.ref, scores(lease.lo, lease.hi, 1))));
  }
  refs.push_back({"run_nowhere", 0, 1, "t"});
  refs.push_back({run, 99, 1, "t"});
  LeaseRef forged = refs[0];
  forged.token = "forged";
  refs.push_back(forged);
  const auto answers = *f.wait(f.store().complete(worker, refs));
  REQUIRE(answers.size() == 7);
  int done = 0, last = 0;
  for (size_t i = 0; i < 4; ++i) {
    done += answers[i] ? 1 : 0;
    last += answers[i] && answers[i]->last ? 1 : 0;
    if (!answers[i]) CHECK(f.code(answers[i]) == "incomplete");
  }
  CHECK(done == 3);
  CHECK(last == 1);
  CHECK(f.code(answers[4]) == "run_not_found");
  CHECK(f.code(answers[5]) == "shard_not_found");
  CHECK(f.code(answers[6]) == "lost");
  CHECK(f.run(other).status == RunStatus::finalizing);
  CHECK(f.run(run).shards_done == 2);
}

TEST_CASE("Store: every byte that JSON may hold comes back", "[api][store]") {
  Fixture f(GENERATE(from_range(kinds())));
  const auto run = f.create_run(1, 1);
  const auto worker = f.add_worker("one", "b");
  const auto lease = f.claim(worker)[0];
  Outcome outcome = Outcome::scored(0.1 + 0.2);
  outcome.reason = std::string("a\0b", 3) + "\u2028'\"\\ \U0001F600 {1,2}";
  OutcomeBatch batch;
  batch.add({{0, 0, 0, 0}, outcome});
  const std::string payload = batch.payloads;
  REQUIRE(f.wait(f.store().append(worker, lease.ref, std::move(batch))));
  const auto rows = *f.wait(f.store().results(f.run(run).row, std::nullopt, {}, 10));
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].payload == payload);
  CHECK(rows[0].score == 0.1 + 0.2);
}

}  // namespace assay::api::test
