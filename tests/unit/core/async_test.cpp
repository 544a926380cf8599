#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/async/budget.hpp"
#include "core/async/event.hpp"
#include "core/async/scope.hpp"
#include "tests/unit/core/loop.hpp"

using namespace assay;
using namespace std::chrono_literals;

namespace {

constexpr auto kNever = Deadline::max();

Task<> note_when_done(std::vector<std::string>& log, std::string name, Deadline until) {
  const bool in_time = co_await sleep_until(until);
  log.push_back(name + (in_time ? " done" : " cancelled"));
}

Task<int> answer_at(Deadline when, bool& cancelled) {
  cancelled = !co_await sleep_until(when);
  co_return 42;
}

Task<> throwing() {
  co_await test::settle();
  throw std::runtime_error("a bug");
}

Task<int> throwing_value() {
  co_await throwing();
  co_return 1;
}

Task<> take(Budget& budget, size_t amount, std::vector<std::string>& log, std::string name) {
  const bool taken = co_await budget.acquire(amount);
  log.push_back(name + (taken ? " has " : " gave up ") + std::to_string(amount));
}

Task<> wait_for(Event& event, int& woken) {
  co_await event.wait();
  ++woken;
}

}  // namespace

TEST_CASE("Scope: join waits for every child", "[core][async]") {
  asio::io_context loop;
  std::vector<std::string> log;
  const auto body = [&]() -> Task<> {
    Scope scope(loop.get_executor());
    const auto now = Clock::now();
    scope.spawn("late", note_when_done(log, "late", now + 20ms));
    scope.spawn("early", note_when_done(log, "early", now));
    CHECK(scope.size() == 2);
    co_await scope.join();
    CHECK(scope.size() == 0);
    CHECK(log == std::vector<std::string>{"early done", "late done"});
    co_await scope.join();  // nothing to wait for
  };
  test::run(loop, body());
}

TEST_CASE("Scope: a cancelled child sees its wait end and nothing thrown", "[core][async]") {
  asio::io_context loop;
  std::vector<std::string> log;
  const auto body = [&]() -> Task<> {
    Scope scope(loop.get_executor());
    for (const char* name : {"a", "b", "c"}) scope.spawn(name, note_when_done(log, name, kNever));
    co_await test::settle();
    scope.cancel();
    co_await scope.join();
    CHECK(log == std::vector<std::string>{"a cancelled", "b cancelled", "c cancelled"});
  };
  test::run(loop, body());
}

TEST_CASE("Scope: cancelling twice, or after the children ended, harms nobody", "[core][async]") {
  asio::io_context loop;
  std::vector<std::string> log;
  const auto body = [&]() -> Task<> {
    Scope scope(loop.get_executor());
    scope.cancel();
    scope.spawn("a", note_when_done(log, "a", kNever));
    co_await test::settle();
    scope.cancel();
    scope.cancel();
    co_await scope.join();
    scope.cancel();
    scope.spawn("b", note_when_done(log, "b", Clock::now()));
    co_await scope.join();
    CHECK(log == std::vector<std::string>{"a cancelled", "b done"});
  };
  test::run(loop, body());
}

TEST_CASE("Scope: a cancelled owner cancels its children and still waits for them", "[core][async]") {
  asio::io_context loop;
  std::vector<std::string> log;
  const auto owner = [&]() -> Task<> {
    Scope scope(loop.get_executor());
    scope.spawn("child", note_when_done(log, "child", kNever));
    co_await scope.join();
    log.emplace_back("owner left");
  };
  const auto body = [&]() -> Task<> {
    Scope scope(loop.get_executor());
    scope.spawn("owner", owner());
    co_await test::settle();
    scope.cancel();
    co_await scope.join();
    CHECK(log == std::vector<std::string>{"child cancelled", "owner left"});
  };
  test::run(loop, body());
}

TEST_CASE("with_deadline: the value, or nothing when the deadline came first", "[core][async]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    bool cancelled = true;
    const auto in_time = co_await with_deadline(answer_at(Clock::now(), cancelled), kNever);
    CHECK(in_time == 42);
    CHECK_FALSE(cancelled);
    const auto late = co_await with_deadline(answer_at(kNever, cancelled), Clock::now() + 5ms);
    CHECK_FALSE(late.has_value());
    CHECK(cancelled);  // and it was waited for
  };
  test::run(loop, body());
}

