// Tells the API that shards are complete. What comes while one call is under way goes into the next: a worker
// of many small shards makes few calls.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/async/event.hpp"
#include "core/async/scope.hpp"
#include "daemon/api_client.hpp"
#include "daemon/run_spec.hpp"
#include "daemon/spool/record.hpp"

namespace assay::daemon {

class Completer {
 public:
  Completer(asio::any_io_executor executor, ApiClient& api, const Identity& self);

  /// The API's verdict: "done", "incomplete", "lost", … An error when the API did not answer within a minute:
  /// the lease then runs out and the shard is offered again, with its outcomes stored.
  Task<Result<std::string>> complete(Lease lease);
  /// Answers whoever waits with `cancelled`.
  void stop();
  Task<> join();

 private:
  struct Waiting {
    Waiting(Lease lease_, asio::any_io_executor executor) : lease(std::move(lease_)), answered(executor) {}
    Lease lease;
    Event answered;
    std::optional<Result<std::string>> verdict;
  };
  Task<> send_all();
  std::string body_of(std::span<const std::shared_ptr<Waiting>> batch) const;

  asio::any_io_executor executor_;
  ApiClient& api_;
  const Identity& self_;
  Scope scope_;
  std::deque<std::shared_ptr<Waiting>> waiting_;
  bool sending_ = false;
  bool stopping_ = false;
};

}  // namespace assay::daemon
