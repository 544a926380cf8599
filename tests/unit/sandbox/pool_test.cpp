#include "sandbox/runtime/pool.hpp"

#include <chrono>
#include <thread>

#include "tests/unit/sandbox/pool_fixture.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace std::chrono_literals;

namespace {

// An evaluator that does what the item says.
constexpr const char* kObedient = R"lua(
  function run_evaluation(item)
    if item.kill then return string.find(("a"):rep(40), ("a-"):rep(40) .. "b") end  -- C code: no hook reaches it
    if item.loop then while true do end end
    if item.raise then error("told to") end
    if item.eat then local t = {} while true do t[#t + 1] = {} end end
    return item.score
  end)lua";

Limits brief() {
  Limits limits;
  limits.wall = 20s;  // far off: on a busy machine the processor time must be what runs out
  limits.cpu = 150ms;
  return limits;
}

std::string item(int score) {
  return "{\"score\":" + std::to_string(score) + "}";
}

}  // namespace

TEST_CASE("Pool: outcomes come back in full, with what was used", "[sandbox][pool][host]") {
  PoolFixture pool;
  REQUIRE(pool.ok());
  const auto program = make_program(
      "function run_evaluation(item) assay.log('hello') return {score = 0.5, passed = true, reason = "
      "item.sample.text, "
      "metrics = {m = 2}} end");
  const Outcome outcome = pool.evaluate(program, R"({"sample":{"output":"why é"}})");
  REQUIRE(outcome.verdict == Verdict::scored);
  REQUIRE((outcome.score == 0.5 && outcome.passed == true && outcome.reason == "why é" &&
           outcome.log == "hello\n"));
  REQUIRE(outcome.metrics == std::vector<std::pair<std::string, double>>{{"m", 2}});
  REQUIRE((outcome.usage.memory_bytes > 1000 && outcome.usage.method == "rusage"));
}

TEST_CASE("Pool: every error has its kind", "[sandbox][pool]") {
  PoolFixture pool;
  const auto program = make_program(kObedient, brief());
  REQUIRE(pool.evaluate(program, R"({"raise":true})").error.kind == ErrorKind::evaluator_error);
  REQUIRE(pool.evaluate(program, R"({"score":"x"})").error.kind == ErrorKind::bad_result);
  REQUIRE(pool.evaluate(program, R"({"loop":true})").error.kind == ErrorKind::cpu_limit);
  REQUIRE(pool.evaluate(program, R"({"kill":true})").error.kind == ErrorKind::cpu_limit);
  REQUIRE(pool.evaluate(program, R"({"eat":true})").error.kind == ErrorKind::memory_limit);
  REQUIRE(pool.evaluate(program, item(3)).score == 3);
}

TEST_CASE("Pool: a host that dies costs its item only", "[sandbox][pool]") {
  PoolFixture pool({.hosts = GENERATE(size_t{1}, size_t{2})});
  const auto program = make_program(kObedient, brief());
  std::vector<std::string> items;
  for (int i = 0; i < 200; i++) items.push_back(i % 67 == 30 ? R"({"kill":true})" : item(i));
  const auto outcomes = pool.evaluate_all(program, items);
  for (int i = 0; i < 200; i++) {
    CAPTURE(i, outcomes[i].error.message);
    if (i % 67 == 30)
      REQUIRE(outcomes[i].error.kind == ErrorKind::cpu_limit);
    else
      REQUIRE((outcomes[i].verdict == Verdict::scored && outcomes[i].score == i));
  }
}

