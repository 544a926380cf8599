#include "core/async/scope.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>

#include "core/check.hpp"
#include "core/log.hpp"

namespace assay {
namespace {

[[noreturn]] void child_threw(const std::string& name, const std::exception_ptr& error) {
  std::string what = "unknown exception";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
  }
  log::error("bug: a task ended by an exception", {{"task", name}, {"what", what}});
  std::abort();
}

/// Cancellation is a value in this house: a cancelled wait says so, no await throws for it.
Task<> without_throwing(Task<> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(task);
}

}  // namespace

Task<bool> is_cancelled() {
  const auto state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

Task<bool> sleep_until(Deadline when) {
  const bool cancelled = co_await is_cancelled();
  if (cancelled) co_return false;
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return !error;
}

Scope::Scope(asio::any_io_executor executor)
    : executor_(executor),
      idle_(executor, Clock::time_point::max()),
      children_(std::make_shared<std::list<Child>>()) {}

Scope::~Scope() {
  ASSAY_CHECK(children_->empty(), "a Scope was destroyed before it was joined");
}

void Scope::spawn(std::string name, Task<> task) {
  const auto child = children_->emplace(children_->end());
  child->name = std::move(name);
  child->number = next_number_++;
  asio::co_spawn(
      executor_, without_throwing(std::move(task)),
      asio::bind_cancellation_slot(child->signal.slot(), [this, child](const std::exception_ptr& error) {
        if (error) child_threw(child->name, error);
        children_->erase(child);
        if (children_->empty()) idle_.cancel();
      }));
}

void Scope::cancel() {
  // Through post, and looked up again there: a child may end inside emit().
  for (const auto& child : *children_)
    asio::post(executor_, [children = children_, wanted = child.number] {
      for (auto& candidate : *children)
        if (candidate.number == wanted) {
          candidate.signal.emit(asio::cancellation_type::terminal);
          break;
        }
    });
}

Task<> Scope::join() {
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!children_->empty()) {
    co_await idle_.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      cancel();
      // From here on this coroutine must be able to wait again.
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    }
  }
}

}  // namespace assay
