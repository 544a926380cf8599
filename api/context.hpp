// What every handler gets: the store, the settings, and the bells.
#pragma once

#include <atomic>
#include <functional>

#include "api/bell.hpp"
#include "api/http/key_cache.hpp"
#include "api/http/rate_limit.hpp"
#include "api/metrics_cache.hpp"
#include "api/server.hpp"
#include "api/store/store.hpp"
#include "api/telemetry.hpp"

namespace assay::api {

struct Context {
  Context(const Server::Options& options_, Store& store_)
      : options(options_),
        store(store_),
        requests(options_.limits.requests_per_second, options_.limits.burst()),
        bad_keys(options_.limits.bad_keys_per_second, options_.limits.bad_keys_per_second) {}

  const Server::Options& options;
  Store& store;
  Bell work;   ///< a shard may be claimed that could not be before; or the server stops
  Bell ended;  ///< a run is to be finalized; or the server stops
  MetricsCache metrics;
  KeyCache keys;
  RateLimit requests;  ///< by key
  RateLimit bad_keys;  ///< by address
  Telemetry telemetry;
  std::atomic<bool> stopping = false;

  /// Wakes who waits for it, on this server and the others.
  void tell(Change change) {
    ring(change);
    store.announce(change);
  }
  /// On this server alone.
  void ring(Change change) { (change == Change::work ? work : ended).ring(); }
};

}  // namespace assay::api
