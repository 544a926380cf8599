// Outcomes: taken in, counted, and the end of shards and runs that follows from them.
#include <algorithm>
#include <map>
#include <tuple>

#include "api/store/workers.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

Answer<> check_identities(const OutcomeBatch& batch, const Shape& shape) {
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    const auto& id = batch.rows[i].id;
    if (shape.contains(id)) continue;
    return invalid("outcomes[" + std::to_string(i) + ']',
                   "outcome (item " + std::to_string(id.item) + ", model " + std::to_string(id.model) +
                       ", evaluator " + std::to_string(id.evaluator) + ", trial " + std::to_string(id.trial) +
                       ") is not one of this shard: items " + std::to_string(shape.lo) + " to " +
                       std::to_string(shape.hi - 1) + ", " + std::to_string(shape.models) + " models, " +
                       std::to_string(shape.evaluators) + " evaluators, " + std::to_string(shape.trials) +
                       " trials");
  }
  return {};
}

/// The codes of [0, size) that `stored` lacks.
std::vector<Range> complement(const std::vector<Range>& stored, int64_t size) {
  std::vector<Range> missing;
  int64_t next = 0;
  for (const auto& range : stored) {
    if (range.from > next) missing.push_back({next, range.from});
    next = range.to;
  }
  if (next < size) missing.push_back({next, size});
  return missing;
}

std::unexpected<Problem> incomplete(const std::vector<Range>& missing) {
  Problem problem(409, "incomplete", "the store does not hold every outcome of this shard");
  problem.extra = "\"missing\":[";
  for (const auto& range : missing) {
    if (&range != &missing.front()) problem.extra += ',';
    problem.extra += '[' + std::to_string(range.from) + ',' + std::to_string(range.to) + ']';
  }
  problem.extra += ']';
  return std::unexpected(std::move(problem));
}

std::unexpected<Problem> run_finished() {
  return refuse(409, "run_finished", "the run has ended: its outcomes are not wanted any more");
}

/// As the run is now; it stays so until the transaction ends.
bool has_ended(Database& db, const RunRow& run) {
  const auto open = db.integer(db.either("SELECT 1 FROM runs WHERE id = ? AND status < 2",
                                         "SELECT 1 FROM runs WHERE id = ? AND status < 2 FOR SHARE"),
                               run.row);
  return !open;
}

/// Two workers may have generated for the same item, when one of them lost its lease. The text that came
/// first is the item's; what belongs to another is not wanted.
void drop_of_other_texts(Database& db, int64_t run, const Shape& shape,
                         std::vector<OutcomeBatch::Row>& rows) {
  if (rows.empty()) return;
  const auto place = [](const OutcomeId& id) { return std::tuple(id.item, id.model, id.trial); };
  std::map<std::tuple<int64_t, int, int>, std::string> stored;
  const auto [first, last] = std::ranges::minmax(rows, {}, [](const auto& row) { return row.id.item; });
  auto row = db.query(
      "SELECT item, model, trial, generation FROM outcomes WHERE run = ? AND item >= ? AND item <= ? AND "
      "evaluator = ?",
      run, first.id.item, last.id.item, shape.evaluators - 1);
  while (row.step()) stored[{row.integer(0), row.number(1), row.number(2)}] = row.text(3);
  std::erase_if(rows, [&](const OutcomeBatch::Row& outcome) {
    const auto text = stored.find(place(outcome.id));
    return text == stored.end() || text->second != outcome.generation;
  });
}

enum class Completion { done, repeated };

Answer<Completion> check_complete(Database& db, const RunRow& run, const KnownWorker& worker,
                                  const ShardRow& shard, const LeaseRef& lease) {
  // The token stays with a shard that is done, so that a complete whose answer was lost can be repeated.
  if (shard.state == kDone && shard.epoch == lease.epoch && shard.token == lease.token)
    return Completion::repeated;
  if (!holds(shard, worker, lease)) return lost();
  if (shard.shape.size() == 0) return Completion::done;
  // Counted from the rows themselves, not from the counter that appends keep.
  const auto stored = db.integer("SELECT count(*) FROM outcomes WHERE run = ? AND item >= ? AND item < ?",
                                 run.row, shard.shape.lo, shard.shape.hi);
  if (stored == shard.shape.size()) return Completion::done;
  return incomplete(complement(stored_codes(db, run.row, shard.shape), shard.shape.size()));
}

