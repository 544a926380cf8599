// What a monitor sees of a worker: series in the text format of Prometheus, and whether it is ready.
#pragma once

#include <memory>
#include <string_view>

#include "core/http/status_server.hpp"
#include "daemon/worker.hpp"

namespace assay::daemon {

/// A new series is a member of Impl, fed by a method here or from the status. Used on the worker's executor.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  /// See ApiClient::Observer.
  void api_call(std::string_view path, int status, Clock::duration took);
  http::StatusPage page(const WorkerStatus& status);
  /// 200 while shards are claimed.
  static http::StatusPage ready(const WorkerStatus& status);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::daemon
