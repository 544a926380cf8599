// Something a coroutine waits for and others announce.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/async/task.hpp"

namespace assay {

/// Wakes the coroutines that wait on it; whoever wakes looks at the condition again. Not thread-safe.
class Event {
 public:
  explicit Event(asio::any_io_executor executor) : timer_(executor, Clock::time_point::max()) {}

  void notify() { timer_.cancel(); }
  Task<> wait() { co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable)); }
  /// Also returns at `until`. One waiter at a time.
  Task<> wait_until(Deadline until) {
    timer_.expires_at(until);
    co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
    timer_.expires_at(Clock::time_point::max());
  }

 private:
  asio::steady_timer timer_;
};

}  // namespace assay
