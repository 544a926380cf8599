// Evaluation runs: planned, watched, cancelled.
#include <nlohmann/json.hpp>

#include "api/container/events.hpp"
#include "api/container/list.hpp"
#include "api/container/results.hpp"
#include "api/container/run_json.hpp"
#include "api/container/waiting.hpp"
#include "api/metrics.hpp"
#include "api/planner.hpp"
#include "api/routes.hpp"
#include "core/id.hpp"

namespace assay::api {
namespace {

constexpr int64_t kShownResults = 100;

Task<Answer<Response>> create_run(Context& context, Request& request) {
  const auto json = parse_json(request.body);
  if (!json) co_return refuse(400, "invalid_json", json.error().message);
  auto asked = run_request_from(*json);
  if (!asked) co_return std::unexpected(asked.error());
  auto plan = co_await plan_run(context.store, request.principal.access, std::move(*asked));
  if (!plan) co_return std::unexpected(plan.error());
  Response response;
  {
    JsonObject object(response.body);
    append_run(object, plan->run, "", request.principal.access);
  }
  auto receipt = request.receipt_for(response.body);
  const auto created =
      co_await context.store.create_run(request.principal.project(), std::move(*plan), std::move(receipt));
  if (!created) co_return std::unexpected(created.error());
  context.tell(Change::work);
  co_return response;
}

struct RunsQuery {
  std::optional<std::string> container, status;
  Page page;
};

RunsQuery read_runs(Query& query) {
  RunsQuery wanted;
  wanted.container = query.text("container");
  wanted.status = query.word("status", {"queued", "running", "completed", "error", "cancelled"});
  wanted.page = read_page(query);
  return wanted;
}

std::optional<RunStatus> status_from(std::string_view word) {
  for (const auto status :
       {RunStatus::queued, RunStatus::running, RunStatus::completed, RunStatus::error, RunStatus::cancelled})
    if (to_string(status) == word) return status;
  return std::nullopt;
}

Task<Answer<Response>> list_runs(Context& context, Request& request) {
  Query query(request.query);
  const auto wanted = read_runs(query);
  ASSAY_CO_OK(query.done());
  RunFilter filter;
  if (wanted.status) filter.status = status_from(*wanted.status);
  if (wanted.container) {
    const auto found = co_await context.store.container(request.principal.access, *wanted.container);
    if (!found) co_return std::unexpected(found.error());
    filter.container = found->row;
  }
  const auto runs = co_await context.store.runs(request.principal.access, filter, wanted.page);
  if (!runs) co_return std::unexpected(runs.error());
  co_return list_response(runs->data, runs->total, [&request](std::string& out, const Run& run) {
    JsonObject object(out);
    append_run(object, run, run.metrics, request.principal.access);
  });
}

/// Of a run that is going on: what its outcomes say so far.
Task<Answer<std::string>> metrics_so_far(Context& context, const Run& run) {
  if (run.outcomes == 0) co_return std::string();
  if (auto fresh = context.metrics.fresh(run.row)) co_return std::move(*fresh);
  const auto begin = Clock::now();
  auto metrics = co_await compute_metrics(context.store, run);
  if (metrics) context.metrics.keep(run.row, *metrics, Clock::now() - begin);
  co_return metrics;
}

/// The first results and where the others are.
Task<Answer<>> append_first_results(Context& context, const Run& run, JsonObject& object) {
  auto results = co_await context.store.results(run.row, std::nullopt, ResultFilter{}, kShownResults);
  if (!results) co_return std::unexpected(results.error());
  const RunNames names = names_of(run);
  append_json_array(object.key("results"), *results, [&names](std::string& out, const ResultRow& result) {
    append_result(out, result, names);
  });
  if (run.outcomes > kShownResults)
    object.text("next", results_link(run.id, results->back().id, kShownResults));
  co_return Answer<>{};
}

Task<Answer<Response>> show(Context& context, const Access& access, const Run& run) {
  std::string metrics = run.metrics;
  if (metrics.empty()) {  // it goes on, or was cancelled
    auto partial = co_await metrics_so_far(context, run);
    if (!partial) co_return std::unexpected(partial.error());
    metrics = std::move(*partial);
  }
  const auto waiting = co_await waiting_for(context, run);
  Response response;
  Answer<> shown;
  {
    JsonObject object(response.body);
    append_run(object, run, metrics, access);
    object.maybe_text("waiting_for", waiting);
    if (is_terminal(run.status) && run.outcomes > 0)
      shown = co_await append_first_results(context, run, object);
  }
  if (!shown) co_return std::unexpected(shown.error());
  co_return response;
}

Task<Answer<Response>> get_run(Context& context, Request& request) {
  const auto run = co_await context.store.run(request.principal.access, request.parameters[0]);
  if (!run) co_return std::unexpected(run.error());
  co_return co_await show(context, request.principal.access, *run);
}

/// Asks the store for a change of the run, and shows the run as it is then.
template <class Done>
Task<Answer<Response>> show_changed(Context& context, Request& request, Done done) {
  if (!done) co_return std::unexpected(done.error());
  const auto run = co_await context.store.run(request.principal.access, request.parameters[0]);
  if (!run) co_return std::unexpected(run.error());
  context.metrics.forget(run->row);
  co_return co_await show(context, request.principal.access, *run);
}

Task<Answer<Response>> cancel_run(Context& context, Request& request) {
  auto done = co_await context.store.cancel_run(request.principal.access, request.parameters[0]);
  co_return co_await show_changed(context, request, std::move(done));
}

Task<Answer<Response>> pause_run(Context& context, Request& request) {
  auto done = co_await context.store.pause_run(request.principal.access, request.parameters[0], true);
  co_return co_await show_changed(context, request, std::move(done));
}

Task<Answer<Response>> resume_run(Context& context, Request& request) {
  auto done = co_await context.store.pause_run(request.principal.access, request.parameters[0], false);
  if (done) context.tell(Change::work);
  co_return co_await show_changed(context, request, std::move(done));
}

Task<Answer<Response>> retry_run(Context& context, Request& request) {
  auto done = co_await context.store.retry_run(request.principal.access, request.parameters[0]);
  if (done) context.tell(Change::work);
  co_return co_await show_changed(context, request, std::move(done));
}

Task<Answer<Response>> delete_run(Context& context, Request& request) {
  const auto gone = co_await context.store.delete_run(request.principal.access, request.parameters[0]);
  if (!gone) co_return std::unexpected(gone.error());
  context.metrics.forget(gone->row);
  co_return deleted_response("evaluation.run", gone->id);
}

}  // namespace

std::vector<Route> run_routes() {
  return {
      {"POST",
       "/evaluation/runs",
       kMaySubmit,
       Body::json,
       create_run,
       {.summary = "Begin a run", .body = asks<read_run>, .answer = "Run", .refusals = {404, 501}},
       kCreates},
      {"GET",
       "/evaluation/runs",
       kMayRead,
       Body::none,
       list_runs,
       {.summary = "List the runs, newest first",
        .query = asks<read_runs>,
        .answer = "Run",
        .list = true,
        .refusals = {404}}},
      {"GET",
       "/evaluation/runs/{run}",
       kMayRead,
       Body::none,
       get_run,
       {.summary = "A run, with its metrics and the first results", .answer = "Run"}},
      {"DELETE",
       "/evaluation/runs/{run}",
       kMaySubmit,
       Body::none,
       delete_run,
       {.summary = "Delete a run that has ended, with its results", .answer = "Deleted", .refusals = {409}}},
      {"POST",
       "/evaluation/runs/{run}/cancel",
       kMaySubmit,
       Body::none,
       cancel_run,
       {.summary = "End a run; what it has stays", .answer = "Run", .refusals = {409}}},
      {"POST",
       "/evaluation/runs/{run}/pause",
       kMaySubmit,
       Body::none,
       pause_run,
       {.summary = "Give out no more shards of a run", .answer = "Run", .refusals = {409}}},
      {"POST",
       "/evaluation/runs/{run}/resume",
       kMaySubmit,
       Body::none,
       resume_run,
       {.summary = "Give out the shards of a paused run again", .answer = "Run", .refusals = {409}}},
      {"POST",
       "/evaluation/runs/{run}/retry",
       kMaySubmit,
       Body::none,
       retry_run,
       {.summary = "Evaluate again what erred or is missing in a run that has ended",
        .answer = "Run",
        .refusals = {409}}},
      {"GET",
       "/evaluation/runs/{run}/events",
       kMayRead,
       Body::none,
       run_events,
       {.summary = "The progress of a run until it has ended, as server-sent events: progress, end",
        .text = "text/event-stream"}},
      {"GET",
       "/evaluation/runs/{run}/results",
       kMayRead,
       Body::none,
       run_results,
       {.summary = "The results of a run, in the order of its items or the worst first",
        .query = asks<read_results>,
        .answer = "ResultList",
        .lines = "Result"}},
  };
}

}  // namespace assay::api
