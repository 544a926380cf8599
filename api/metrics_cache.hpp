// Partial metrics of runs that are going on. Asking often must not cost more than asking seldom.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "core/async/task.hpp"

namespace assay::api {

/// Thread-safe.
class MetricsCache {
 public:
  /// What was computed lately: less than ten times as long ago as it took.
  std::optional<std::string> fresh(int64_t run);
  void keep(int64_t run, std::string metrics, Clock::duration cost);
  void forget(int64_t run);

 private:
  struct Entry {
    std::string metrics;
    Deadline stale_at;
  };
  std::mutex mutex_;
  std::map<int64_t, Entry> entries_;
};

}  // namespace assay::api
