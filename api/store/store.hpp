// The control plane's memory. Every method is one transaction; when a writing one has answered, its effect is
// durable. Safe to call from any thread; the answer arrives on the caller's executor.
//
// Everything is scoped to a project: what belongs to another project is not found. Calls that take `row`
// numbers follow a look-up that checked the project.
#pragma once

#include <functional>
#include <memory>

#include "api/problem.hpp"
#include "api/store/lease.hpp"
#include "api/store/types.hpp"
#include "core/async/task.hpp"

namespace assay::api {

struct Lines {
  std::string text;  ///< one JSON object a line
  int64_t rows = 0;
};

/// What others who wait may want to know.
enum class Change {
  work,   ///< a shard may be claimed that could not be before
  ended,  ///< a run waits to be finalized
};

struct TickAnswer {
  int64_t freed = 0;   ///< shards that may be claimed now and could not before
  bool ended = false;  ///< a run waits to be finalized
};

/// How things stand, for whoever watches.
struct StoreStats {
  int64_t queued = 0;         ///< shards of open runs that wait
  int64_t leased = 0;         ///< shards that workers hold
  int64_t runs = 0;           ///< that have not ended
  int64_t oldest_queued = 0;  ///< Unix milliseconds of the oldest open run with waiting shards; 0: none
  int64_t waiting_commands = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  /// Names this database; another one, or one made anew, has another.
  virtual std::string incarnation() const = 0;
  virtual Task<Answer<>> ping() = 0;
  /// Once a second, by every server: puts back expired leases, sets aside what fails again and again, and
  /// clears away a bounded amount of what was deleted.
  virtual Task<Answer<TickAnswer>> tick() = 0;
  virtual Task<Answer<StoreStats>> stats() = 0;
  /// Tells the other servers on this database; nobody is told twice within a few milliseconds.
  virtual void announce(Change change) = 0;
  /// `heard` is called, on a thread of the store, for what others announced.
  virtual void listen(std::function<void(Change)> heard) = 0;

  // Keys. Only the hash of a key is ever stored. A project is made by its first key.
  virtual Task<Answer<>> create_key(NewKey key) = 0;
  virtual Task<Answer<std::vector<KeyInfo>>> keys() = 0;
  virtual Task<Answer<>> revoke_key(std::string id) = 0;
  virtual Task<Answer<std::optional<Principal>>> principal(std::string key_sha256) = 0;

  virtual Task<Answer<>> audit(int64_t project, AuditEntry entry) = 0;
  /// Newest first.
  virtual Task<Answer<Listing<AuditEntry>>> audit_log(int64_t project, Page page) = 0;

  /// The receipt of an earlier request with this Idempotency-Key. Calls that create take the receipt to keep;
  /// when the key was used meanwhile they do nothing and answer 409 `idempotency_key_in_use`.
  virtual Task<Answer<std::optional<Receipt>>> receipt(int64_t project, std::string key) = 0;

  virtual Task<Answer<>> create_container(int64_t project, Container container,
                                          std::optional<Receipt> receipt) = 0;
  virtual Task<Answer<Listing<Container>>> containers(Access access, Page page) = 0;
  /// By id or label.
  virtual Task<Answer<Container>> container(Access access, std::string name) = 0;
  virtual Task<Answer<Container>> delete_container(Access access, std::string name) = 0;
  virtual Task<Answer<>> append_logs(int64_t container, std::vector<std::string> bodies, int64_t project,
                                     std::optional<Receipt> receipt) = 0;
  virtual Task<Answer<std::vector<LogEntry>>> logs(int64_t container, Page page) = 0;
  /// The rows of `range` as lines: at least one row if there is any, more while they fit into about `bytes`.
  virtual Task<Answer<Lines>> log_lines(int64_t container, Range range, size_t bytes) = 0;
  /// The seqs of what was logged in [since, until), in Unix milliseconds: contiguous, as time only moves
  /// forward.
  virtual Task<Answer<Range>> log_range(int64_t container, int64_t since, int64_t until) = 0;

  // An upload is a dataset that nobody sees until it is finished. One that is not finished is cleared away.
  virtual Task<Answer<int64_t>> begin_upload(int64_t project, std::string name) = 0;
  /// `lines`: `rows` lines, each ended by a newline; the first of them is row `first`.
  virtual Task<Answer<>> append_rows(int64_t upload, int64_t first, int64_t rows, std::string lines) = 0;
  virtual Task<Answer<>> finish_upload(int64_t project, int64_t upload, Dataset dataset,
                                       std::optional<Receipt> receipt) = 0;
  virtual Task<Answer<>> abort_upload(int64_t upload) = 0;
  virtual Task<Answer<Listing<Dataset>>> datasets(int64_t project, Page page) = 0;
  virtual Task<Answer<Dataset>> dataset(int64_t project, std::string name) = 0;
  virtual Task<Answer<Dataset>> delete_dataset(int64_t project, std::string name) = 0;
  virtual Task<Answer<Lines>> dataset_lines(int64_t dataset, std::vector<Range> ranges, size_t bytes) = 0;