TEST_CASE("Pool: thousands of items come back, each with its own score", "[sandbox][pool]") {
  PoolFixture pool;
  const auto program = make_program(kObedient);
  std::vector<std::string> items;
  for (int i = 0; i < 5'000; i++) items.push_back(item(i));
  items[77].insert(1, "\"big\":\"" + std::string(3'000'000, 'x') + "\",");
  const auto outcomes = pool.evaluate_all(program, items);
  for (int i = 0; i < 5'000; i++) REQUIRE(outcomes[i].score == i);
}

TEST_CASE("Pool: programs share the hosts, and none starves", "[sandbox][pool]") {
  const auto first = make_program(kObedient, {}, "first");
  const auto second = make_program(std::string(kObedient) + " -- another", {}, "second");
  bool stop = false;
  std::function<void()> again;
  PoolFixture pool({.hosts = 1});
  // Endless work for the first program; the second must get a turn.
  again = [&] {
    if (!stop) pool->submit(first, item(1), [&](Outcome) { again(); });
  };
  for (int i = 0; i < 100; i++) again();
  const Outcome outcome = pool.evaluate(second, item(5));
  REQUIRE(outcome.score == 5);
  REQUIRE(pool.evaluate(first, item(6)).score == 6);
  stop = true;
}

TEST_CASE("Pool: a program that does not load is refused with its line, its items too", "[sandbox][pool]") {
  PoolFixture pool;
  const auto program = make_program("function run_evaluation(item)\n  return 1 +\nend");
  const auto prepared = pool.prepare(program);
  REQUIRE_FALSE(prepared);
  REQUIRE(prepared.error().kind == ErrorKind::config);
  REQUIRE_THAT(prepared.error().message, Catch::Contains("test:3:"));
  const auto outcomes = pool.evaluate_all(program, {item(1), item(2)});
  for (const Outcome& outcome : outcomes) REQUIRE(outcome.error.kind == ErrorKind::config);
  REQUIRE(pool.prepare(make_program(kObedient)));
}

TEST_CASE("Pool: a top level that never ends is refused", "[sandbox][pool]") {
  PoolFixture pool;
  const auto prepared = pool.prepare(make_program("while true do end", brief()));
  REQUIRE_FALSE(prepared);
  REQUIRE(prepared.error().kind == ErrorKind::config);
  REQUIRE_FALSE(pool.prepare(make_program("string.find(('a'):rep(40), ('a-'):rep(40) .. 'b')", brief())));
  REQUIRE(pool.evaluate(make_program(kObedient), item(1)).score == 1);
}

TEST_CASE("Pool: time in which the worker stood still is nobody's timeout", "[sandbox][pool]") {
  PoolFixture pool;
  REQUIRE(pool.ok());
  Limits limits;
  limits.wall = 1s;
  limits.load = 1s;
  const auto lua = make_program("function run_evaluation() while true do end end", limits);
  const auto python =
      make_program("import time\ndef run_evaluation(item):\n    time.sleep(100)", limits, "test", "python");
  const auto loading = make_program("while true do end", limits);
  for (const auto& program : {lua, python, loading}) {
    CAPTURE(program->language, program->source);
    const ErrorKind kind = program == loading ? ErrorKind::config : ErrorKind::timeout;
    CHECK(pool.evaluate(program, item(1)).error.kind == kind);
    std::optional<Outcome> outcome;
    pool->submit(program, item(1), [&](Outcome ended) { outcome = std::move(ended); });
    pool.run_until([&, begin = Clock::now()] { return Clock::now() - begin > 300ms; });
    REQUIRE(!outcome);
    std::this_thread::sleep_for(limits.wall * slowness() + 2s);  // all deadlines pass
    pool.run_until([&] { return outcome.has_value(); });
    CAPTURE(outcome->error.message);
    CHECK(outcome->error.kind == ErrorKind::internal);
    CHECK(pool.evaluate(program, item(1)).error.kind == kind);
  }
}

TEST_CASE("Pool: an item that is no JSON or too large ends alone", "[sandbox][pool]") {
  PoolFixture pool;
  const auto program = make_program(kObedient);
  REQUIRE(pool.evaluate(program, std::string(16U << 20, ' ')).error.kind == ErrorKind::config);
  REQUIRE(pool.evaluate(program, "{").verdict == Verdict::errored);
  REQUIRE(pool.evaluate(program, R"(1}},{"id":99)").verdict == Verdict::errored);
  REQUIRE(pool.evaluate(program, item(2)).score == 2);
}

TEST_CASE("Pool: close answers everything that is queued or under way", "[sandbox][pool]") {
  PoolFixture pool({.hosts = 1});
  const auto program = make_program(kObedient);
  size_t cancelled = 0;
  for (int i = 0; i < 50; i++)
    pool->submit(program, i == 0 ? R"({"loop":true})" : item(i), [&](Outcome outcome) {
      REQUIRE(outcome.error.kind == ErrorKind::cancelled);
      cancelled++;
    });
  SECTION("at once") {}
  SECTION("while the first runs") {
    REQUIRE(pool.prepare(program));
  }
  pool.close();
  pool.run_until([&] { return cancelled == 50; });
}

TEST_CASE("Pool: a mode that is demanded is the mode that is used", "[sandbox][pool][host]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.mode = mode});
  if (!pool.ok()) {
    WARN("this machine cannot: " + pool.error().message);
    REQUIRE(pool.error().kind == ErrorKind::internal);
    return;
  }
  REQUIRE(pool->mode() == mode);
  REQUIRE(pool.evaluate(make_program(kObedient), item(4)).score == 4);
}
