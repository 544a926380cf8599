// How coroutines hand work to the store's threads: a bounded queue of commands, each answered on its caller's
// executor.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "api/problem.hpp"
#include "api/store/database.hpp"
#include "core/async/task.hpp"

namespace assay::api {

Problem problem_from(const StoreError& error);
/// 503: try again shortly.
Problem store_unavailable(const std::string& why);

class Command {
 public:
  enum class End {
    keep,   ///< what it did is to be kept
    undo,   ///< it refused: what it did is to be undone
    again,  ///< another transaction was in the way: undo, and run it again
  };
  virtual ~Command() = default;
  /// May be called again after `again`. Never throws.
  virtual End run(Database& db) = 0;
  /// Replaces the answer: what it did was not kept after all.
  virtual void fail(Problem problem) = 0;
  /// Sends the answer. Called once, last.
  virtual void answer() = 0;
};

/// `work` is called again after a conflict: it changes nothing but the database.
template <class Reply, class Work, class Handler>
class CommandOf final : public Command {
 public:
  CommandOf(Work work, Handler handler)
      : work_(std::move(work)),
        handler_(std::move(handler)),
        guard_(asio::get_associated_executor(handler_)) {}

  End run(Database& db) override {
    try {
      reply_ = std::as_const(work_)(db);
    } catch (const StoreError& error) {
      reply_ = std::unexpected(problem_from(error));
      if (error.kind() == StoreError::Kind::conflict) return End::again;
    }
    return reply_.has_value() ? End::keep : End::undo;
  }
  void fail(Problem problem) override { reply_ = std::unexpected(std::move(problem)); }
  void answer() override {
    auto deliver = [handler = std::move(handler_), reply = std::move(reply_)]() mutable {
      std::move(handler)(std::move(reply));
    };
    asio::post(guard_.get_executor(), std::move(deliver));
    guard_.reset();
  }

 private:
  Work work_;
  Handler handler_;
  asio::executor_work_guard<asio::associated_executor_t<Handler>> guard_;  // the loop waits for this answer
  Reply reply_;
};

class CommandQueue {
 public:
  explicit CommandQueue(size_t capacity) : capacity_(capacity) {}

  /// False when it is full or closed; `command` is then still the caller's.
  bool push(std::unique_ptr<Command>& command);
  /// Waits for at least one command and takes up to `most`; empty: closed, and nothing is left.
  std::vector<std::unique_ptr<Command>> pop(size_t most);
  void close();
  size_t size() const;

 private:
  const size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<std::unique_ptr<Command>> commands_;
  bool closed_ = false;
};

/// Runs `work(db)`, which returns an Answer, on a thread that serves `queue`. A full queue answers 503 at
/// once: callers wait outside, where they can be told, not in here.
template <class Work>
auto submit(CommandQueue& queue, Work work) -> Task<std::invoke_result_t<const Work&, Database&>> {
  using Reply = std::invoke_result_t<const Work&, Database&>;
  auto initiate = [](auto handler, CommandQueue* to, Work job) {
    using Handler = decltype(handler);
    std::unique_ptr<Command> command =
        std::make_unique<CommandOf<Reply, Work, Handler>>(std::move(job), std::move(handler));
    if (to->push(command)) return;
    command->fail(
        Problem(503, "overloaded", "the store has more to do than it can take on; try again shortly"));
    command->answer();
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Reply)>(
      std::move(initiate), asio::use_awaitable, &queue, std::move(work));
}

}  // namespace assay::api
