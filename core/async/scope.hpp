// Structured concurrency: tasks that never outlive their owner, and work that ends by a deadline.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "core/async/task.hpp"

namespace assay {

/// A nursery. Children run on the scope's executor; join() must be awaited before the scope is destroyed. An
/// exception that leaves a child is a bug of that child: it is logged with the child's name and the program
/// stops. In a child, cancellation ends the wait it is in (`cancelled`, false) and throws nothing; loops ask
/// their own flag. Not thread-safe: use it on its executor only.
class Scope {
 public:
  explicit Scope(asio::any_io_executor executor);
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  void spawn(std::string name, Task<> task);
  /// Asks every child to stop, through its cancellation slot; returns at once.
  void cancel();
  /// Waits for every child, also when the caller itself is cancelled (the children are then cancelled first).
  Task<> join();
  size_t size() const { return children_->size(); }

 private:
  struct Child {
    std::string name;
    uint64_t number = 0;  ///< tells it from a later child in the same place
    asio::cancellation_signal signal;
  };
  asio::any_io_executor executor_;
  asio::steady_timer idle_;
  uint64_t next_number_ = 0;
  std::shared_ptr<std::list<Child>>
      children_;  // shared: a posted cancellation may arrive after the last child ended
};

/// The task's value, or nullopt when the deadline came first: the task is then cancelled and waited for.
template <class T>
Task<std::optional<T>> with_deadline(Task<T> task, Deadline deadline) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, deadline);
  // Not `task || timer`: that swallows an exception of the task and waits the whole time.
  auto group = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, std::move(task), asio::deferred), timer.async_wait(asio::deferred));
  auto [order, error, value, timer_error] =
      co_await group.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 1) co_return std::nullopt;
  if (error) std::rethrow_exception(error);
  co_return std::optional<T>(std::move(value));
}

}  // namespace assay
