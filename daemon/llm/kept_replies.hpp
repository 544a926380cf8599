// The reply cache as the loop uses it: asked from many coroutines, answered by a thread of its own.
//
// Whoever comes while the thread is busy goes with the next group, and a group is one transaction: for a
// thousand replies a second the disk is asked a hundred times, and not two thousand times.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <string>

#include "core/async/scope.hpp"
#include "core/async/task.hpp"
#include "daemon/llm/reply_cache.hpp"

namespace assay::llm {

/// Used on one executor. close() must be awaited before it goes.
class KeptReplies {
 public:
  KeptReplies(asio::any_io_executor executor, std::unique_ptr<ReplyCache> cache);

  /// nullopt: it is not there, or the caller was cancelled.
  Task<std::optional<std::string>> find(std::string key);
  /// Returns when it is kept, or could not be; or, when the caller was cancelled, before.
  Task<> keep(std::string key, std::string reply);
  /// Once nobody asks any more.
  Task<> close();
  /// Of all entries, as far as this process knows.
  int64_t bytes() const { return bytes_; }

 private:
  struct Group;
  Task<> serve();
  std::shared_ptr<Group> gathering();
  void serve_soon();

  asio::any_io_executor executor_;
  std::unique_ptr<ReplyCache> cache_;  ///< used on the thread of disk_ only
  int64_t bytes_;
  std::shared_ptr<Group> next_;  ///< null: nobody waits
  bool serving_ = false;
  Deadline begun_{};  ///< the last group
  asio::thread_pool disk_{1};
  Scope scope_;
};

}  // namespace assay::llm
