// One leased shard on its way: rows in, items evaluated, outcomes posted, shard finished.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "core/async/budget.hpp"
#include "core/async/event.hpp"
#include "daemon/api_client.hpp"
#include "daemon/run_spec.hpp"
#include "daemon/sources/rows.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::daemon {

/// What the shards of a worker share. Everything runs on the worker's one thread.
struct WorkerContext {
  ApiClient& api;
  sandbox::Pool& pool;
  Budget& items;  ///< items read and not yet evaluated, over all shards
  std::string worker_id;
  std::string boot_id;
  bool draining = false;  ///< start nothing more; finish what is in flight
  bool stopping = false;  ///< end now
  std::string fatal;      ///< why this worker must end, when it must
  int64_t outcomes_posted = 0;
};

/// Theory of operation: evaluate() reads the shard page by page and hands items to the pool; each answer is
/// put on `pending_`; post_loop(), beside it, sends what is pending in batches and forgets it only when the
/// API echoes it. A lost lease stops the computing, not the posting: outcomes are first-writer-wins.
class Shard {
 public:
  Shard(WorkerContext& context, Lease lease, std::shared_ptr<const RunSpec> spec,
        asio::any_io_executor executor);

  /// To the end: completed, released, failed, or left to whoever holds it now.
  Task<> run();
  /// Tells the API that this worker cannot run it.
  Task<> give_up(Error why);

  const Lease& lease() const { return lease_; }
  void set_lost() { lost_ = true; }  ///< somebody else's now
  void set_cancelled();              ///< the run is over: post nothing more

 private:
  enum class End { complete, partial, failed };

  Task<End> evaluate();
  Task<bool> prepare();
  void submit_item(Item item);
  void submit(OutcomeId id, std::string item, int attempt);
  void record(OutcomeId id, Outcome outcome);
  void item_done();
  Task<> wait_for_room();
  Task<> post_loop();
  Task<> post(std::string outcomes, size_t count);
  Task<> finish(End end);
  Task<Result<ApiAnswer>> control(std::string verb, std::string body);
  std::string fence() const;
  bool halted() const {
    return lost_ || cancelled_ || context_.draining || context_.stopping || failed_.has_value();
  }

  WorkerContext& context_;
  Lease lease_;
  std::shared_ptr<const RunSpec> spec_;
  asio::any_io_executor executor_;
  Event answered_;  ///< an item was answered, or a batch was posted
  Event posting_;   ///< there is something to post
  std::deque<std::pair<OutcomeId, std::string>> pending_;
  size_t pending_bytes_ = 0;
  Deadline pending_since_;
  size_t outstanding_ = 0;  ///< evaluations in the pool
  int64_t next_batch_ = 1;
  bool evaluated_ = false;
  bool lost_ = false;
  bool cancelled_ = false;
  std::optional<Error> failed_;
};

}  // namespace assay::daemon
