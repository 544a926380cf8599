#include "daemon/llm/purse.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "core/async/scope.hpp"
#include "tests/unit/core/loop.hpp"

namespace assay::llm {
namespace {

using namespace std::chrono_literals;

Cost cost(int64_t nano_dollars, bool estimated = false) {
  return {nano_dollars, estimated};
}

Deadline soon() {
  return Clock::now() + 30s;
}

TEST_CASE("dollars: exact, at least cents", "[llm][purse]") {
  CHECK(dollars(0) == "$0.00");
  CHECK(dollars(1'500'000'000) == "$1.50");
  CHECK(dollars(12'000) == "$0.000012");
  CHECK(dollars(1) == "$0.000000001");
  CHECK(dollars(12'345'678'901) == "$12.345678901");
}

TEST_CASE("Purse: what is spent and what may still be never exceed the limit", "[llm][purse]") {
  const auto seed = GENERATE(range(1U, 21U));
  asio::io_context loop;
  Purse purse(loop.get_executor(), 1'000'000);
  std::minstd_rand random(seed);
  const auto below = [&random](int64_t n) {
    return std::uniform_int_distribution<int64_t>(0, n - 1)(random);
  };
  int refused = 0, sent = 0;
  const auto call = [&]() -> Task<> {
    const int64_t most = 1 + below(40'000);
    const auto reserved = co_await purse.reserve(most, soon());
    CHECK(purse.spend().spent + purse.reserved() <= 1'000'000);
    if (!reserved) {
      CHECK(reserved.error().kind == ErrorKind::billing);
      ++refused;
      co_return;
    }
    ++sent;
    for (int64_t turns = below(5); turns > 0; --turns) co_await test::settle();
    const auto how = below(10);
    if (how == 0)
      purse.release(most);
    else
      purse.settle(most, cost(below(most + 1), how == 1), {});
    CHECK(purse.spend().spent + purse.reserved() <= 1'000'000);
  };
  const auto body = [&]() -> Task<> {
    Scope scope(loop.get_executor());
    for (int i = 0; i < 300; ++i) {
      scope.spawn("call", call());
      if (below(4) == 0) co_await test::settle();
    }
    co_await scope.join();
  };
  test::run(loop, body());
  CHECK(sent + refused == 300);
  CHECK(refused > 0);
  CHECK(purse.reserved() == 0);
  // It stops because it is spent, not before: nothing that could have been sent was refused.
  CHECK(purse.left() < 40'000);
  CHECK(purse.spend().estimated <= purse.spend().spent);
}

TEST_CASE("Purse: a call waits for others to leave room, in order", "[llm][purse]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    Purse purse(loop.get_executor(), 100);
    const auto taken = co_await purse.reserve(90, soon());
    CHECK(taken);
    std::string order;
    const auto wait = [&](std::string name, int64_t most) -> Task<> {
      const auto reserved = co_await purse.reserve(most, soon());
      CHECK(reserved);
      order += name;
    };
    Scope scope(loop.get_executor());
    scope.spawn("a", wait("a", 50));
    scope.spawn("b", wait("b", 5));  // would fit, but a was first
    co_await test::settle();
    CHECK(order.empty());
    purse.settle(90, cost(10), {});
    co_await scope.join();
    CHECK(order == "ab");
    CHECK(purse.left() == 100 - 10 - 55);
  };
  test::run(loop, body());
}

TEST_CASE("Purse: says what is spent when nothing fits any more", "[llm][purse]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    Purse purse(loop.get_executor(), 2'000'000'000);
    const auto first = co_await purse.reserve(1'500'000'000, soon());
    CHECK(first);
    purse.settle(1'500'000'000, cost(1'200'000'000, true), {.input = 5, .cached = 2, .output = 3});
    const auto second = co_await purse.reserve(900'000'000, soon());
    REQUIRE_FALSE(second);
    CHECK(second.error().kind == ErrorKind::billing);
    CHECK(second.error().message ==
          "the run's spend limit of $2.00 is reached: $1.20 is spent and this call may cost up to $0.90");
    const auto small = co_await purse.reserve(800'000'000, soon());
    CHECK(small);
    purse.release(800'000'000);
    CHECK(purse.spend().spent == 1'200'000'000);
    CHECK(purse.spend().estimated == 1'200'000'000);
    CHECK(purse.spend().priced_calls == 1);
    CHECK(purse.spend().output_tokens == 3);
    CHECK(purse.spend().unpriced_calls == 0);
  };
  test::run(loop, body());
}

TEST_CASE("Purse: waiting ends by the deadline and by cancellation, and the next has its turn",
          "[llm][purse]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    Purse purse(loop.get_executor(), 100);
    const auto taken = co_await purse.reserve(100, soon());
    CHECK(taken);
    const auto late = co_await purse.reserve(50, Clock::now() + 20ms);
    REQUIRE_FALSE(late);
    CHECK(late.error().kind == ErrorKind::timeout);
    Result<void> cancelled, after;
    const auto wait = [&](Result<void>& into) -> Task<> { into = co_await purse.reserve(50, soon()); };
    Scope scope(loop.get_executor()), other(loop.get_executor());
    scope.spawn("a", wait(cancelled));
    other.spawn("b", wait(after));
    co_await test::settle();
    scope.cancel();
    co_await scope.join();
    REQUIRE_FALSE(cancelled);
    CHECK(cancelled.error().kind == ErrorKind::cancelled);
    purse.release(100);
    co_await other.join();
    CHECK(after);
  };
  test::run(loop, body());
}

/// Hands out blocks of 30 until 100 are gone.
class Blocks : public SpendSource {
 public:
  Task<Result<int64_t>> more(int64_t wanted) override {
    co_await test::settle();
    const int64_t given = std::min<int64_t>(std::max<int64_t>(wanted, 30), 100 - given_);
    given_ += given;
    ++asked_;
    co_return given;
  }
  int64_t given_ = 0;
  int asked_ = 0;
};

TEST_CASE("Purse: fetches more of a shared limit when it needs it, and ends where that ends",
          "[llm][purse]") {
  asio::io_context loop;
  const auto blocks = std::make_shared<Blocks>();
  int sent = 0, refused = 0;
  Purse purse(loop.get_executor(), std::nullopt, blocks);
  CHECK(purse.limited());
  const auto call = [&]() -> Task<> {
    const auto reserved = co_await purse.reserve(9, soon());
    CHECK(purse.spend().spent + purse.reserved() <= blocks->given_);
    if (!reserved) {
      CHECK(reserved.error().kind == ErrorKind::billing);
      ++refused;
      co_return;
    }
    ++sent;
    co_await test::settle();
    purse.settle(9, cost(9), {});
  };
  const auto body = [&]() -> Task<> {
    Scope scope(loop.get_executor());
    for (int i = 0; i < 20; ++i) scope.spawn("call", call());
    co_await scope.join();
  };
  test::run(loop, body());
  CHECK(sent == 11);
  CHECK(refused == 9);
  CHECK(blocks->given_ == 100);
}

TEST_CASE("Purse: without a limit only counts", "[llm][purse]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    Purse purse(loop.get_executor(), std::nullopt);
    CHECK_FALSE(purse.limited());
    const auto reserved = co_await purse.reserve(0, soon());
    CHECK(reserved);
    purse.settle(0, std::nullopt, {.output = 7});
    CHECK(purse.spend().unpriced_calls == 1);
    CHECK(purse.spend().spent == 0);
    CHECK(purse.spend().output_tokens == 7);
  };
  test::run(loop, body());
}

TEST_CASE("Purse: what is dearer than there is money does not wrap around", "[llm][purse]") {
  asio::io_context loop;
  Purse purse(loop.get_executor(), 1'000'000);
  const auto body = [&]() -> Task<> {
    for (int i = 0; i < 3; ++i) purse.settle(0, cost(INT64_MAX), {});
    CHECK(purse.spend().spent == INT64_MAX);
    CHECK(purse.left() < 0);
    const auto more = co_await purse.reserve(INT64_MAX, soon());
    REQUIRE_FALSE(more);
    CHECK(more.error().kind == ErrorKind::billing);
  };
  test::run(loop, body());
}

}  // namespace
}  // namespace assay::llm
