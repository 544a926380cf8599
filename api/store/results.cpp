// Outcomes, read in the order of their identities.
#include <limits>

#include "api/store/sql_store.hpp"

namespace assay::api {
namespace {

Verdict verdict_from(int64_t number) {
  return static_cast<Verdict>(number);
}

std::optional<bool> passed_from(const Rows& row, int column) {
  if (row.null(column)) return std::nullopt;
  return row.integer(column) != 0;
}

OutcomeId id_from(const Rows& row) {
  return {row.integer(0), row.number(1), row.number(2), row.number(3)};
}

std::vector<ResultRow> read_results(Rows& row) {
  std::vector<ResultRow> results;
  while (row.step()) {
    ResultRow result;
    result.id = id_from(row);
    result.verdict = verdict_from(row.integer(4));
    result.score = row.real(5);
    result.passed = passed_from(row, 6);
    result.wall_us = row.integer(7);
    result.payload = row.text(8);
    results.push_back(std::move(result));
  }
  return results;
}

// Before every identity: items count from 0.
constexpr OutcomeId kBeforeAll{-1, 0, 0, 0};

}  // namespace

Task<Answer<std::vector<ResultRow>>> SqlStore::results(int64_t run, std::optional<OutcomeId> after,
                                                       ResultFilter filter, int64_t limit) {
  return read([=](Database& db) -> Answer<std::vector<ResultRow>> {
    const OutcomeId from = after.value_or(kBeforeAll);
    auto row = db.query(
        "SELECT item, model, evaluator, trial, verdict, score, passed, wall_us, payload FROM outcomes "
        "WHERE run = ?1 AND (item, model, evaluator, trial) > (?2, ?3, ?4, ?5) AND (?6 IS NULL OR evaluator "
        "= ?6) "
        "AND (?7 = 0 OR verdict = 1 OR passed = 0) AND item < ?8 ORDER BY item, model, evaluator, trial "
        "LIMIT ?9",
        run, from.item, from.model, from.evaluator, from.trial, filter.evaluator, filter.failed,
        filter.until.value_or(std::numeric_limits<int64_t>::max()), limit);
    return read_results(row);
  });
}

Task<Answer<std::vector<ResultRow>>> SqlStore::worst_results(int64_t run, ResultFilter filter,
                                                             int64_t limit) {
  return read([=](Database& db) -> Answer<std::vector<ResultRow>> {
    auto row = db.query(
        "SELECT item, model, evaluator, trial, verdict, score, passed, wall_us, payload FROM outcomes "
        "WHERE run = ?1 AND (?2 IS NULL OR evaluator = ?2) AND (verdict = 1 OR (verdict = 0 AND passed IS "
        "DISTINCT FROM 1)) "
        "AND (?3 = 0 OR verdict = 1 OR passed = 0) "
        "ORDER BY verdict = 0, passed IS NULL, score, item, model, evaluator, trial LIMIT ?4",
        run, filter.evaluator, filter.failed, limit);
    return read_results(row);
  });
}

Task<Answer<int64_t>> SqlStore::count_results(int64_t run, ResultFilter filter) {
  return read([=](Database& db) -> Answer<int64_t> {
    return db
        .integer(
            "SELECT count(*) FROM outcomes WHERE run = ?1 AND (?2 IS NULL OR evaluator = ?2) "
            "AND (?3 = 0 OR verdict = 1 OR passed = 0)",
            run, filter.evaluator, filter.failed)
        .value_or(0);
  });
}

bool SqlStore::scan_page(Database& db, int64_t run, OutcomeId& at,
                         const std::function<void(const ScoreRow&)>& visit) const {
  constexpr int64_t kPage = 20'000;
  auto row = db.query("SELECT " ASSAY_SCORE_COLUMNS
                      " FROM outcomes "
                      "WHERE run = ?1 AND (item, model, evaluator, trial) > (?2, ?3, ?4, ?5) "
                      "ORDER BY item, model, evaluator, trial LIMIT ?6",
                      run, at.item, at.model, at.evaluator, at.trial, kPage);
  int64_t count = 0;
  for (; row.step(); ++count) at = visit_score(row, visit);
  return count < kPage;
}

Task<Answer<>> SqlStore::scan_scores(int64_t run, std::function<void(const ScoreRow&)> visit) {
  // In pages, so that a million outcomes do not keep one of the readers from everybody else. Rows that arrive
  // behind the place that was reached are simply not in these metrics: a run that is being finalized gets
  // none.
  // The place outlives a try: a command that is run again, because its connection was lost, goes on behind
  // the last row that was visited.
  OutcomeId at = kBeforeAll;
  for (;;) {
    const auto whole = co_await read(
        [this, run, &at, &visit](Database& db) -> Answer<bool> { return scan_page(db, run, at, visit); });
    if (!whole) co_return std::unexpected(whole.error());
    if (*whole) co_return Answer<>{};
  }
}

OutcomeId visit_score(const Rows& row, const std::function<void(const ScoreRow&)>& visit) {
  ScoreRow score;
  score.id = id_from(row);
  score.verdict = verdict_from(row.integer(4));
  score.kind = row.view(5);
  score.score = row.real(6);
  score.passed = passed_from(row, 7);
  score.wall_us = row.integer(8);
  if (!row.null(9)) {
    score.models.calls = row.integer(9);
    score.models.input_tokens = row.integer(10);
    score.models.output_tokens = row.integer(11);
    score.models.nano_dollars = row.integer(12);
    score.models.unpriced = row.integer(13);
    score.models.estimated = row.integer(14);
  }
  visit(score);
  return score.id;
}

}  // namespace assay::api
