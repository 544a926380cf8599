#include "daemon/llm/waiting_line.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace assay::llm {

struct WaitingLine::Waiter {
  asio::steady_timer timer;
  bool woken = false;
};

Task<bool> WaitingLine::wait(Deadline until) {
  const bool cancelled = co_await is_cancelled();
  if (cancelled) co_return false;
  Waiter waiter{asio::steady_timer(executor_, until)};
  const auto place = waiters_.insert(waiters_.end(), &waiter);
  co_await waiter.timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!waiter.woken) waiters_.erase(place);
  co_return waiter.woken;
}

void WaitingLine::wake_first() {
  if (waiters_.empty()) return;
  Waiter* waiter = waiters_.front();
  waiters_.pop_front();
  waiter->woken = true;
  waiter->timer.cancel();
}

void WaitingLine::wake_all() {
  while (!waiters_.empty()) wake_first();
}

}  // namespace assay::llm
