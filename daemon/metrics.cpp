#include "daemon/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace assay::daemon {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Gauge;

/// Seconds. A claim waits up to 25 s for work.
const prometheus::Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                          0.25,  0.5,    1,     2.5,  5,     10,   30};

constexpr std::string_view kStates[] = {"starting", "claiming", "draining"};

std::string_view state_of(const WorkerStatus& status) {
  if (status.draining) return "draining";
  return status.registered ? "claiming" : "starting";
}

/// The kind of call: a path without its ids.
std::string call_of(std::string_view path) {
  path = path.substr(0, path.find('?'));
  if (path.starts_with("/v1/worker/runs/")) return "run";
  if (const size_t slash = path.rfind('/'); slash != std::string_view::npos) path.remove_prefix(slash + 1);
  for (const std::string_view call :
       {"workers", "claims", "heartbeat", "outcomes", "complete", "release", "fail", "rows", "logs"})
    if (path == call) return std::string(call);
  return "other";
}

}  // namespace

struct Metrics::Impl {
  Gauge& gauge(const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }
  Counter& counter(const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(registry).Add({});
  }

  prometheus::Registry registry;
  prometheus::Family<Gauge>& state = BuildGauge()
                                         .Name("assay_worker_state")
                                         .Help("1 for the state that the worker is in")
                                         .Register(registry);
  Gauge& shards = gauge("assay_worker_shards", "Shards leased");
  Gauge& items = gauge("assay_worker_items", "Items in flight");
  Counter& outcomes = counter("assay_worker_outcomes_posted_total", "Outcomes that the API has acknowledged");
  Counter& claimed = counter("assay_worker_shards_claimed_total", "Shards claimed");
  Gauge& spooled = gauge("assay_worker_spool_outcomes", "Outcomes that the API does not have yet");
  Gauge& spool_bytes = gauge("assay_worker_spool_bytes", "Bytes of the spool");
  Gauge& spool_full =
      gauge("assay_worker_spool_full", "1 while nothing is claimed because the spool is full");
  Gauge& api_up = gauge("assay_worker_api_up", "1 when the API answered the last call");
  prometheus::Family<Counter>& calls = BuildCounter()
                                           .Name("assay_worker_api_calls_total")
                                           .Help("Calls to the API; status 0: no answer")
                                           .Register(registry);
  prometheus::Family<prometheus::Histogram>& seconds =
      BuildHistogram().Name("assay_worker_api_seconds").Help("How long answers took").Register(registry);
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {
  BuildGauge()
      .Name("assay_build_info")
      .Help("1; the labels say what is running")
      .Register(impl_->registry)
      .Add({{"version", ASSAY_VERSION}, {"program", "assayd"}})
      .Set(1);
}

Metrics::~Metrics() = default;

void Metrics::api_call(std::string_view path, int status, Clock::duration took) {
  const std::string call = call_of(path);
  impl_->calls.Add({{"call", call}, {"status", std::to_string(status)}}).Increment();
  if (status > 0)
    impl_->seconds.Add({{"call", call}}, kSeconds).Observe(std::chrono::duration<double>(took).count());
  impl_->api_up.Set(status > 0 && status < 500 ? 1 : 0);
}

http::StatusPage Metrics::page(const WorkerStatus& status) {
  for (const auto state : kStates)
    impl_->state.Add({{"state", std::string(state)}}).Set(state == state_of(status) ? 1 : 0);
  impl_->shards.Set(static_cast<double>(status.shards));
  impl_->items.Set(static_cast<double>(status.items));
  impl_->outcomes.Increment(static_cast<double>(status.outcomes) - impl_->outcomes.Value());
  impl_->claimed.Increment(static_cast<double>(status.claimed) - impl_->claimed.Value());
  impl_->spooled.Set(static_cast<double>(status.spooled));
  impl_->spool_bytes.Set(static_cast<double>(status.spool_bytes));
  impl_->spool_full.Set(status.spool_full ? 1 : 0);
  return {200, "text/plain; version=0.0.4; charset=utf-8",
          prometheus::TextSerializer().Serialize(impl_->registry.Collect())};
}

http::StatusPage Metrics::ready(const WorkerStatus& status) {
  const std::string text = std::string(state_of(status)) + "\n";
  return {.status = status.registered && !status.draining ? 200 : 503, .text = text};
}

}  // namespace assay::daemon
