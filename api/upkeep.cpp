#include "api/upkeep.hpp"

#include <optional>

#include "api/metrics.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

Task<bool> finish_run(Context& context, Run run) {
  auto metrics = co_await compute_metrics(context.store, run);
  if (!metrics) {
    log::warn("metrics could not be computed yet", {{"run", run.id}, {"error", metrics.error().message}});
    co_return false;
  }
  const auto finished = co_await context.store.finish_run(run.row, run.retries, std::move(*metrics));
  context.metrics.forget(run.row);
  if (finished && *finished)
    log::info(run.error.empty() ? "run completed" : "run ended in error",
              {{"run", run.id},
               {"outcomes", std::to_string(run.outcomes)},
               {"errors", std::to_string(run.errors)}});
  co_return finished.has_value();
}

/// Says once that the store is away, and why, and once that it is back: whoever reads the log sees more than
/// requests that were answered 503.
class Outage {
 public:
  void heard(const Answer<TickAnswer>& answer) {
    if (!answer && !since_) {
      since_ = Clock::now();
      log::error("the store is away", {{"error", answer.error().message}});
    } else if (answer && since_) {
      const auto away = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - *since_);
      log::info("the store is back", {{"after_s", std::to_string(away.count())}});
      since_.reset();
    }
  }

 private:
  std::optional<Clock::time_point> since_;
};

}  // namespace

Task<> finish_runs(Context& context) {
  constexpr auto kRetry = std::chrono::seconds(1);
  constexpr auto kLook =
      std::chrono::minutes(1);  // the bell tells; this only bounds the harm if it ever did not
  while (!context.stopping) {
    const auto seen = context.ended.count();
    const auto runs = co_await context.store.finalizing_runs();
    bool all = runs.has_value();
    if (runs)
      for (const auto& run : *runs) {
        const bool finished = co_await finish_run(context, run);
        all = all && finished;
      }
    if (all && !runs->empty()) continue;  // there may be more
    const Deadline again = all ? Clock::now() + kLook : Clock::now() + kRetry;
    co_await context.ended.wait(seen, again);
  }
}

Task<> keep_tidy(Context& context) {
  Outage outage;
  for (;;) {
    const bool slept = co_await sleep_until(Clock::now() + context.options.tick);
    if (!slept || context.stopping) co_return;
    const auto ticked = co_await context.store.tick();
    outage.heard(ticked);
    if (ticked && ticked->freed > 0) context.tell(Change::work);
    if (ticked && ticked->ended) context.tell(Change::ended);
  }
}

}  // namespace assay::api