/// Completes the leases of one run, which are `places` of the answer.
void complete_of_run(Database& db, const WorkerRef& who, const KnownWorker& worker,
                     const std::vector<LeaseRef>& leases, std::span<const size_t> places,
                     std::vector<Answer<CompleteAnswer>>& answers) {
  const auto run = find_run_row(db, who.project, leases[places.front()].run, true);
  std::vector<int64_t> indexes, done;
  for (const size_t place : places) indexes.push_back(leases[place].shard);
  const auto shards = run ? lock_shards(db, *run, indexes) : std::vector<ShardRow>();
  for (const size_t place : places) {
    auto& answer = answers[place];
    if (!run) {
      answer = std::unexpected(run.error());
      continue;
    }
    const auto shard = std::ranges::find(shards, leases[place].shard, &ShardRow::index);
    if (shard == shards.end()) {
      answer = refuse(404, "shard_not_found", "the run has no shard " + std::to_string(leases[place].shard),
                      "shard");
      continue;
    }
    const auto checked = check_complete(db, *run, worker, *shard, leases[place]);
    if (!checked)
      answer = std::unexpected(checked.error());
    else if (*checked == Completion::done && std::ranges::find(done, shard->index) == done.end())
      done.push_back(shard->index);
  }
  if (done.empty()) return;
  const auto list = comma_list(done);
  db.run(db.either("UPDATE shards SET state = 2, worker = NULL, claim = NULL WHERE run = ?1 AND idx "
                   "IN " ASSAY_SQLITE_LIST("?2"),
                   "UPDATE shards SET state = 2, worker = NULL, claim = NULL WHERE run = ?1 AND idx = "
                   "ANY(string_to_array(?2, ',')::bigint[])"),
         run->row, list);
  db.run("UPDATE runs SET shards_done = shards_done + ? WHERE id = ?", done.size(), run->row);
  // In the same transaction as the last shard, so that exactly one of them sees the run become complete.
  const bool last = end_if_complete(db, run->row);
  for (const size_t place : places)
    if (answers[place]) answers[place]->last = last && leases[place].shard == done.back();
}

}  // namespace

InsertCounts SqlStore::insert(Database& db, int64_t run, const Shape& shape,
                              const OutcomeBatch& batch) const {
  const auto of_generation = [](const OutcomeBatch::Row& row) { return !row.generation.empty(); };
  if (std::ranges::none_of(batch.rows, of_generation)) return insert_outcomes(db, run, batch, batch.rows);
  std::vector<OutcomeBatch::Row> texts, others;
  for (const auto& row : batch.rows)
    (row.id.evaluator == shape.evaluators - 1 ? texts : others).push_back(row);
  auto counts = insert_outcomes(db, run, batch, texts);
  drop_of_other_texts(db, run, shape, others);
  const auto more = insert_outcomes(db, run, batch, others);
  counts.inserted += more.inserted;
  counts.errors += more.errors;
  return counts;
}

Task<Answer<AppendAnswer>> SqlStore::append(WorkerRef who, LeaseRef lease, OutcomeBatch batch) {
  return write([=, this, batch = std::move(batch)](Database& db) -> Answer<AppendAnswer> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto run, find_run_row(db, who.project, lease.run));
    // The shard's lock orders this and the end of its run: whichever comes second sees the other.
    ASSAY_TRY(const auto shard, lock_shard(db, run, lease.shard));
    if (run.status >= RunStatus::finalizing || shard.state == kEnded) return run_finished();
    ASSAY_OK(check_identities(batch, shard.shape));
    const auto size = static_cast<int64_t>(batch.rows.size());
    // From before a retry: the run has forgotten such outcomes on purpose. Beyond what was ever leased: no
    // lease of this database's.
    if (lease.epoch <= shard.retry_epoch || lease.epoch > shard.epoch) return AppendAnswer{0, 0, size, false};
    // The run does not wait for this shard, so it may have ended while we waited for the lock, or end now.
    if (shard.state == kAside && has_ended(db, run)) return run_finished();
    const auto counts = insert(db, run.row, shard.shape, batch);
    const bool held = holds(shard, worker, lease);
    if (counts.inserted > 0) {
      db.run(
          "UPDATE shards SET outcomes = outcomes + ?, errors = errors + ?, fruitless = 0, progress_at = ? "
          "WHERE run = ? AND idx = ?",
          counts.inserted, counts.errors, db.now(), run.row, lease.shard);
      db.run("INSERT INTO run_sandboxes(run, mode) VALUES(?, ?) ON CONFLICT DO NOTHING", run.row,
             worker.sandbox);
    }
    if (held)
      db.run("UPDATE shards SET lease_until = ?, accepted = 1 WHERE run = ? AND idx = ?",
             db.now() + leases_.ttl.count(), run.row, lease.shard);
    return AppendAnswer{counts.inserted, counts.errors, size - counts.inserted, held};
  });
}

