// Coroutines that wait for their turn, each until a deadline of its own.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <list>

#include "core/async/task.hpp"

namespace assay::llm {

/// First come, first woken. Whoever wakes looks at the condition again. Used on one executor.
class WaitingLine {
 public:
  explicit WaitingLine(asio::any_io_executor executor) : executor_(executor) {}

  /// True when woken; false at `until` and when cancelled.
  Task<bool> wait(Deadline until);
  void wake_first();
  void wake_all();
  bool empty() const { return waiters_.empty(); }

 private:
  struct Waiter;
  asio::any_io_executor executor_;
  std::list<Waiter*> waiters_;
};

}  // namespace assay::llm
