// The broker: everything between a completion that an evaluator asks for and the exchanges with a provider.
//
//   request ─ models.toml ─ cache, or the same request under way ─ reservation of money ─ the account's line
//           ─ HTTP ─ reply, or a failure and its remedy: wait, change the request, pause the account ─ spend
//
// What a crash costs: a finished call is in the cache (when it may be) and the outcome made of it in the
// spool; calls under way are lost, possibly billed, and made again by whoever computes their outcome.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/outcome.hpp"
#include "daemon/llm/account.hpp"
#include "daemon/llm/models.hpp"
#include "daemon/llm/purse.hpp"

namespace assay::llm {

/// For whom a completion is.
struct Caller {
  std::shared_ptr<Purse> purse;               ///< null: spent, but not counted by run
  Deadline deadline = Deadline::max();        ///< besides the provider's give_up
  std::shared_ptr<const bool> unwanted = {};  ///< when true the call ends as `cancelled`, within 0.1 s
  /// Unless null, added to while the call lasts: what attempts cost that brought no reply.
  std::shared_ptr<ModelUse> lost = {};
};

struct BrokerStatus {
  std::vector<AccountStatus> accounts;
  size_t calls = 0;                         ///< under way or waiting
  std::map<std::string, int64_t> outcomes;  ///< calls ended: "ok", or the kind of error
  int64_t retries = 0;                      ///< requests beyond the first of their call
  int64_t cache_hits = 0;                   ///< from the disk
  int64_t coalesced = 0;                    ///< answered by the reply to an equal call under way
  int64_t cache_misses = 0;
  int64_t cache_bytes = 0;
  Spend spend;  ///< of all runs
};

struct BrokerOptions {
  std::string cache_folder;  ///< empty: nothing is kept on disk
  int64_t cache_bytes = int64_t{1} << 30;
  std::chrono::milliseconds first_backoff{500};   ///< doubled by every failure, up to 30 s
  std::chrono::milliseconds probe_after{60'000};  ///< how often a paused account is tried
  /// How long calls with structured output wait for the first one to find out how. What an endpoint does not
  /// take it refuses at once; an answer takes as long as it takes to write.
  std::chrono::milliseconds probe_patience{100};
};

/// Everything runs on the executor, on which it is also called. close() must be awaited before it goes.
class Broker {
 public:
  using Done = std::move_only_function<void(Result<std::string> reply_json)>;

  /// `config` for a key file that cannot be read or a folder that cannot be used.
  static Result<std::unique_ptr<Broker>> start(asio::any_io_executor executor, Models models,
                                               BrokerOptions options);
  ~Broker();

  /// `done` is called exactly once, on the executor, never from inside complete().
  void complete(std::string request_json, Caller caller, Done done);
  /// Ends every call as `cancelled`.
  Task<> close();

  const Models& models() const;
  BrokerStatus status() const;

 private:
  class Impl;
  explicit Broker(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::llm