Task<Answer<std::vector<Answer<CompleteAnswer>>>> SqlStore::complete(WorkerRef who,
                                                                     std::vector<LeaseRef> leases) {
  return write([=](Database& db) -> Answer<std::vector<Answer<CompleteAnswer>>> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    std::vector<Answer<CompleteAnswer>> answers(leases.size());
    std::map<std::string, std::vector<size_t>> by_run;
    for (size_t i = 0; i < leases.size(); ++i) by_run[leases[i].run].push_back(i);
    for (const auto& [run, places] : by_run) complete_of_run(db, who, worker, leases, places, answers);
    return answers;
  });
}

Task<Answer<FailAnswer>> SqlStore::fail_shard(WorkerRef who, LeaseRef lease, ShardFailure failure) {
  return write([=, this](Database& db) -> Answer<FailAnswer> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto run, find_run_row(db, who.project, lease.run, true));
    ASSAY_TRY(const auto shard, lock_shard(db, run, lease.shard));
    if (!holds(shard, worker, lease)) return lost();
    const std::string message = std::string(to_string(failure.kind)) + ": " + failure.message;
    const bool passing = failure.kind == ErrorKind::internal || failure.kind == ErrorKind::transport;
    if (!passing) {
      // Every other shard would fail like this one.
      end_shards(db, run.row);
      const auto moved =
          db.run("UPDATE runs SET status = 2, error = ? WHERE id = ? AND status < 2", message, run.row);
      return FailAnswer{moved == 1};
    }
    constexpr int64_t kLongest = 60;
    const int64_t factor = std::min(kLongest, int64_t{1} << std::min<int64_t>(shard.attempts + 1, 6));
    // One that has failed too often is set aside by the next tick: nobody is offered it.
    db.run(
        "UPDATE shards SET state = 0, attempts = attempts + 1, fruitless = fruitless + 1, error = ?, token = "
        "NULL, "
        "worker = NULL, claim = NULL, not_before = ? WHERE run = ? AND idx = ?",
        message, db.now() + leases_.retry_base.count() * factor, run.row, lease.shard);
    return FailAnswer{};
  });
}

Task<Answer<int64_t>> SqlStore::grant_spend(WorkerRef who, std::string id, int64_t wanted, int64_t returned) {
  return write([=](Database& db) -> Answer<int64_t> {
    ASSAY_TRY(const auto worker, known_worker(db, who));
    ASSAY_TRY(const auto run, find_run_row(db, who.project, id, true));
    const auto limit = db.integer("SELECT spend_limit FROM runs WHERE id = ?", run.row);
    if (!limit) return refuse(409, "no_spend_limit", "the run has no limit of spending: nothing is granted");
    const int64_t out = db.integer("SELECT spend_granted FROM runs WHERE id = ?", run.row).value_or(0);
    const int64_t given = std::max<int64_t>(0, out - returned), rest = *limit - given;
    // A share that lasts for a while, small enough that no worker sits on what others need.
    constexpr int64_t kShares = 64;
    int64_t grant = 0;
    if (wanted > 0 && wanted <= rest && run.status < RunStatus::finalizing)
      grant = std::min(rest, std::max(wanted, *limit / kShares));
    db.run("UPDATE runs SET spend_granted = ? WHERE id = ?", given + grant, run.row);
    return grant;
  });
}

}  // namespace assay::api
