// The worker: registers, claims shards, keeps their leases, runs them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/async/scope.hpp"
#include "core/log.hpp"
#include "daemon/llm/broker.hpp"
#include "daemon/plugins.hpp"
#include "daemon/shard.hpp"
#include "daemon/spool/sender.hpp"
#include "daemon/spool/spool.hpp"
#include "sandbox/runtime/requirements.hpp"

namespace assay::daemon {

/// Which sandbox to use, and what it must give.
struct SandboxChoice {
  std::optional<sandbox::Mode> mode;  ///< this one instead of the best that works
  sandbox::Requirements require;
  sandbox::PackageSources packages;
};

/// Which models evaluators may ask.
struct ModelChoice {
  std::optional<llm::Models> models;  ///< nullopt: none
  llm::BrokerOptions broker;
};

struct WorkerOptions {
  ApiEndpoint api;
  ApiClient::Observer on_api_call;
  std::string
      name;  ///< stable over restarts: a restart under the same name takes the old leases over at once
  std::vector<std::string> environments = {"main"};
  std::vector<std::string> labels;  ///< what runs may require: "gpu:a100"
  /// Add to them what is found: languages that work, plugins that load. False: the labels say it all.
  bool find_labels = true;
  size_t hosts = 2;     ///< evaluator processes at most
  size_t shards = 4;    ///< shards leased at once
  size_t items = 1024;  ///< items in flight over all shards
  SpoolOptions spool;
  SandboxChoice sandbox;
  Plugins plugins;
  ModelChoice models;
  log::Level fallback_level = log::Level::warn;   ///< of the line that says that the sandbox could be better
  std::chrono::milliseconds drain_grace{60'000};  ///< for items in flight after drain()
};

struct WorkerStatus {
  size_t shards = 0;
  size_t items = 0;
  int64_t outcomes = 0;  ///< posted since the start
  int64_t claimed = 0;   ///< shards, since the start
  size_t spooled = 0;    ///< outcomes that the API does not have yet
  size_t spool_bytes = 0;
  bool spool_full = false;  ///< nothing is claimed until the API has taken outcomes
  bool registered = false;
  bool draining = false;
  llm::BrokerStatus models;
};

/// Everything runs on the executor; drain(), stop() and status() are called on it too.
class Worker {
 public:
  Worker(asio::any_io_executor executor, WorkerOptions options);
  ~Worker();

  /// Works until drained or stopped. An error says why it could not (a refused key, no sandbox, a superseded
  /// name, a spool that another process has). What the API does not have by then stays in the spool's folder.
  Task<Result<>> run();
  /// Claims nothing more, finishes the items in flight, posts them, gives the rest back.
  void drain();
  /// Ends at once; what was not posted stays in the spool.
  void stop();
  WorkerStatus status() const;
  bool registered() const { return registered_; }

 private:
  Task<Result<>> work();
  Task<> work_registered();
  Task<Result<>> open_sandbox();
  Result<> open_broker();
  Task<> tell_fallback();
  Task<> find_labels();
  Task<> find_plugins();
  Task<Result<>> register_worker();
  Task<> claim_loop();
  Task<> heartbeat_loop();
  Task<> heartbeat();
  Task<> drain_watch();
  void tell_rest() const;
  void start_shards(std::vector<Lease> leases);
  Task<> run_shard(Lease lease);
  Task<> release(Lease lease);
  Task<Result<RunSpec>> fetch_spec(std::string run);
  Task<Result<std::shared_ptr<const RunSpec>>> spec_of(std::string run);
  void close_pool();
  bool must_end() const;
  void fatal(std::string why);

  asio::any_io_executor executor_;
  WorkerOptions options_;
  ApiClient api_;
  Budget items_;
  Spool spool_;
  std::unique_ptr<sandbox::Pool> pool_;
  std::unique_ptr<llm::Broker> broker_;  ///< null: no models
  Identity self_;
  std::vector<std::string> labels_;
  std::unique_ptr<Completer> completer_;
  std::unique_ptr<Purses> purses_;
  std::unique_ptr<WorkerContext> context_;
  std::unique_ptr<Sender> sender_;
  std::unique_ptr<Scope> claims_, leases_, control_;
  std::unique_ptr<Scope> ending_;         ///< never cancelled
  std::map<std::string, Shard*> shards_;  ///< by Lease::key()
  std::map<std::string, std::shared_ptr<const RunSpec>> specs_;
  Event changed_;
  std::chrono::milliseconds heartbeat_every_{10'000};
  std::chrono::milliseconds claim_wait_{20'000};
  int64_t claimed_ = 0;
  bool draining_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  bool closing_ = false;
  bool registered_ = false;
};

}  // namespace assay::daemon
