// The store in SQL, private to its sources: what SQLite and PostgreSQL do alike, which is nearly everything.
// A backend (sqlite_store.cpp, postgres_store.cpp) brings threads that serve the two queues of commands, each
// command in a transaction of its own, and what its database does in a way of its own.
//
// Locks, where transactions run beside each other (PostgreSQL): the run's row first, then shards by index,
// then outcomes. SQLite has one writer, and its dialect no locks.
#pragma once

#include <list>
#include <mutex>

#include "api/store/command.hpp"
#include "api/store/store.hpp"

namespace assay::api {

struct Shape;

/// Decompressed chunks of datasets that were read lately.
class ChunkCache {
 public:
  struct Chunk {
    int64_t dataset = 0, first = 0;
    std::string text;
    std::vector<size_t> ends;  ///< of every row, behind its newline
  };
  std::shared_ptr<const Chunk> find(int64_t dataset, int64_t row);
  void add(std::shared_ptr<const Chunk> chunk);

 private:
  static constexpr size_t kBytes = size_t{8} << 20;
  std::mutex mutex_;
  std::list<std::shared_ptr<const Chunk>> chunks_;  // the last used first
  size_t bytes_ = 0;
};

struct InsertCounts {
  int64_t inserted = 0, errors = 0;
};

#define ASSAY_SCORE_COLUMNS                                                                     \
  "item, model, evaluator, trial, verdict, kind, score, passed, wall_us, calls, input_tokens, " \
  "output_tokens, nano_dollars, unpriced, estimated"
/// `row`: ASSAY_SCORE_COLUMNS. Its identity.
OutcomeId visit_score(const Rows& row, const std::function<void(const ScoreRow&)>& visit);

class SqlStore : public Store {
 public:
  SqlStore(LeasePolicy leases, size_t queue) : leases_(leases), writes_(queue), reads_(queue) {}

  std::string incarnation() const override { return incarnation_; }
  Task<Answer<>> ping() override;
  Task<Answer<TickAnswer>> tick() override;
  Task<Answer<StoreStats>> stats() override;

  Task<Answer<>> create_key(NewKey key) override;
  Task<Answer<std::vector<KeyInfo>>> keys() override;
  Task<Answer<>> revoke_key(std::string id) override;
  Task<Answer<std::optional<Principal>>> principal(std::string key_sha256) override;
  Task<Answer<>> audit(int64_t project, AuditEntry entry) override;
  Task<Answer<Listing<AuditEntry>>> audit_log(int64_t project, Page page) override;
  Task<Answer<std::optional<Receipt>>> receipt(int64_t project, std::string key) override;

  Task<Answer<>> create_container(int64_t project, Container container,
                                  std::optional<Receipt> receipt) override;
  Task<Answer<Listing<Container>>> containers(Access access, Page page) override;
  Task<Answer<Container>> container(Access access, std::string name) override;
  Task<Answer<Container>> delete_container(Access access, std::string name) override;
  Task<Answer<>> append_logs(int64_t container, std::vector<std::string> bodies, int64_t project,
                             std::optional<Receipt> receipt) override;
  Task<Answer<std::vector<LogEntry>>> logs(int64_t container, Page page) override;
  Task<Answer<Lines>> log_lines(int64_t container, Range range, size_t bytes) override;
  Task<Answer<Range>> log_range(int64_t container, int64_t since, int64_t until) override;

  Task<Answer<int64_t>> begin_upload(int64_t project, std::string name) override;
  Task<Answer<>> append_rows(int64_t upload, int64_t first, int64_t rows, std::string lines) override;
  Task<Answer<>> finish_upload(int64_t project, int64_t upload, Dataset dataset,
                               std::optional<Receipt> receipt) override;
  Task<Answer<>> abort_upload(int64_t upload) override;
  Task<Answer<Listing<Dataset>>> datasets(int64_t project, Page page) override;
  Task<Answer<Dataset>> dataset(int64_t project, std::string name) override;
  Task<Answer<Dataset>> delete_dataset(int64_t project, std::string name) override;
  Task<Answer<Lines>> dataset_lines(int64_t dataset, std::vector<Range> ranges, size_t bytes) override;

  Task<Answer<>> create_evaluator(int64_t project, Evaluator evaluator,
                                  std::optional<Receipt> receipt) override;
  Task<Answer<Listing<Evaluator>>> evaluators(Access access, Page page) override;
  Task<Answer<Evaluator>> evaluator(Access access, std::string name) override;
  Task<Answer<>> update_evaluator(Access access, Evaluator evaluator) override;
  Task<Answer<Evaluator>> delete_evaluator(Access access, std::string name) override;

