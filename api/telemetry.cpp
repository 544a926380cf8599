#include "api/telemetry.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "core/id.hpp"

namespace assay::api {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

/// Seconds. A claim waits up to 25 s for work.
const prometheus::Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                          0.25,  0.5,    1,     2.5,  5,     10,   30};

}  // namespace

struct Telemetry::Impl {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests =
      BuildCounter().Name("assay_api_requests_total").Help("Requests answered").Register(registry);
  prometheus::Family<prometheus::Histogram>& seconds =
      BuildHistogram()
          .Name("assay_api_seconds")
          .Help("From the end of a request's header to the end of its answer")
          .Register(registry);
  prometheus::Histogram& claim_seconds =
      BuildHistogram()
          .Name("assay_claim_seconds")
          .Help("What the store took for a claim, without waiting for work")
          .Register(registry)
          .Add({}, kSeconds);
  prometheus::Counter& leases =
      BuildCounter().Name("assay_leases_granted_total").Help("Shards handed out").Register(registry).Add({});
  prometheus::Family<prometheus::Counter>& outcomes =
      BuildCounter()
          .Name("assay_outcomes_total")
          .Help("Outcomes that workers brought: scored or skipped, errored, or there already")
          .Register(registry);
  prometheus::Family<prometheus::Gauge>& shards =
      BuildGauge()
          .Name("assay_shards")
          .Help("Shards of runs that have not ended, in the whole store")
          .Register(registry);
  prometheus::Gauge& runs =
      BuildGauge().Name("assay_runs_open").Help("Runs that have not ended").Register(registry).Add({});
  prometheus::Gauge& oldest = BuildGauge()
                                  .Name("assay_queue_oldest_seconds")
                                  .Help("Age of the oldest run with shards that wait; 0: nothing waits")
                                  .Register(registry)
                                  .Add({});
  prometheus::Gauge& commands = BuildGauge()
                                    .Name("assay_store_commands_waiting")
                                    .Help("Commands that wait for a connection to the store")
                                    .Register(registry)
                                    .Add({});
  prometheus::Gauge& connections =
      BuildGauge().Name("assay_connections").Help("Open connections").Register(registry).Add({});
  prometheus::Counter& refused = BuildCounter()
                                     .Name("assay_connections_refused_total")
                                     .Help("Connections beyond the limit")
                                     .Register(registry)
                                     .Add({});
  prometheus::Counter& closed_early = BuildCounter()
                                          .Name("assay_connections_closed_early_total")
                                          .Help("Idle connections closed for new ones beyond the limit")
                                          .Register(registry)
                                          .Add({});
  prometheus::Gauge& build = BuildGauge()
                                 .Name("assay_build_info")
                                 .Help("1; the labels say what is running")
                                 .Register(registry)
                                 .Add({{"version", ASSAY_VERSION}, {"program", "assay"}});
};

Telemetry::Telemetry() : impl_(std::make_unique<Impl>()) {
  impl_->build.Set(1);
}

Telemetry::~Telemetry() = default;

void Telemetry::answered(std::string_view route, int status, Clock::duration took) {
  const std::string name(route);
  impl_->requests.Add({{"route", name}, {"status", std::to_string(status)}}).Increment();
  impl_->seconds.Add({{"route", name}}, kSeconds).Observe(std::chrono::duration<double>(took).count());
}

void Telemetry::claimed(size_t leases, Clock::duration took) {
  impl_->claim_seconds.Observe(std::chrono::duration<double>(took).count());
  impl_->leases.Increment(static_cast<double>(leases));
}

void Telemetry::appended(const AppendAnswer& answer) {
  const auto add = [this](const char* result, int64_t count) {
    if (count > 0) impl_->outcomes.Add({{"result", result}}).Increment(static_cast<double>(count));
  };
  add("stored", answer.inserted - answer.errors);
  add("errored", answer.errors);
  add("duplicate", answer.duplicate);
}

void Telemetry::store_is(const StoreStats& stats) {
  impl_->shards.Add({{"state", "queued"}}).Set(static_cast<double>(stats.queued));
  impl_->shards.Add({{"state", "leased"}}).Set(static_cast<double>(stats.leased));
  impl_->runs.Set(static_cast<double>(stats.runs));
  impl_->commands.Set(static_cast<double>(stats.waiting_commands));
  const auto age = stats.oldest_queued == 0 ? 0 : now_ms() - stats.oldest_queued;
  impl_->oldest.Set(static_cast<double>(age) / 1000);
}

void Telemetry::connection_opened() {
  impl_->connections.Increment();
}

void Telemetry::connection_closed() {
  impl_->connections.Decrement();
}

void Telemetry::connection_refused() {
  impl_->refused.Increment();
}

void Telemetry::connection_closed_early() {
  impl_->closed_early.Increment();
}

std::string Telemetry::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace assay::api
