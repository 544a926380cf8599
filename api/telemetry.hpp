// What a monitor sees of this process: series in the text format of Prometheus.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/store/store.hpp"
#include "core/async/task.hpp"

namespace assay::api {

/// Thread-safe. A new series is a member of Impl and a method here that feeds it.
class Telemetry {
 public:
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  Telemetry();
  ~Telemetry();

  /// `route`: method and pattern, "GET /datasets/{dataset}"; "-" when none was found, so that clients cannot
  /// make series.
  void answered(std::string_view route, int status, Clock::duration took);
  /// One try to claim: what the store took for it, without waiting for work.
  void claimed(size_t leases, Clock::duration took);
  /// One batch of outcomes, as the store took it.
  void appended(const AppendAnswer& answer);
  void store_is(const StoreStats& stats);
  void connection_opened();
  void connection_closed();
  void connection_refused();
  /// An idle one, for a new one.
  void connection_closed_early();
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::api