TEST_CASE("with_deadline: an exception of the task arrives at once", "[core][async]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> { co_await with_deadline(throwing_value(), kNever); };
  CHECK_THROWS_WITH(test::run(loop, body()), "a bug");
}

TEST_CASE("Budget: first come, first served, also when a later one would fit", "[core][async]") {
  asio::io_context loop;
  std::vector<std::string> log;
  const auto body = [&]() -> Task<> {
    Budget budget(loop.get_executor(), 10);
    Scope scope(loop.get_executor());
    scope.spawn("a", take(budget, 6, log, "a"));
    co_await test::settle();
    scope.spawn("b", take(budget, 8, log, "b"));
    co_await test::settle();
    scope.spawn("c", take(budget, 1, log, "c"));
    co_await test::settle();
    CHECK(log == std::vector<std::string>{"a has 6"});
    CHECK(budget.used() == 6);
    budget.release(6);
    co_await scope.join();
    CHECK(log == std::vector<std::string>{"a has 6", "b has 8", "c has 1"});
    CHECK(budget.used() == 9);
    budget.release(9);
    CHECK(budget.used() == 0);
  };
  test::run(loop, body());
}

TEST_CASE("Budget: one that gives up takes nothing and lets the next one go", "[core][async]") {
  asio::io_context loop;
  std::vector<std::string> log;
  const auto body = [&]() -> Task<> {
    Budget budget(loop.get_executor(), 10);
    Scope holders(loop.get_executor());
    Scope waiters(loop.get_executor());
    holders.spawn("a", take(budget, 6, log, "a"));
    co_await test::settle();
    waiters.spawn("b", take(budget, 8, log, "b"));
    co_await test::settle();
    holders.spawn("c", take(budget, 4, log, "c"));
    co_await test::settle();
    waiters.cancel();
    co_await waiters.join();
    co_await holders.join();
    CHECK(log == std::vector<std::string>{"a has 6", "b gave up 8", "c has 4"});
    CHECK(budget.used() == 10);
    budget.release(10);
  };
  test::run(loop, body());
}

TEST_CASE("Budget: one that is served and cancelled at once has what it took", "[core][async]") {
  asio::io_context loop;
  std::vector<std::string> log;
  const auto body = [&]() -> Task<> {
    Budget budget(loop.get_executor(), 1);
    Scope scope(loop.get_executor());
    scope.spawn("a", take(budget, 1, log, "a"));
    co_await test::settle();
    scope.spawn("b", take(budget, 1, log, "b"));
    co_await test::settle();
    budget.release(1);
    scope.cancel();
    co_await scope.join();
    CHECK(log == std::vector<std::string>{"a has 1", "b has 1"});
    CHECK(budget.used() == 1);
    budget.release(1);
  };
  test::run(loop, body());
}

TEST_CASE("Event: everyone who waits is woken, whoever comes later waits", "[core][async]") {
  asio::io_context loop;
  int woken = 0;
  const auto body = [&]() -> Task<> {
    Event event(loop.get_executor());
    Scope scope(loop.get_executor());
    event.notify();  // nobody waits, nothing is remembered
    for (int i = 0; i < 3; ++i) scope.spawn("waiter", wait_for(event, woken));
    co_await test::settle();
    CHECK(woken == 0);
    event.notify();
    co_await scope.join();
    CHECK(woken == 3);
    scope.spawn("late", wait_for(event, woken));
    co_await test::settle();
    CHECK(woken == 3);
    scope.cancel();
    co_await scope.join();
  };
  test::run(loop, body());
}

TEST_CASE("Event: a wait with a deadline ends there, and the next one is not ended by it", "[core][async]") {
  asio::io_context loop;
  int woken = 0;
  const auto body = [&]() -> Task<> {
    Event event(loop.get_executor());
    Scope scope(loop.get_executor());
    co_await event.wait_until(Clock::now() + 1ms);
    scope.spawn("waiter", wait_for(event, woken));
    co_await test::settle();
    CHECK(woken == 0);
    event.notify();
    co_await scope.join();
    CHECK(woken == 1);
  };
  test::run(loop, body());
}
