#include "daemon/llm/pace.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <vector>

namespace assay::llm {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

Instant at(double seconds) {
  return Instant(1h) + std::chrono::duration_cast<Instant::duration>(Seconds(seconds));
}

Time wall(double seconds) {
  return Time(std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
}

TEST_CASE("TokenBucket: never more than its rate and a little, however it is used", "[llm][pace]") {
  TokenBucket bucket(10);
  double taken = 0;
  for (double now = 0; now < 100; now += 0.001) {
    if (bucket.ready(at(now)) > at(now)) continue;
    const double amount = 1 + static_cast<int>(taken) % 3;
    bucket.take(amount, at(now));
    taken += amount;
    CHECK(taken <= 10 * now + 2.5 + 3);
  }
  CHECK(taken >= 990);
}

TEST_CASE("TokenBucket: says when there is room again", "[llm][pace]") {
  TokenBucket bucket(2);
  CHECK(bucket.ready(at(0)) == at(0));
  bucket.take(4.5, at(0));  // 4 more than there was
  CHECK(bucket.ready(at(0)) > at(1.99));
  CHECK(bucket.ready(at(0)) < at(2.01));
  bucket.give_back(2);
  CHECK(bucket.ready(at(0)) < at(1.01));
  CHECK(TokenBucket().ready(at(5)) == at(5));
}

/// A provider that refills `rate` a second up to `burst` seconds' worth, and says what remains.
struct Provider {
  double rate = 100;
  double burst = 60;
  double level = 0;
  double last = 0;
  int64_t served = 0, refused = 0;

  /// Whether the request is served.
  bool ask(double now, double amount) {
    level = std::min(rate * burst, level + rate * (now - last));
    last = now;
    const bool served_it = level >= amount;
    if (served_it) level -= amount;
    ++(served_it ? served : refused);
    return served_it;
  }
  Allowance says() const {
    const auto until_full =
        std::chrono::ceil<std::chrono::milliseconds>(Seconds((rate * burst - level) / rate));
    return {static_cast<int64_t>(rate * 60), static_cast<int64_t>(level), wall(last) + until_full};
  }
};

struct Worker {
  struct Answer {
    double when;
    double mark;
    Allowance says;
  };
  Pace pace;
  std::deque<Answer> answers;
  double served = 0;

  void turn(Provider& provider, double now, double latency, double amount) {
    while (!answers.empty() && answers.front().when <= now) {
      pace.learn(answers.front().says, answers.front().mark, Seconds(latency), at(now), wall(now - latency));
      answers.pop_front();
    }
    while (pace.ready(at(now)) <= at(now) && answers.size() < 256) {
      const double mark = pace.sent(amount, at(now));
      if (provider.ask(now, amount)) served += amount;
      answers.push_back({now + latency, mark, provider.says()});
    }
  }
};

TEST_CASE("Pace: workers of one key use all of it, evenly, and are not refused", "[llm][pace]") {
  const size_t count = GENERATE(1U, 2U, 3U);
  const auto [latency, amount, burst] = GENERATE(
      table<double, double, double>({{0.05, 1, 60}, {1, 1, 60}, {0.3, 7, 60}, {0.05, 1, 1}, {0.2, 1, 1}}));
  Provider provider;
  provider.burst = burst;
  std::vector<Worker> workers(count);
  const auto until = [&](double from, double to) {
    for (auto& worker : workers) worker.served = 0;
    provider.served = provider.refused = 0;
    for (double now = from; now < to; now += 0.002)
      for (auto& worker : workers) worker.turn(provider, now, latency, amount);
    double sum = 0;
    for (const auto& worker : workers) sum += worker.served;
    return sum / (to - from);
  };
  const auto check = [&](double used) {
    INFO("count " << count << " latency " << latency << " amount " << amount << " burst " << burst << " rate "
                  << provider.rate << " used " << used << " refused " << provider.refused);
    CHECK(used >= 0.95 * provider.rate);
    CHECK(static_cast<double>(provider.refused) <= 0.01 * static_cast<double>(provider.served));
    for (const auto& a : workers)
      for (const auto& b : workers) CHECK(a.served >= 0.9 * b.served);
  };
  until(0, 10);
  check(until(10, 40));
  provider.rate = 25;  // a fourth, from now on
  until(40, 50);
  check(until(50, 80));
  provider.rate = 100;
  until(80, 90);
  check(until(90, 120));
}

TEST_CASE("Pace: where nothing remains it goes on asking, slowly", "[llm][pace]") {
  Pace pace;
  pace.learn({600, 0, std::nullopt}, 0, 100ms, at(0), wall(0));
  CHECK(pace.exhausted(1));
  int asked = 0;
  for (double now = 0; now < 60; now += 0.01)
    if (pace.ready(at(now)) <= at(now)) {
      pace.sent(1, at(now));
      ++asked;
    }
  CHECK(asked >= 100);
  CHECK(asked <= 160);  // a quarter of the limit
}

TEST_CASE("TokenBucket: nobody owes more than a minute", "[llm][pace]") {
  TokenBucket bucket(10);
  bucket.take(1e12, at(0));
  CHECK(bucket.ready(at(0)) <= at(60.1));
  bucket.give_back(-1e12);
  CHECK(bucket.ready(at(0)) <= at(60.1));
  bucket.set_rate(1, at(0));
  CHECK(bucket.ready(at(0)) <= at(60.1));
  bucket.give_back(1e12);
  bucket.take(61, at(0));  // and is owed no more
  CHECK(bucket.ready(at(0)) > at(0.5));
}

TEST_CASE("Pace: a request is taken for a minute at most, and what took nothing is given back",
          "[llm][pace]") {
  Pace pace(100);
  CHECK(pace.bounded(1e12) == 6000);
  CHECK(pace.bounded(5) == 5);
  pace.learn({4800, 4000, std::nullopt}, 0, 100ms, at(0), wall(0));
  CHECK(pace.bounded(1e12) == 4800);
  const double amount = pace.bounded(1e12);
  pace.sent(amount, at(0));
  CHECK(pace.ready(at(0)) > at(10));
  CHECK(pace.ready(at(0)) <= at(60.1));
  pace.give_back(amount, at(0));
  CHECK(pace.ready(at(0)) == at(0));
  Pace other(100);
  other.sent(1, at(0));
  other.correct(1, 1e12);
  CHECK(other.ready(at(0)) <= at(60.1));
}

TEST_CASE("Pace: without news the configured limit is the only one", "[llm][pace]") {
  Pace pace;
  for (int i = 0; i < 1000; ++i) pace.sent(1, at(0));
  CHECK(pace.ready(at(0)) == at(0));
  pace.learn({}, 0, 100ms, at(0), wall(0));
  CHECK(pace.ready(at(0)) == at(0));
  CHECK_FALSE(pace.exhausted(1e9));
  Pace configured(1);
  configured.sent(1, at(0));
  CHECK(configured.ready(at(0)) > at(0.5));
}

}  // namespace
}  // namespace assay::llm
