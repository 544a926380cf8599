// Waking coroutines of any thread, without polling: claims wait here for work, the finalizer for complete
// runs.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "core/async/task.hpp"

namespace assay::api {

/// Thread-safe. Read count() before looking for what is waited for: a ring in between is then not missed.
///   for (;;) { auto seen = bell.count(); if (look()) break; co_await bell.wait(seen, deadline); }
class Bell {
 public:
  uint64_t count() const;
  void ring();
  /// Returns when it rang since `seen`, or at the deadline. The caller's executor must be a single thread's.
  Task<> wait(uint64_t seen, Deadline deadline);

 private:
  mutable std::mutex mutex_;
  uint64_t count_ = 0;
  std::list<std::shared_ptr<asio::steady_timer>> waiters_;
};

}  // namespace assay::api
