// How often each of many may do something.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "api/http/lru.hpp"
#include "core/async/task.hpp"

namespace assay::api {

/// A token bucket a name: `burst` tokens at first, then `per_second`. A rate of 0 limits nothing. Names
/// beyond `most` push out those that were not used for longest, whose buckets are full by then. Thread-safe.
class RateLimit {
 public:
  RateLimit(size_t per_second, size_t burst, size_t most = 16'384);

  /// Takes a token; or says how long it is until there is one.
  std::optional<Clock::duration> take(const std::string& name, Clock::time_point now = Clock::now());
  /// The same without taking it.
  std::optional<Clock::duration> look(const std::string& name, Clock::time_point now = Clock::now());

 private:
  struct Bucket {
    double tokens = 0;
    Clock::time_point at;
  };
  std::optional<Clock::duration> wait(const std::string& name, Clock::time_point now, bool take);

  double per_second_, burst_;
  std::mutex mutex_;
  Lru<Bucket> buckets_;
};

}  // namespace assay::api
