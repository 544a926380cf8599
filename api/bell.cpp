#include "api/bell.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace assay::api {

uint64_t Bell::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

void Bell::ring() {
  std::list<std::shared_ptr<asio::steady_timer>> waiters;
  {
    const std::lock_guard lock(mutex_);
    ++count_;
    waiters.swap(waiters_);
  }
  // On the waiter's own thread: it is then either in its wait or past it, never between list and wait.
  for (auto& timer : waiters) {
    const auto executor = timer->get_executor();
    asio::post(executor, [timer = std::move(timer)] { timer->cancel(); });
  }
}

Task<> Bell::wait(uint64_t seen, Deadline deadline) {
  const auto executor = co_await asio::this_coro::executor;
  const auto timer = std::make_shared<asio::steady_timer>(executor, deadline);
  {
    const std::lock_guard lock(mutex_);
    if (count_ != seen) co_return;
    waiters_.push_back(timer);
  }
  co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
  const std::lock_guard lock(mutex_);
  waiters_.remove(timer);
}

}  // namespace assay::api
