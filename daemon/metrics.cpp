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

  void tell_models(const llm::BrokerStatus& status);

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
  prometheus::Family<Counter>& model_calls = BuildCounter()
                                                 .Name("assay_model_calls_total")
                                                 .Help("Completions ended; outcome: ok, or the kind of error")
                                                 .Register(registry);
  Gauge& model_calls_open = gauge("assay_model_calls_open", "Completions under way or waiting");
  Counter& model_retries =
      counter("assay_model_retries_total", "Requests beyond the first of their completion");
  Counter& model_cache_hits =
      counter("assay_model_cache_hits_total", "Completions answered by a reply that was kept");
  Counter& model_cost = counter("assay_model_cost_dollars_total", "What priced completions cost");
  Counter& model_unpriced =
      counter("assay_model_unpriced_calls_total", "Completions whose cost is not known");
  prometheus::Family<Counter>& model_tokens = BuildCounter()
                                                  .Name("assay_model_tokens_total")
                                                  .Help("Tokens of completions, by kind")
                                                  .Register(registry);
  prometheus::Family<Gauge>& provider = BuildGauge()
                                            .Name("assay_provider")
                                            .Help(
                                                "Of each provider: in_flight and allowed requests, waiting "
                                                "calls, parked_seconds, paused (1: no more is sent)")
                                            .Register(registry);
  prometheus::Family<Counter>& provider_requests = BuildCounter()
                                                       .Name("assay_provider_requests_total")
                                                       .Help("Requests sent; refused: beyond the rate limit")
                                                       .Register(registry);
  prometheus::Family<prometheus::Histogram>& seconds =
      BuildHistogram().Name("assay_worker_api_seconds").Help("How long answers took").Register(registry);
};

void Metrics::Impl::tell_models(const llm::BrokerStatus& status) {
  const auto raise = [](Counter& counter, double value) { counter.Increment(value - counter.Value()); };
  for (const auto& [outcome, count] : status.outcomes)
    raise(model_calls.Add({{"outcome", outcome}}), static_cast<double>(count));
  model_calls_open.Set(static_cast<double>(status.calls));
  raise(model_retries, static_cast<double>(status.retries));
  raise(model_cache_hits, static_cast<double>(status.cache_hits + status.coalesced));
  raise(model_cost, static_cast<double>(status.spend.spent) / 1e9);
  raise(model_unpriced, static_cast<double>(status.spend.unpriced_calls));
  raise(model_tokens.Add({{"kind", "input"}}), static_cast<double>(status.spend.input_tokens));
  raise(model_tokens.Add({{"kind", "cached"}}), static_cast<double>(status.spend.cached_tokens));
  raise(model_tokens.Add({{"kind", "output"}}), static_cast<double>(status.spend.output_tokens));
  for (const auto& account : status.accounts) {
    const auto set = [&](const char* what, double value) {
      provider.Add({{"provider", account.provider}, {"what", what}}).Set(value);
    };
    set("in_flight", account.in_flight);
    set("allowed", account.allowed);
    set("waiting", static_cast<double>(account.waiting));
    set("parked_seconds", std::chrono::duration<double>(account.parked_for).count());
    set("paused", account.paused.empty() ? 0 : 1);
    raise(provider_requests.Add({{"provider", account.provider}, {"refused", "no"}}),
          static_cast<double>(account.requests - account.refused));
    raise(provider_requests.Add({{"provider", account.provider}, {"refused", "yes"}}),
          static_cast<double>(account.refused));
  }
}

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
  impl_->tell_models(status.models);
  return {200, "text/plain; version=0.0.4; charset=utf-8",
          prometheus::TextSerializer().Serialize(impl_->registry.Collect())};
}

http::StatusPage Metrics::ready(const WorkerStatus& status) {
  const std::string text = std::string(state_of(status)) + "\n";
  return {.status = status.registered && !status.draining ? 200 : 503, .text = text};
}

}  // namespace assay::daemon
