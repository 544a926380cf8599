#include "daemon/spool/spool.hpp"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>

#include "core/log.hpp"
#include "tests/unit/core/loop.hpp"
#include "tests/unit/temporary_folder.hpp"

using namespace assay;
using namespace assay::daemon;
using namespace std::chrono_literals;

namespace {

constexpr size_t kMiB = size_t{1} << 20;

LeaseRecord lease(int64_t shard = 0) {
  return {.holder = {"wrk_1", "boot_1", "inc_1"}, .run = "run_1", .shard = shard, .epoch = 1, .token = "t"};
}

std::string text(size_t number, size_t size) {
  std::string json = std::to_string(number);
  json.resize(std::max(size, json.size()), ' ');
  return json;
}

Task<bool> until(std::function<bool()> condition) {
  const auto deadline = Clock::now() + 20s;
  while (!condition()) {
    if (Clock::now() > deadline) co_return false;
    co_await sleep_until(Clock::now() + 1ms);
  }
  co_return true;
}

/// A spool and its loop; the log is silent.
struct Fixture {
  explicit Fixture(SpoolOptions options) : spool(loop.get_executor(), std::move(options)) {
    log::set_level(log::Level::off);
  }
  ~Fixture() { log::set_level(log::Level::info); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  void run(Task<> task) { test::run(loop, std::move(task)); }
  Task<> open() {
    const auto opened = co_await spool.open();
    CHECK(opened.has_value());
    spool.resume();
  }

  asio::io_context loop{1};
  Spool spool;
};

Task<> leave(Fixture& f, size_t count) {
  co_await f.open();
  const auto outbox = f.spool.begin(lease());
  for (size_t i = 0; i < count; ++i) f.spool.add(outbox, text(i, 100));
  f.spool.finish(outbox);
  co_await f.spool.close();
  CHECK(f.spool.outcomes() == count);
}

Task<> take_leftovers(Fixture& f, size_t count) {
  co_await f.open();
  CHECK(f.spool.outcomes() == count);
  CHECK(f.spool.outboxes().size() == 1);
  if (f.spool.outboxes().size() == 1) {
    const auto outbox = f.spool.outboxes().begin()->second;
    const bool came = co_await until([&] { return outbox->ready.size() == count; });
    CHECK(came);
    CHECK(outbox->leftover);
    CHECK(outbox->lease->holder == Identity{"wrk_1", "boot_1", "inc_1"});
    for (size_t i = 0; i < outbox->ready.size(); ++i) CHECK(outbox->ready[i].json == text(i, 100));
    CHECK_FALSE(f.spool.settled(*outbox));
    f.spool.acknowledge(outbox, outbox->ready.size());
    CHECK(f.spool.settled(*outbox));
  }
  CHECK(f.spool.outboxes().empty());
  co_await f.spool.close();
}

/// Adds `count` outcomes as shards do and acknowledges nothing: the API is away.
Task<> fill(Spool& spool, std::shared_ptr<Outbox> outbox, size_t count, size_t size, size_t& most_ready) {
  for (size_t i = 0; i < count; ++i) {
    while (!spool.has_room()) co_await sleep_until(Clock::now() + 1ms);
    spool.add(outbox, text(i, size));
    most_ready = std::max(most_ready, spool.ready_bytes());
  }
}

/// Acknowledges as the sender does, and checks that each outcome comes once and in order.
Task<> post_all(Spool& spool, std::shared_ptr<Outbox> outbox, size_t count, size_t& most_ready) {
  for (size_t next = 0; next < count;) {
    const bool came = co_await until([&] { return !outbox->ready.empty(); });
    CHECK(came);
    if (!came) co_return;
    most_ready = std::max(most_ready, spool.ready_bytes());
    const size_t batch = std::min<size_t>(outbox->ready.size(), 100);
    for (size_t i = 0; i < batch; ++i)
      if (std::stoul(outbox->ready[i].json) != next + i) FAIL("out of order at " << next + i);
    spool.acknowledge(outbox, batch);
    next += batch;
  }
  CHECK(spool.settled(*outbox));
}

Task<> outlast_an_hour(Fixture& f) {
  constexpr size_t kCount = 8000, kSize = 10'000;
  co_await f.open();
  const auto outbox = f.spool.begin(lease());
  size_t most_ready = 0;
  co_await fill(f.spool, outbox, kCount, kSize, most_ready);
  const bool written = co_await until([&] { return outbox->unwritten == 0; });
  CHECK(written);
  CHECK(f.spool.used() >= kCount * kSize);
  CHECK(f.spool.has_backlog());
  CHECK(most_ready <= 18 * kMiB);
  co_await post_all(f.spool, outbox, kCount, most_ready);
  CHECK(most_ready <= 27 * kMiB);  // a half and a segment, with what keeps track of them
  CHECK(f.spool.outcomes() == 0);
  const bool shrunk = co_await until([&] { return f.spool.used() <= 16 * kMiB; });
  CHECK(shrunk);
  f.spool.finish(outbox);
  co_await f.spool.close();
}

Task<> fill_and_empty(Fixture& f) {
  co_await f.open();
  const auto outbox = f.spool.begin(lease());
  size_t count = 0;
  while (f.spool.has_room() && count < 10'000) {
    f.spool.add(outbox, text(count++, 10'000));
    const bool written = co_await until([&] { return outbox->unwritten == 0; });
    CHECK(written);
  }
  CHECK(f.spool.full());
  CHECK(f.spool.used() <= kMiB);
  // What was in flight then is kept, beyond the bound in memory: nothing is dropped.
  for (size_t i = 0; i < 30; ++i) f.spool.add(outbox, text(count++, 10'000));
  co_await sleep_until(Clock::now() + 30ms);
  CHECK(outbox->unwritten > 0);
  CHECK(f.spool.outcomes() == count);
  size_t most_ready = 0;
  co_await post_all(f.spool, outbox, count, most_ready);
  const bool room = co_await until([&] { return !f.spool.full(); });
  CHECK(room);
  f.spool.finish(outbox);
  co_await f.spool.close();
}

Task<> fill_memory(Fixture& f) {
  co_await f.open();
  const auto outbox = f.spool.begin(lease());
  size_t count = 0;
  while (f.spool.has_room()) f.spool.add(outbox, text(count++, 10'000));
  CHECK(f.spool.full());
  CHECK(count > 80);
  CHECK(outbox->ready.size() == count);  // there is no disk to wait for
  f.spool.acknowledge(outbox, count / 2);
  CHECK_FALSE(f.spool.full());
  CHECK_FALSE(f.spool.settled(*outbox));
  f.spool.acknowledge(outbox, outbox->ready.size());
  CHECK(f.spool.settled(*outbox));
  f.spool.finish(outbox);
  CHECK(f.spool.outboxes().empty());
  co_await f.spool.close();
}

Task<> meet_a_full_disk(Fixture& f) {
  co_await f.open();
  const auto outbox = f.spool.begin(lease());
  f.spool.add(outbox, text(0, 1000));
  const bool first = co_await until([&] { return outbox->unwritten == 0; });
  CHECK(first);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 4000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  for (size_t i = 1; i < 10; ++i) f.spool.add(outbox, text(i, 1000));
  const bool said = co_await until([&] { return f.spool.full(); });
  const size_t waiting = outbox->unwritten;
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(said);
  CHECK(waiting == 9);
  const bool again = co_await until([&] { return !f.spool.full() && outbox->unwritten == 0; });
  CHECK(again);
  size_t most_ready = 0;
  co_await post_all(f.spool, outbox, 10, most_ready);
  f.spool.finish(outbox);
  co_await f.spool.close();
}

Task<> drop_one_of_two(Fixture& f) {
  co_await f.open();
  const auto over = f.spool.begin(lease(1)), kept = f.spool.begin(lease(2));
  for (size_t i = 0; i < 10; ++i) {
    f.spool.add(over, text(i, 100));
    f.spool.add(kept, text(i, 100));
  }
  const bool written = co_await until([&] { return kept->ready.size() == 10; });
  CHECK(written);
  for (size_t i = 10; i < 20; ++i) f.spool.add(over, text(i, 100));  // not written yet
  f.spool.drop(over, Outbox::Standing::ended);
  f.spool.add(over, text(20, 100));  // it is over: not even taken
  CHECK(f.spool.outcomes() == 10);
  CHECK(f.spool.settled(*over));
  f.spool.finish(over);
  f.spool.finish(kept);
  CHECK(f.spool.outboxes().size() == 1);
  co_await f.spool.close();
}

Task<> refuse(Fixture& f) {
  const auto opened = co_await f.spool.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().kind == ErrorKind::config);
  co_await f.spool.close();
}

}  // namespace

TEST_CASE("Spool: what the API did not take is there at the next start, once", "[daemon][spool]") {
  const test::TemporaryFolder folder;
  {
    Fixture first({.folder = folder.path()});
    first.run(leave(first, 150));
  }
  {
    Fixture second({.folder = folder.path()});
    second.run(take_leftovers(second, 150));
  }
  Fixture third({.folder = folder.path()});
  third.run(leave(third, 0));
}

TEST_CASE("Spool: memory stays flat while the API is away, and all comes in order when it is back",
          "[daemon][spool]") {
  const test::TemporaryFolder folder;
  Fixture f({.folder = folder.path()});
  f.run(outlast_an_hour(f));
}

TEST_CASE("Spool: says that it is full, drops nothing, and goes on when outcomes were taken",
          "[daemon][spool]") {
  const test::TemporaryFolder folder;
  Fixture f({.folder = folder.path(), .bytes = kMiB});
  f.run(fill_and_empty(f));
}

TEST_CASE("Spool: without a folder it is the same in memory", "[daemon][spool]") {
  Fixture f({.bytes = kMiB});
  f.run(fill_memory(f));
}

TEST_CASE("Spool: a disk that takes no writes makes it full, and costs nothing when it does again",
          "[daemon][spool]") {
  const test::TemporaryFolder folder;
  Fixture f({.folder = folder.path()});
  f.run(meet_a_full_disk(f));
}

TEST_CASE("Spool: a lease that is over takes its outcomes along and no others", "[daemon][spool]") {
  const test::TemporaryFolder folder;
  {
    Fixture f({.folder = folder.path()});
    f.run(drop_one_of_two(f));
  }
  Fixture next({.folder = folder.path()});
  next.run([](Fixture& f) -> Task<> {
    co_await f.open();
    CHECK(f.spool.outcomes() == 10);
    CHECK(f.spool.outboxes().size() == 1);
    CHECK(f.spool.outboxes().begin()->second->lease->shard == 2);
    co_await f.spool.close();
  }(next));
}

TEST_CASE("Spool: a folder that another process uses is refused", "[daemon][spool]") {
  const test::TemporaryFolder folder;
  const auto other = SpoolLog::open(folder.path(), 1 << 20);
  REQUIRE(other);
  Fixture f({.folder = folder.path()});
  f.run(refuse(f));
}
