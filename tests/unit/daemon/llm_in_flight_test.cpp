#include "daemon/llm/in_flight.hpp"

#include <catch2/catch.hpp>
#include <queue>
#include <vector>

namespace assay::llm {
namespace {

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

Instant at(double seconds) {
  return Instant(1h) + std::chrono::duration_cast<Instant::duration>(Seconds(seconds));
}

/// A whole round of good answers.
void round_trip(InFlightLimit& limit, double& now, double latency) {
  const int count = limit.allowed();
  for (int i = 0; i < count; ++i) limit.good(at(now), at(now + latency), true);
  now += latency;
}

TEST_CASE("InFlightLimit: doubles each round trip at the start, up to its most", "[llm][in_flight]") {
  InFlightLimit limit(8, 100);
  double now = 0;
  std::vector<int> seen;
  for (int i = 0; i < 6; ++i) {
    seen.push_back(limit.allowed());
    round_trip(limit, now, 0.5);
  }
  CHECK(seen == std::vector<int>{8, 16, 32, 64, 100, 100});
}

TEST_CASE("InFlightLimit: does not grow while it is not what holds requests back", "[llm][in_flight]") {
  InFlightLimit limit(8, 100);
  for (int i = 0; i < 100; ++i) limit.good(at(i), at(i + 0.5), false);
  CHECK(limit.allowed() == 8);
}

TEST_CASE("InFlightLimit: an overload lowers it once, whatever the number of refusals", "[llm][in_flight]") {
  InFlightLimit limit(64, 100);
  for (int i = 0; i < 64; ++i) limit.overload(at(0), at(0.5 + i * 0.001), 64 - i);
  CHECK(limit.allowed() == 44);
  limit.overload(at(0.6), at(1), 44);
  CHECK(limit.allowed() == 30);
  for (int i = 2; i < 20; ++i) limit.overload(at(i), at(i + 0.5), 1);
  CHECK(limit.allowed() == 1);
}

TEST_CASE("InFlightLimit: a part of what is under way, when that was less than allowed", "[llm][in_flight]") {
  InFlightLimit limit(64, 100);
  limit.overload(at(0), at(1), 10);
  CHECK(limit.allowed() == 7);
}

TEST_CASE("InFlightLimit: does not grow while answers take three times as long", "[llm][in_flight]") {
  InFlightLimit limit(8, 1000);
  double now = 0;
  round_trip(limit, now, 0.1);
  for (int i = 0; i < 20; ++i) round_trip(limit, now, 1);
  const int queueing = limit.allowed();
  for (int i = 0; i < 3; ++i) round_trip(limit, now, 1);
  CHECK(limit.allowed() == queueing);
  CHECK(queueing < 1000);
}

/// An endpoint that serves `capacity` requests at once and refuses the rest.
class Endpoint {
 public:
  Endpoint(int capacity, size_t workers)
      : capacity_(capacity), under_way_(workers), limits_(workers, InFlightLimit(4, 512)) {}

  /// The mean of requests under way, by worker.
  std::vector<double> run(double seconds) {
    std::vector<double> mean(limits_.size());
    const double end = now_ + seconds;
    int steps = 0;
    for (; now_ < end; now_ += 0.01, ++steps) {
      for (size_t w = 0; w < limits_.size(); ++w) step(w);
      for (size_t w = 0; w < limits_.size(); ++w) mean[w] += static_cast<double>(served_[w].size());
    }
    for (auto& m : mean) m /= steps;
    return mean;
  }
  void set_capacity(int capacity) { capacity_ = capacity; }

 private:
  struct Request {
    double sent;
    double ends;
    bool refused;
    bool full;
  };
  void step(size_t w) {
    auto& mine = under_way_[w];
    for (size_t i = 0; i < mine.size();) {
      if (mine[i].ends > now_) {
        ++i;
        continue;
      }
      const Request request = mine[i];
      mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(i));
      if (!request.refused) served_[w].pop_back();
      if (request.refused)
        limits_[w].overload(at(request.sent), at(now_), static_cast<int>(mine.size()) + 1);
      else
        limits_[w].good(at(request.sent), at(now_), request.full);
    }
    while (static_cast<int>(mine.size()) < limits_[w].allowed()) {
      size_t all = 0;
      for (const auto& s : served_) all += s.size();
      const bool refused = static_cast<int>(all) >= capacity_;
      // Answers take 0.4 … 0.6 s; who is refused learns it sooner.
      const double takes = refused ? 0.05 : 0.4 + 0.02 * static_cast<double>(++count_ % 11);
      const bool full = static_cast<int>(mine.size()) + 1 >= limits_[w].allowed();
      mine.push_back({now_, now_ + takes, refused, full});
      if (!refused) served_[w].push_back(0);
    }
  }

  int capacity_;
  double now_ = 0;
  unsigned count_ = 0;
  std::vector<std::vector<Request>> under_way_;
  std::vector<InFlightLimit> limits_;
  std::vector<std::vector<int>> served_ = std::vector<std::vector<int>>(limits_.size());
};

TEST_CASE("InFlightLimit: uses an endpoint well and follows a fourfold change within 10 s",
          "[llm][in_flight]") {
  Endpoint endpoint(40, 1);
  endpoint.run(10);
  CHECK(endpoint.run(30)[0] > 0.7 * 40);
  endpoint.set_capacity(160);
  endpoint.run(10);
  CHECK(endpoint.run(20)[0] > 0.7 * 160);
  endpoint.set_capacity(40);
  endpoint.run(10);
  CHECK(endpoint.run(20)[0] > 0.7 * 40);
}

TEST_CASE("InFlightLimit: two workers that know nothing of each other end up alike", "[llm][in_flight]") {
  Endpoint endpoint(60, 2);
  endpoint.run(60);
  const auto mean = endpoint.run(300);
  INFO(mean[0] << " " << mean[1]);
  CHECK(std::min(mean[0], mean[1]) > 0.9 * std::max(mean[0], mean[1]));
}

}  // namespace
}  // namespace assay::llm
