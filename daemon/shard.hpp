// One leased shard on its way: rows in, items evaluated, outcomes into the spool, shard finished.
#pragma once

#include <memory>
#include <string>

#include "core/async/budget.hpp"
#include "core/async/event.hpp"
#include "daemon/api_client.hpp"
#include "daemon/asking.hpp"
#include "daemon/completer.hpp"
#include "daemon/run_spec.hpp"
#include "daemon/sources/rows.hpp"
#include "daemon/spend.hpp"
#include "daemon/spool/spool.hpp"
#include "sandbox/runtime/pool.hpp"

namespace assay::daemon {

/// What the shards of a worker share. Everything runs on the worker's one thread.
struct WorkerContext {
  ApiClient& api;
  sandbox::Pool& pool;
  Budget& items;  ///< items read and not yet evaluated, over all shards
  Spool& spool;
  Completer& completer;
  Purses& purses;
  llm::Broker* broker;     ///< null: this worker has no models
  const Identity& self;    ///< this process, as the API knows it
  bool draining = false;   ///< start nothing more; finish what is in flight
  bool stopping = false;   ///< end now
  std::string fatal;       ///< why this worker must end, when it must
  int64_t heartbeats = 0;  ///< answered
};

/// Theory of operation: evaluate() reads the shard page by page and hands items to the pool; each answer goes
/// into the spool, from which the Sender posts it; the shard is finished when the API has them all. A lost
/// lease stops the computing, not the posting: outcomes are first-writer-wins.
class Shard {
 public:
  Shard(WorkerContext& context, Lease lease, std::shared_ptr<const RunSpec> spec,
        asio::any_io_executor executor);
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;
  ~Shard();

  /// To the end: completed, released, failed, or left to whoever holds it now.
  Task<> run();
  /// Tells the API that this worker cannot run it.
  Task<> give_up(Error why);

  const Lease& lease() const { return lease_; }
  void set_lost() { lost_ = true; }      ///< somebody else's now
  void set_paused() { paused_ = true; }  ///< to be given back
  void set_cancelled();  ///< the run is over: post nothing more, and end what is being evaluated
  void set_stopping() { *unwanted_ = true; }  ///< end what models are asked

 private:
  enum class End { complete, partial, failed };
  class Place;
  /// One text of an item, to be evaluated: one of its models and trials.
  struct Candidate {
    OutcomeId id;  // `evaluator` is not set
    ItemText item;
    std::shared_ptr<Place> place;
    int tries = 0;
  };
  struct Evaluation {
    OutcomeId id;
    std::string item;        // JSON
    std::string generation;  // Outcome::generation
    std::shared_ptr<Place> place;
    std::shared_ptr<Asking> asking;  // null: its program may not ask models, or there are none
    int tries = 0;
  };

  Task<End> evaluate();
  Task<bool> prepare();
  Result<> check_models(const std::vector<std::string>& slugs) const;
  Task<Result<StoredTexts>> read_stored(int64_t from, int64_t to);
  bool is_done(const OutcomeId& id) const { return lease_.is_done(first_code(id.item) + spec_->code_of(id)); }
  int64_t first_code(int64_t item) const { return (item - lease_.lo) * spec_->outcomes_per_item(); }
  bool is_whole(int64_t item) const;
  void submit_item(const Item& item, const StoredTexts& stored);
  void submit_text(Candidate candidate, const StoredTexts& stored);
  void generate(Candidate candidate);
  void settle(const Candidate& candidate, Outcome text);
  void evaluate_all(const Candidate& candidate, const std::string& item, const std::string& generation);
  void fail_all(OutcomeId id, const Outcome& text);
  void submit(Evaluation evaluation);
  const RunEvaluator& evaluator_of(const OutcomeId& id) const;
  void record(OutcomeId id, Outcome outcome);
  void append(const OutcomeId& id, const Outcome& outcome);
  void item_done();
  Task<> wait_for_room();
  Task<bool> wait_for_api();
  Task<> wait_until_posted();
  Task<> finish(End end);
  Task<Result<ApiAnswer>> complete();
  Task<Result<ApiAnswer>> control(std::string verb, std::string body);
  std::string fence() const;
  bool is_lost() const { return lost_ || outbox_->lost; }
  bool halted() const {
    return is_lost() || paused_ || outbox_->standing != Outbox::Standing::wanted || context_.draining ||
           context_.stopping || failed_.has_value();
  }

  WorkerContext& context_;
  Lease lease_;
  std::shared_ptr<const RunSpec> spec_;
  asio::any_io_executor executor_;
  Event answered_;  ///< an item was answered
  std::shared_ptr<Outbox> outbox_;
  std::shared_ptr<llm::Purse> purse_;
  size_t outstanding_ = 0;  ///< evaluations in the pool
  int64_t heartbeats_seen_ = 0;
  int read_failures_ = 0;
  std::shared_ptr<bool> unwanted_ = std::make_shared<bool>(false);  ///< what is in the pool
  bool lost_ = false;
  bool paused_ = false;
  std::optional<Error> failed_;
};

}  // namespace assay::daemon
