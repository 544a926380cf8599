// A counting semaphore for coroutines: the one bound on what is in flight.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <list>

#include "core/async/task.hpp"

namespace assay {

/// First come, first served. Not thread-safe: use it on one executor.
class Budget {
 public:
  Budget(asio::any_io_executor executor, size_t capacity)
      : executor_(executor), free_(capacity), capacity_(capacity) {}

  /// Waits for `amount` (at most the capacity) to be free and takes it; false when cancelled, and nothing is
  /// taken.
  Task<bool> acquire(size_t amount);
  void release(size_t amount);
  size_t capacity() const { return capacity_; }
  size_t used() const { return capacity_ - free_; }

 private:
  struct Waiter;
  void serve();

  asio::any_io_executor executor_;
  size_t free_;
  size_t capacity_;
  std::list<Waiter*> waiters_;
};

}  // namespace assay
