// How many requests an endpoint is given at once: found out, not configured.
//
// Additive increase, multiplicative decrease, as TCP does it, because that is what lets several workers of
// one key, which know nothing of each other, end up with the same share: whoever has more gives up more.
//   start     from `start`, one more for every good answer (doubling each round trip) until the first
//   overload growth    then 2 a second, from 2 s after the last overload on twice as fast every second: what
//   was
//             four times smaller is found within 10 s. The same for every worker, whatever its share.
//   overload  half, once for all requests that were under way together
// It grows only while it is what holds requests back, and not while answers take three times as long as they
// did at best: then the endpoint only queues what it is given.
#pragma once

#include <chrono>

namespace assay::llm {

using Instant = std::chrono::steady_clock::time_point;

class InFlightLimit {
 public:
  /// 1 ≤ start ≤ most.
  InFlightLimit(int start, int most);

  /// At least 1.
  int allowed() const { return static_cast<int>(limit_); }
  /// A good answer to a request sent at `sent`. `full`: as many as allowed were under way.
  void good(Instant sent, Instant now, bool full);
  /// 429 that no allowance explains, 503, 529, a timeout; `in_flight` with the one that this answers.
  void overload(Instant sent, Instant now, int in_flight);
  /// How long good answers take lately; 0 before the first.
  std::chrono::duration<double> latency() const { return latency_; }

 private:
  double growth(Instant now) const;

  double limit_;
  int most_;
  bool starting_ = true;
  Instant last_overload_{}, last_growth_{};
  std::chrono::duration<double> latency_{0}, best_latency_{0};
};

}  // namespace assay::llm
