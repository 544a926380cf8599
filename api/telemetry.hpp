// What a monitor sees of this process: series in the text format of Prometheus.
#pragma once

#include <memory>
#include <string>
#include <string_view>

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
  void connections(size_t open);
  void connection_refused();
  std::string text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::api
