// Posts what is in the spool until the API has it (docs/worker-protocol.md, "Append").
//
// Every outbox with something to post has a coroutine that sends one batch at a time, in order, and repeats
// it for as long as it takes. Only an answer that echoes the batch is an acknowledgement. Outcomes of an
// earlier process are posted as that process, which keeps its lease alive, until the API says that it knows
// that process no more; then as this one, whose name they go under is no matter.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/async/budget.hpp"
#include "core/async/event.hpp"
#include "core/async/scope.hpp"
#include "daemon/api_client.hpp"
#include "daemon/spool/spool.hpp"

namespace assay::daemon {

class Sender {
 public:
  /// `self` is who this process is, as far as it is registered. `fatal` is called with why the worker must
  /// end, and what is not posted then stays in the spool.
  Sender(asio::any_io_executor executor, ApiClient& api, Spool& spool, const Identity& self,
         std::function<void(std::string)> fatal);

  void start();
  /// Until the outcomes of earlier processes are posted, or can only be posted by a registered worker, or the
  /// API answers with something else, or stop() is called. Waits for an API that is away.
  Task<> post_leftovers();
  /// Call after `self` was registered.
  void registered();
  /// Whether outcomes wait for an API that is away: until it has them it would hand out their shards again.
  bool is_behind() const;
  /// Posts nothing more.
  void stop();
  Task<> join();
  int64_t posted() const { return posted_; }

 private:
  struct Batch {
    size_t outcomes = 0;
    int64_t number = 0;
    uint32_t crc = 0;
    std::string body;
    bool as_recorded = false;  ///< as the process that computed them, which is not this one
  };
  enum class Step {
    over,     ///< acknowledged, or never to be
    at_once,  ///< the batch has changed
    later
  };
  using Box = std::shared_ptr<Outbox>;

  Task<> serve(Box box);
  Task<> post(Box box);
  Batch next_batch(const Outbox& box);
  Step judge(const Box& box, const Batch& batch, const Result<ApiAnswer>& answer);
  Step acknowledged(const Box& box, const Batch& batch, const ApiAnswer& answer);
  Step refused(const Box& box, const Batch& batch, const ApiAnswer& answer);
  Step not_known(const Box& box, const ApiAnswer& answer);
  Step narrow_down(const Box& box, const Batch& batch, Error error);
  Step give_up(const Box& box, const std::string& why);
  Step not_wanted(const Box& box, const ApiAnswer& answer);

  asio::any_io_executor executor_;
  ApiClient& api_;
  Spool& spool_;
  const Identity& self_;
  std::function<void(std::string)> fatal_;
  Budget turns_;  ///< posts at a time
  Scope scope_;
  Event progress_;
  int64_t next_batch_ = 1;
  int64_t posted_ = 0;
  bool registered_ = false;
  bool stopping_ = false;
};

}  // namespace assay::daemon
