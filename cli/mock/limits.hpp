// The limits of a provider as a mock keeps them: for each API key one bucket of requests and one of tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "core/async/task.hpp"

namespace assay::cli::mock {

struct LimitSettings {
  std::optional<int64_t> requests_per_minute;  ///< nullopt: any number
  std::optional<int64_t> tokens_per_minute;    ///< of input and output together
  std::chrono::milliseconds burst{60'000};     ///< how much of a rate a quiet key may use at once
};

/// Filled at `rate`, full at first.
class Bucket {
 public:
  void set(std::optional<int64_t> per_minute, std::chrono::milliseconds burst, Clock::time_point now);
  bool limited() const { return per_minute_.has_value(); }
  int64_t per_minute() const { return per_minute_.value_or(0); }
  double capacity() const { return capacity_; }
  double level(Clock::time_point now);
  /// How long until `amount` is there; zero: it is now.
  Clock::duration wait_for(double amount, Clock::time_point now);
  /// How long until it is full.
  Clock::duration until_full(Clock::time_point now);
  void take(double amount) { level_ -= amount; }

 private:
  Clock::duration time_for(double amount) const;
  std::optional<int64_t> per_minute_;
  double capacity_ = 0, level_ = 0;
  Clock::time_point at_;
};

/// What becomes of one request.
struct Ruling {
  bool allowed = true;
  bool by_tokens = false;   ///< refused for its tokens, else for their number
  bool too_large = false;   ///< no waiting helps
  Clock::duration wait{0};  ///< of one that is refused: what its Retry-After says
};

struct KeyCounts {
  uint64_t requests = 0;
  uint64_t rate_limited = 0;
  uint64_t early_retries = 0;  ///< the same request again before its own Retry-After was over
  uint64_t during_wait = 0;    ///< any request of the key while one of its Retry-Afters ran
  uint64_t tokens = 0;         ///< of requests that were let through
};

/// One API key's account. Not thread-safe.
class Account {
 public:
  Account(const LimitSettings& settings, Clock::time_point now) { set(settings, now); }
  /// What is in the buckets stays, but for what no longer fits.
  void set(const LimitSettings& settings, Clock::time_point now);
  /// `fingerprint` tells requests apart, and is the same when one is tried again.
  Ruling ask(uint64_t fingerprint, int64_t tokens, Clock::time_point now);

  Bucket& requests() { return requests_; }
  Bucket& tokens() { return tokens_; }
  const KeyCounts& counts() const { return counts_; }

 private:
  void watch_patience(uint64_t fingerprint, Clock::time_point now);
  void remember(uint64_t fingerprint, Clock::duration wait, Clock::time_point now);

  Bucket requests_, tokens_;
  KeyCounts counts_;
  Clock::time_point told_to_wait_, wait_ends_;               // the last time that the key was
  std::unordered_map<uint64_t, Clock::time_point> refused_;  // fingerprint → when it may come again
};

}  // namespace assay::cli::mock
