#include "api/telemetry.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

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
  prometheus::Gauge& connections =
      BuildGauge().Name("assay_connections").Help("Open connections").Register(registry).Add({});
  prometheus::Counter& refused = BuildCounter()
                                     .Name("assay_connections_refused_total")
                                     .Help("Connections beyond the limit")
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

void Telemetry::connection_opened() {
  impl_->connections.Increment();
}

void Telemetry::connection_closed() {
  impl_->connections.Decrement();
}

void Telemetry::connection_refused() {
  impl_->refused.Increment();
}

std::string Telemetry::text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace assay::api
