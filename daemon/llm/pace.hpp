// How fast an account is used: requests and tokens a second, as configured and as its answers allow.
//
// Configured limits are buckets that fill evenly. What the provider says is `remaining`: it counts every user
// of the key. Each worker spends it at the rate remaining / tau, tau being seconds. With n workers what
// remains settles where n * remaining / tau is what the provider gives a second: all of it is used, nothing
// is refused, a change is followed within a few tau, and every worker has the same share because all see the
// same number. No worker knows of another, nor what the limits are. Tau is so short that half of what can
// remain is enough for it: a bucket of a second's worth is spent in half a second.
#pragma once

#include <chrono>
#include <cstdint>

#include "daemon/llm/in_flight.hpp"
#include "daemon/llm/rate_headers.hpp"

namespace assay::llm {

/// A request is taken for as much as a minute gives, whatever it says of itself: nobody can spend an hour of
/// all others, and what needs more than a minute's limit is refused by the provider anyway.
inline constexpr double kMostAtOnce = 60;  // seconds

/// Fills at a rate. Whoever comes while it is not overdrawn may take any amount, and so overdraw it, by
/// kMostAtOnce at most.
class TokenBucket {
 public:
  /// A rate of 0: no limit.
  explicit TokenBucket(double per_second = 0) : rate_(per_second), level_(burst()) {}

  bool unlimited() const { return rate_ <= 0; }
  void set_rate(double per_second, Instant now);
  /// When the next may take: `now` or later.
  Instant ready(Instant now);
  void take(double amount, Instant now);
  /// Taken too much (or, negative, too little).
  void give_back(double amount);
  double most() const { return rate_ * kMostAtOnce; }

 private:
  double burst() const { return rate_ * 0.25; }
  void fill(Instant now);

  double rate_;
  double level_;
  Instant filled_{};
};

/// Of one thing that an account's limits count: requests, or tokens.
class Pace {
 public:
  /// 0: not configured.
  explicit Pace(double configured_per_second = 0) : configured_(configured_per_second) {}

  Instant ready(Instant now);
  /// `amount`, or as much as one request is taken for.
  double bounded(double amount) const;
  /// To be handed to learn() with the answer.
  double sent(double amount, Instant now);
  /// The request took `actual` instead of `estimated`, which is bounded.
  void correct(double estimated, double actual) { configured_.give_back(estimated - bounded(actual)); }
  /// The request took nothing instead of `estimated`.
  void give_back(double estimated, Instant now);
  /// What an answer says. `mark`: what sent() returned for its request; `latency`: of answers lately; `wall`:
  /// now, on the clock that `allowance` tells the time by.
  void learn(const Allowance& allowance, double mark, std::chrono::duration<double> latency, Instant now,
             Time wall);
  /// Whether the last answer said that less than `amount` remained.
  bool exhausted(double amount) const { return known_ && remaining_ < amount; }

 private:
  double capacity(const Allowance& allowance, Time wall) const;
  void share_out(Instant now);

  TokenBucket configured_;
  TokenBucket shared_;
  bool known_ = false;
  double remaining_ = 0;  ///< as last said
  double left_ = 0;       ///< of that, after what was sent since
  double limit_ = 0;
  double most_ = 0;  ///< that ever remained
  double tau_ = 0;   ///< seconds
  double sent_ = 0;  ///< in all
};

}  // namespace assay::llm
