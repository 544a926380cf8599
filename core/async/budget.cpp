#include "core/async/budget.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/check.hpp"

namespace assay {

struct Budget::Waiter {
  size_t amount;
  asio::steady_timer timer;
  bool served = false;
};

Task<bool> Budget::acquire(size_t amount) {
  ASSAY_CHECK(amount <= capacity_, "more was asked of a budget than it ever has");
  if (waiters_.empty() && amount <= free_) {
    free_ -= amount;
    co_return true;
  }
  const bool cancelled = co_await is_cancelled();
  if (cancelled) co_return false;
  Waiter waiter{amount, asio::steady_timer(executor_, Clock::time_point::max())};
  const auto place = waiters_.insert(waiters_.end(), &waiter);
  co_await waiter.timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (waiter.served) co_return true;
  waiters_.erase(place);
  serve();
  co_return false;
}

void Budget::release(size_t amount) {
  free_ += amount;
  ASSAY_CHECK(free_ <= capacity_, "more was given back to a budget than was taken");
  serve();
}

void Budget::serve() {
  while (!waiters_.empty() && waiters_.front()->amount <= free_) {
    Waiter* waiter = waiters_.front();
    waiters_.pop_front();
    free_ -= waiter->amount;
    waiter->served = true;
    waiter->timer.cancel();
  }
}

}  // namespace assay
