#include "api/container/results.hpp"

#include <algorithm>

#include "api/container/list.hpp"
#include "api/container/run_json.hpp"

namespace assay::api {
namespace {

class ResultsWriter final : public BodyWriter {
 public:
  ResultsWriter(Store& store, const Run& run, ResultFilter filter, std::optional<OutcomeId> after)
      : store_(store), run_(run.row), names_(names_of(run)), filter_(filter), after_(after) {}

  Task<Answer<std::string>> next() override {
    constexpr int64_t kPage = 500;
    if (done_) co_return std::string();
    const auto results = co_await store_.results(run_, after_, filter_, kPage);
    if (!results) co_return std::unexpected(results.error());
    std::string lines;
    for (const auto& result : *results) {
      append_result(lines, result, names_);
      lines += '\n';
    }
    done_ = static_cast<int64_t>(results->size()) < kPage;
    if (!results->empty()) after_ = results->back().id;
    co_return lines;
  }

 private:
  Store& store_;
  int64_t run_;
  RunNames names_;
  ResultFilter filter_;
  std::optional<OutcomeId> after_;
  bool done_ = false;
};

Answer<std::optional<int>> evaluator_index(const RunNames& names, const std::optional<std::string>& wanted) {
  if (!wanted) return std::nullopt;
  for (size_t i = 0; i < names.evaluator_ids.size(); ++i)
    if (names.evaluator_ids[i] == *wanted || names.evaluator_names[i] == *wanted) return static_cast<int>(i);
  return not_found("evaluator", *wanted, "evaluator");
}

}  // namespace

std::string results_link(std::string_view run, const OutcomeId& after, int64_t limit) {
  return "/v1/evaluation/runs/" + std::string(run) + "/results?cursor=" + result_id(after) +
         "&limit=" + std::to_string(limit);
}

ResultsQuery read_results(Query& query) {
  ResultsQuery wanted;
  wanted.limit = query.integer("limit", 100, 1, 1000);
  wanted.cursor = query.text("cursor", R"(^\d+\.\d+\.\d+\.\d+$)");
  query.note("cursor", "Continues behind a result; the one in \"next\".");
  wanted.evaluator = query.text("evaluator");
  query.note("evaluator", "Only the results of this one: its id or name.");
  wanted.worst = query.word("order", {"worst"}).has_value();
  query.note("order", "Without it the order of the items. The worst are one page, and no JSON lines.");
  wanted.failed = query.boolean("failed").value_or(false);
  query.note("failed", "Only what erred or did not pass.");
  return wanted;
}

Task<Answer<Response>> run_results(Context& context, Request& request) {
  Query query(request.query);
  const auto [limit, cursor, evaluator, worst, failed] = read_results(query);
  ASSAY_CO_OK(query.done());
  ResultFilter filter;
  filter.failed = failed;
  if (worst && (cursor || wants_lines(request)))
    co_return invalid("order", "the worst results are one JSON page: without cursor, not as JSON lines");
  std::optional<OutcomeId> after;
  if (cursor) {
    after = result_id_from(*cursor);
    if (!after) co_return invalid("cursor", "this is no cursor of this list; use the one in \"next\"");
  }
  const auto run = co_await context.store.run(request.principal.access, request.parameters[0]);
  if (!run) co_return std::unexpected(run.error());
  const RunNames names = names_of(*run);
  auto index = evaluator_index(names, evaluator);
  if (!index) co_return std::unexpected(index.error());
  filter.evaluator = *index;
  Response response;
  if (wants_lines(request)) {
    response.content_type = "application/jsonl";
    response.writer = std::make_unique<ResultsWriter>(context.store, *run, filter, after);
    co_return response;
  }
  int64_t total = run->outcomes;
  if (filter.evaluator || filter.failed) {
    const auto counted = co_await context.store.count_results(run->row, filter);
    if (!counted) co_return std::unexpected(counted.error());
    total = *counted;
  }
  // One more than asked for tells whether there is a next page.
  auto results = worst ? co_await context.store.worst_results(run->row, filter, limit)
                       : co_await context.store.results(run->row, after, filter, limit + 1);
  if (!results) co_return std::unexpected(results.error());
  const bool more = static_cast<int64_t>(results->size()) > limit;
  if (more) results->pop_back();
  {
    JsonObject list(response.body);
    list.text("object", "list");
    append_json_array(list.key("data"), *results, [&names](std::string& out, const ResultRow& result) {
      append_result(out, result, names);
    });
    list.number("total", total);
    if (more) {
      list.text("cursor", result_id(results->back().id));
      std::string link = results_link(run->id, results->back().id, limit);
      if (evaluator) link += "&evaluator=" + names.evaluator_ids[static_cast<size_t>(*filter.evaluator)];
      if (filter.failed) link += "&failed=true";
      list.text("next", link);
    }
  }
  co_return response;
}

}  // namespace assay::api
