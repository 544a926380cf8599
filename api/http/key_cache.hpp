// What keys open, remembered for a moment, so that not every request asks the store.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "api/http/lru.hpp"
#include "api/store/types.hpp"
#include "core/async/task.hpp"

namespace assay::api {

/// Thread-safe. Only keys that were good are kept: a new key works at once, a revoked one for kFresh at most.
class KeyCache {
 public:
  static constexpr std::chrono::seconds kFresh{1};

  struct Seen {
    Principal principal;
    bool fresh = false;  ///< else the store has to be asked again
  };
  std::optional<Seen> find(const std::string& sha256, Clock::time_point now = Clock::now()) {
    const std::lock_guard lock(mutex_);
    const Entry* const entry = entries_.find(sha256);
    if (entry == nullptr) return std::nullopt;
    return Seen{entry->principal, now - entry->asked < kFresh};
  }
  /// `asked`: when the store was asked, which is before it answered.
  void keep(const std::string& sha256, const Principal& principal, Clock::time_point asked) {
    const std::lock_guard lock(mutex_);
    entries_.put(sha256, {principal, asked});
  }
  void forget(const std::string& sha256) {
    const std::lock_guard lock(mutex_);
    entries_.erase(sha256);
  }

 private:
  struct Entry {
    Principal principal;
    Clock::time_point asked;
  };
  std::mutex mutex_;
  Lru<Entry> entries_{16'384};
};

}  // namespace assay::api