  virtual Task<Answer<>> create_evaluator(int64_t project, Evaluator evaluator,
                                          std::optional<Receipt> receipt) = 0;
  virtual Task<Answer<Listing<Evaluator>>> evaluators(Access access, Page page) = 0;
  virtual Task<Answer<Evaluator>> evaluator(Access access, std::string name) = 0;
  /// Stores version `evaluator.version`; 409 `version_conflict` unless the stored one is just before it.
  virtual Task<Answer<>> update_evaluator(Access access, Evaluator evaluator) = 0;
  virtual Task<Answer<Evaluator>> delete_evaluator(Access access, std::string name) = 0;

  virtual Task<Answer<>> create_run(int64_t project, NewRun plan, std::optional<Receipt> receipt) = 0;
  /// Newest first, without their specifications.
  virtual Task<Answer<Listing<Run>>> runs(Access access, RunFilter filter, Page page) = 0;
  virtual Task<Answer<Run>> run(Access access, std::string id) = 0;
  virtual Task<Answer<RunRows>> run_rows(int64_t run) = 0;
  /// 409 `run_finished` when it is terminal.
  virtual Task<Answer<>> cancel_run(Access access, std::string id) = 0;
  /// Whether its shards are handed out. 409 `run_finished` when it is terminal.
  virtual Task<Answer<>> pause_run(Access access, std::string id, bool paused) = 0;
  /// Forgets the outcomes that erred and queues what a terminal run lacks again; how many outcomes that are.
  /// 409 `run_not_finished` when it is not terminal, `nothing_to_retry` when it lacks none.
  virtual Task<Answer<int64_t>> retry_run(Access access, std::string id) = 0;
  /// 409 `run_not_finished` when it is not terminal.
  virtual Task<Answer<Run>> delete_run(Access access, std::string id) = 0;
  /// In the order of identities, those behind `after` (nullopt: from the first).
  virtual Task<Answer<std::vector<ResultRow>>> results(int64_t run, std::optional<OutcomeId> after,
                                                       ResultFilter filter, int64_t limit) = 0;
  /// Those that erred, then those that failed, then those that nobody judged, lowest score first; none that
  /// passed.
  virtual Task<Answer<std::vector<ResultRow>>> worst_results(int64_t run, ResultFilter filter,
                                                             int64_t limit) = 0;
  virtual Task<Answer<int64_t>> count_results(int64_t run, ResultFilter filter) = 0;
  /// Calls `visit` for every outcome in the order of identities, on a thread of the store.
  virtual Task<Answer<>> scan_scores(int64_t run, std::function<void(const ScoreRow&)> visit) = 0;
  /// Those that have all the outcomes that they will have, and whose metrics are not computed.
  virtual Task<Answer<std::vector<Run>>> finalizing_runs() = 0;
  /// finalizing → completed, or error when the run has one; false when that has happened already.
  virtual Task<Answer<bool>> finish_run(int64_t run, int64_t retries, std::string metrics) = 0;

  // The worker surface; docs/worker-protocol.md says what each does and refuses.
  virtual Task<Answer<std::string>> register_worker(int64_t project, WorkerHello hello) = 0;
  virtual Task<Answer<std::vector<WorkerInfo>>> workers(int64_t project) = 0;
  virtual Task<Answer<std::vector<Lease>>> claim(ClaimRequest request) = 0;
  virtual Task<Answer<HeartbeatAnswer>> heartbeat(WorkerRef who, std::string state,
                                                  std::vector<LeaseRef> leases) = 0;
  virtual Task<Answer<AppendAnswer>> append(WorkerRef who, LeaseRef lease, OutcomeBatch batch) = 0;
  /// One answer for every lease.
  virtual Task<Answer<std::vector<Answer<CompleteAnswer>>>> complete(WorkerRef who,
                                                                     std::vector<LeaseRef> leases) = 0;
  virtual Task<Answer<>> release(WorkerRef who, LeaseRef lease) = 0;
  virtual Task<Answer<FailAnswer>> fail_shard(WorkerRef who, LeaseRef lease, ShardFailure failure) = 0;
  /// Takes `returned` back and grants a worker at least `wanted` of what the run may still spend on models;
  /// 0 when there is less. In nano-dollars.
  virtual Task<Answer<int64_t>> grant_spend(WorkerRef who, std::string run, int64_t wanted,
                                            int64_t returned) = 0;
};

}  // namespace assay::api
