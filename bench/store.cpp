// How many outcomes a second the SQLite store takes, on a real file with every batch flushed to the disk.
//   assay-bench-store [PATH] [OUTCOMES] [BATCH] [WORKERS]
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "api/store/sqlite_store.hpp"
#include "core/async/scope.hpp"
#include "core/id.hpp"

namespace {

using namespace assay;
using namespace assay::api;

constexpr int64_t kProject = 1;  // the first of a store that is made here

struct Load {
  int64_t outcomes = 500'000, batch = 1000, workers = 4;
  int64_t shard = 10'000;
};

[[noreturn]] void stop(const Problem& problem) {
  std::fprintf(stderr, "assay-bench-store: %s\n", problem.message.c_str());
  std::exit(1);
}

OutcomeBatch make_batch(int64_t from, int64_t to) {
  OutcomeBatch batch;
  for (int64_t item = from; item < to; ++item) {
    Outcome outcome = Outcome::scored(static_cast<double>(item % 7) / 7);
    outcome.passed = item % 3 == 0;
    outcome.reason = "the answer is the one that was expected";
    outcome.usage.method = "rusage";
    batch.add({{item, 0, 0, 0}, outcome});
  }
  return batch;
}

Task<> work(Store& store, int64_t project, std::string name, Load load) {
  const auto id = co_await store.register_worker(project, {name, "b", "v", "full", {"main"}, 1, {}});
  if (!id) stop(id.error());
  const WorkerRef who{project, *id, "b"};
  for (;;) {
    const auto leases = co_await store.claim({who, make_id(""), 1});
    if (!leases) stop(leases.error());
    if (leases->empty()) co_return;
    for (int64_t from = leases->front().lo; from < leases->front().hi; from += load.batch) {
      auto batch = make_batch(from, std::min(from + load.batch, leases->front().hi));
      const auto stored = co_await store.append(who, leases->front().ref, std::move(batch));
      if (!stored) stop(stored.error());
    }
    const auto done = co_await store.complete(who, {leases->front().ref});
    if (!done) stop(done.error());
  }
}

Task<> prepare(Store& store, Load load) {
  const auto made = co_await store.create_key({"bench", "k", kSubmit, make_id("hash"), {}});
  if (!made) stop(made.error());
  NewRun plan;
  plan.run.id = make_id("run_");
  plan.run.items = load.outcomes;
  plan.shard_size = load.shard;
  plan.run.shards = (load.outcomes + load.shard - 1) / load.shard;
  plan.run.spec = plan.run.detail = "{}";
  const auto created = co_await store.create_run(kProject, std::move(plan), std::nullopt);
  if (!created) stop(created.error());
}

}  // namespace

int main(int argc, char** argv) {
  Load load;
  SqliteOptions options;
  if (argc > 1) options.path = argv[1];
  if (argc > 2) load.outcomes = std::atoll(argv[2]);
  if (argc > 3) load.batch = std::atoll(argv[3]);
  if (argc > 4) load.workers = std::atoll(argv[4]);
  auto store = open_sqlite_store(options);
  if (!store) {
    std::fprintf(stderr, "assay-bench-store: %s\n", store.error().message.c_str());
    return 1;
  }
  asio::io_context io(1);
  Scope scope(io.get_executor());
  scope.spawn("prepare", prepare(**store, load));
  io.run();
  io.restart();
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < load.workers; ++i)
    scope.spawn("worker", work(**store, kProject, "w" + std::to_string(i), load));
  io.run();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  std::printf(
      "{\"outcomes\": %lld, \"batch\": %lld, \"workers\": %lld, \"seconds\": %.2f, \"outcomes_per_second\": "
      "%.0f}\n",
      static_cast<long long>(load.outcomes), static_cast<long long>(load.batch),
      static_cast<long long>(load.workers), time.count(), static_cast<double>(load.outcomes) / time.count());
  return 0;
}
