#include "daemon/metrics.hpp"

#include <catch2/catch.hpp>

using namespace assay;
using namespace assay::daemon;
using namespace std::chrono_literals;
using Catch::Contains;

TEST_CASE("Metrics: series of a worker, without ids in their labels", "[daemon][metrics]") {
  Metrics metrics;
  metrics.api_call("/v1/runs/run_1/shards/7/outcomes", 200, 20ms);
  metrics.api_call("/v1/runs/run_2/shards/8/outcomes", 503, 20ms);
  metrics.api_call("/v1/worker/runs/run_1", 200, 1ms);
  metrics.api_call("/v1/datasets/ds_1/rows?rows=0-9", 200, 1ms);
  metrics.api_call("/v1/something/else", 0, 1s);
  const auto page =
      metrics.page({.shards = 2, .items = 30, .outcomes = 400, .claimed = 5, .registered = true});
  CHECK(page.status == 200);
  for (const char* line :
       {"assay_worker_api_calls_total{call=\"outcomes\",status=\"200\"} 1\n",
        "assay_worker_api_calls_total{call=\"outcomes\",status=\"503\"} 1\n",
        "assay_worker_api_calls_total{call=\"run\",status=\"200\"} 1\n",
        "assay_worker_api_calls_total{call=\"rows\",status=\"200\"} 1\n",
        "assay_worker_api_calls_total{call=\"other\",status=\"0\"} 1\n",
        "assay_worker_api_seconds_count{call=\"outcomes\"} 2\n", "assay_worker_api_up 0\n",
        "assay_worker_shards 2\n", "assay_worker_items 30\n", "assay_worker_outcomes_posted_total 400\n",
        "assay_worker_shards_claimed_total 5\n", "assay_worker_state{state=\"claiming\"} 1\n",
        "assay_worker_state{state=\"starting\"} 0\n"})
    CHECK_THAT(page.text, Contains(line));
  CHECK_THAT(page.text, !Contains("run_1"));
  const auto later = metrics.page({.outcomes = 450, .claimed = 6, .registered = true, .draining = true});
  CHECK_THAT(later.text, Contains("assay_worker_outcomes_posted_total 450\n"));
  CHECK_THAT(later.text, Contains("assay_worker_state{state=\"draining\"} 1\n"));
}

TEST_CASE("Metrics: a worker is ready while it claims", "[daemon][metrics]") {
  CHECK(Metrics::ready({}).status == 503);
  CHECK(Metrics::ready({.registered = true}).status == 200);
  CHECK(Metrics::ready({.registered = true, .draining = true}).text == "draining\n");
}
