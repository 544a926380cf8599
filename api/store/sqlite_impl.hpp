// The SQLite store, private to its sources.
//
// One writer thread takes commands from a bounded queue and commits them in groups: each in its own
// savepoint, all with one fsync, and nobody is answered before it. So claims, heartbeats and appends of many
// workers cost one flush. Two reader threads with connections of their own see the last commit (WAL) and
// never wait for the writer.
#pragma once

#include <list>
#include <mutex>
#include <thread>

#include "api/store/sqlite_command.hpp"
#include "api/store/sqlite_store.hpp"
#include "core/fd.hpp"

namespace assay::api {

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

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(SqliteOptions options);
  ~SqliteStore() override;
  Result<void> open();

  std::string incarnation() const override { return incarnation_; }
  Task<Answer<>> ping() override;
  Task<Answer<int64_t>> tick() override;
  Task<Answer<>> create_key(std::string project, std::string name, unsigned scopes,
                            std::string sha256) override;
  Task<Answer<>> revoke_key(std::string sha256) override;
  Task<Answer<std::optional<Principal>>> principal(std::string key_sha256) override;
  Task<Answer<std::optional<Receipt>>> receipt(int64_t project, std::string key) override;

  Task<Answer<>> create_container(int64_t project, Container container,
                                  std::optional<Receipt> receipt) override;
  Task<Answer<Listing<Container>>> containers(int64_t project, Page page) override;
  Task<Answer<Container>> container(int64_t project, std::string name) override;
  Task<Answer<Container>> delete_container(int64_t project, std::string name) override;
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
  Task<Answer<Listing<Evaluator>>> evaluators(int64_t project, Page page) override;
  Task<Answer<Evaluator>> evaluator(int64_t project, std::string name) override;
  Task<Answer<>> update_evaluator(int64_t project, Evaluator evaluator) override;
  Task<Answer<Evaluator>> delete_evaluator(int64_t project, std::string name) override;

  Task<Answer<>> create_run(int64_t project, NewRun plan, std::optional<Receipt> receipt) override;
  Task<Answer<Listing<Run>>> runs(int64_t project, RunFilter filter, Page page) override;
  Task<Answer<Run>> run(int64_t project, std::string id) override;
  Task<Answer<>> cancel_run(int64_t project, std::string id) override;
  Task<Answer<std::vector<ResultRow>>> results(int64_t run, std::optional<OutcomeId> after,
                                               ResultFilter filter, int64_t limit) override;
  Task<Answer<std::vector<ResultRow>>> worst_results(int64_t run, ResultFilter filter,
                                                     int64_t limit) override;
  Task<Answer<int64_t>> count_results(int64_t run, ResultFilter filter) override;
  Task<Answer<>> scan_scores(int64_t run, std::function<void(const ScoreRow&)> visit) override;
  Task<Answer<std::vector<Run>>> finalizing_runs() override;
  Task<Answer<bool>> finish_run(int64_t run, std::string metrics) override;

  Task<Answer<std::string>> register_worker(int64_t project, WorkerHello hello) override;
  Task<Answer<std::vector<Lease>>> claim(ClaimRequest request) override;
  Task<Answer<HeartbeatAnswer>> heartbeat(WorkerRef who, std::vector<LeaseRef> leases) override;
  Task<Answer<AppendAnswer>> append(WorkerRef who, LeaseRef lease, OutcomeBatch batch) override;
  Task<Answer<CompleteAnswer>> complete(WorkerRef who, LeaseRef lease) override;
  Task<Answer<>> release(WorkerRef who, LeaseRef lease) override;
  Task<Answer<>> fail_shard(WorkerRef who, LeaseRef lease, ShardFailure failure) override;

 private:
  template <class Work>
  auto write(Work work) {
    return submit(writes_, std::move(work));
  }
  template <class Work>
  auto read(Work work) {
    return submit(reads_, std::move(work));
  }
  Result<void> lock_file();
  void prepare_schema(Database& db);
  void recover(Database& db);
  void serve_writes();
  void serve_reads(Database& db);
  void commit_group(std::vector<std::unique_ptr<Command>>& group);
  std::shared_ptr<const ChunkCache::Chunk> load_chunk(Database& db, int64_t dataset, int64_t row);

  const SqliteOptions options_;
  std::string path_;
  std::string temporary_directory_;  // to be removed at the end; empty: none
  UniqueFd lock_;
  std::string incarnation_;
  CommandQueue writes_, reads_;
  ChunkCache chunk_cache_;
  std::unique_ptr<Database> writer_;
  std::vector<std::unique_ptr<Database>> readers_;
  std::vector<std::jthread> threads_;
};

/// Keeps `receipt`, in the transaction of the work that it is of.
Answer<> keep_receipt(Database& db, int64_t project, const std::optional<Receipt>& receipt);
bool used_by_open_run(Database& db, SourceKind kind, int64_t source);
Answer<Container> find_container(Database& db, int64_t project, const std::string& name);
Answer<Run> find_run(Database& db, int64_t project, const std::string& id);
/// Ends what is left of a run's shards.
void end_shards(Database& db, int64_t run);
/// Puts back leases that ran out or were never accepted; how many.
int64_t expire_leases(Database& db, const LeasePolicy& policy, int64_t now);

}  // namespace assay::api