  Task<Answer<>> create_run(int64_t project, NewRun plan, std::optional<Receipt> receipt) override;
  Task<Answer<Listing<Run>>> runs(Access access, RunFilter filter, Page page) override;
  Task<Answer<Run>> run(Access access, std::string id) override;
  Task<Answer<RunRows>> run_rows(int64_t run) override;
  Task<Answer<>> cancel_run(Access access, std::string id) override;
  Task<Answer<>> pause_run(Access access, std::string id, bool paused) override;
  Task<Answer<int64_t>> retry_run(Access access, std::string id) override;
  Task<Answer<Run>> delete_run(Access access, std::string id) override;
  Task<Answer<std::vector<ResultRow>>> results(int64_t run, std::optional<OutcomeId> after,
                                               ResultFilter filter, int64_t limit) override;
  Task<Answer<std::vector<ResultRow>>> worst_results(int64_t run, ResultFilter filter,
                                                     int64_t limit) override;
  Task<Answer<int64_t>> count_results(int64_t run, ResultFilter filter) override;
  Task<Answer<>> scan_scores(int64_t run, std::function<void(const ScoreRow&)> visit) override;
  Task<Answer<std::vector<Run>>> finalizing_runs() override;
  Task<Answer<bool>> finish_run(int64_t run, int64_t retries, std::string metrics) override;

  Task<Answer<std::string>> register_worker(int64_t project, WorkerHello hello) override;
  Task<Answer<std::vector<WorkerInfo>>> workers(int64_t project) override;
  Task<Answer<std::vector<Lease>>> claim(ClaimRequest request) override;
  Task<Answer<HeartbeatAnswer>> heartbeat(WorkerRef who, std::string state,
                                          std::vector<LeaseRef> leases) override;
  Task<Answer<AppendAnswer>> append(WorkerRef who, LeaseRef lease, OutcomeBatch batch) override;
  Task<Answer<std::vector<Answer<CompleteAnswer>>>> complete(WorkerRef who,
                                                             std::vector<LeaseRef> leases) override;
  Task<Answer<>> release(WorkerRef who, LeaseRef lease) override;
  Task<Answer<FailAnswer>> fail_shard(WorkerRef who, LeaseRef lease, ShardFailure failure) override;
  Task<Answer<int64_t>> grant_spend(WorkerRef who, std::string id, int64_t wanted, int64_t returned) override;

 protected:
  /// Of `batch`'s rows those given. First writer wins: an identity that is there already stays as it is, and
  /// only what was really inserted is counted.
  virtual InsertCounts insert_outcomes(Database& db, int64_t run, const OutcomeBatch& batch,
                                       std::span<const OutcomeBatch::Row> rows) const = 0;

  /// Visits the outcomes behind `at`, as many as fit into one command, and moves `at` with each. True: that
  /// was the last.
  virtual bool scan_page(Database& db, int64_t run, OutcomeId& at,
                         const std::function<void(const ScoreRow&)>& visit) const;

  template <class Work>
  auto write(Work work) {
    return submit(writes_, std::move(work));
  }
  template <class Work>
  auto read(Work work) {
    return submit(reads_, std::move(work));
  }

  const LeasePolicy leases_;
  std::string incarnation_;
  CommandQueue writes_, reads_;

 private:
  InsertCounts insert(Database& db, int64_t run, const Shape& shape, const OutcomeBatch& batch) const;
  std::shared_ptr<const ChunkCache::Chunk> load_chunk(Database& db, int64_t dataset, int64_t row);

  ChunkCache chunk_cache_;
};

/// Lists of row numbers as one parameter: `IN ` + this, for the parameter ?2 in either dialect.
#define ASSAY_SQLITE_LIST(parameter) "(SELECT value FROM json_each('[' || " parameter " || ']'))"
#define ASSAY_POSTGRES_LIST(parameter) "(SELECT unnest(string_to_array(" parameter ", ',')::bigint[]))"

/// Keeps `receipt`, in the transaction of the work that it is of.
Answer<> keep_receipt(Database& db, int64_t project, const std::optional<Receipt>& receipt);
bool used_by_open_run(Database& db, SourceKind kind, int64_t source);
Answer<Container> find_container(Database& db, const Access& access, const std::string& name);
Answer<Run> find_run(Database& db, const Access& access, const std::string& id);
/// Nobody else changes the run, or hands its shards out for the first time, until this transaction ends.
void lock_run(Database& db, int64_t run);
/// Ends what is left of a run's shards.
void end_shards(Database& db, int64_t run);
/// Running → finalizing when nothing is left to do; true: this call did it. The run is locked.
bool end_if_complete(Database& db, int64_t run);

}  // namespace assay::api
