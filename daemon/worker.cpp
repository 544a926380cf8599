#include "daemon/worker.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::daemon {

using namespace std::chrono_literals;

Worker::Worker(asio::any_io_executor executor, WorkerOptions options)
    : executor_(executor),
      options_(std::move(options)),
      api_(executor, options_.api),
      items_(executor, options_.items),
      spool_(executor, options_.spool),
      changed_(executor) {
  api_.observe(options_.on_api_call);
}

Worker::~Worker() = default;

bool Worker::must_end() const {
  return stopping_ || ended_ || (context_ && !context_->fatal.empty());
}

void Worker::fatal(std::string why) {
  if (context_->fatal.empty()) context_->fatal = std::move(why);
  stop();
}

/// With all that the settings demand of it.
Task<Result<>> Worker::open_sandbox() {
  auto pool = co_await sandbox::Pool::start(
      executor_,
      {.hosts = options_.hosts, .mode = options_.sandbox.mode, .packages = options_.sandbox.packages});
  if (!pool) co_return std::unexpected(std::move(pool.error()).with("the sandbox did not start"));
  auto checked = co_await sandbox::check_requirements(**pool, options_.sandbox.require);
  if (checked)
    pool_ = std::move(*pool);
  else
    co_await (*pool)->close();
  co_return checked;
}

/// A sandbox weaker than the best there is is never used in silence.
Task<> Worker::tell_fallback() {
  const sandbox::Mode mode = pool_->mode();
  if (mode == sandbox::Mode::full && pool_->cgroups() != sandbox::Cgroups::none) co_return;
  std::string why = co_await sandbox::why_not_better(mode);
  log::write(options_.fallback_level, "the sandbox is not the strongest; `assay doctor` says what to do",
             {{"mode", std::string(to_string(mode))},
              {"cgroups", std::string(to_string(pool_->cgroups()))},
              {"why", std::move(why)}});
}

Task<Result<>> Worker::run() {
  ASSAY_CO_OK(co_await spool_.open());
  Result<> result = open_broker();
  if (result) result = co_await open_sandbox();
  if (result) result = co_await work();
  if (broker_) co_await broker_->close();
  co_await spool_.close();
  tell_rest();
  co_return result;
}

Result<> Worker::open_broker() {
  if (!options_.models.models) return {};
  auto broker = llm::Broker::start(executor_, *options_.models.models, options_.models.broker);
  if (!broker) return std::unexpected(std::move(broker.error()).with("models"));
  broker_ = std::move(*broker);
  return {};
}

/// What runs may require of this worker: what it was told, the languages that work here, those that it can
/// install packages for, the plugins that load and the providers of models.
Task<> Worker::find_labels() {
  labels_ = options_.labels;
  if (!options_.find_labels) co_return;
  for (const auto& language : co_await sandbox::working_languages(*pool_))
    labels_.push_back("language:" + language);
  co_await find_plugins();
  if (options_.models.models)
    for (const auto& prefix : options_.models.models->prefixes()) labels_.push_back("provider:" + prefix);
  const auto& packages = options_.sandbox.packages;
  if (!packages.index.empty() || !packages.wheelhouse.empty()) labels_.emplace_back("packages:python");
  if (!packages.registry.empty()) labels_.emplace_back("packages:node");
}

Task<> Worker::find_plugins() {
  for (const auto& [name, path] : options_.plugins.all()) {
    const auto plugin = co_await pool_->describe_plugin(path);
    if (plugin && plugin->name == name)
      labels_.push_back("plugin:" + name);
    else
      log::warn(
          "a plugin is left out",
          {{"path", path}, {"why", plugin ? "it calls itself " + plugin->name : plugin.error().message}});
  }
}

Task<Result<>> Worker::work() {
  co_await tell_fallback();
  co_await find_labels();
  self_.boot_id = make_id("boot_");
  completer_ = std::make_unique<Completer>(executor_, api_, self_);
  purses_ = std::make_unique<Purses>(executor_, api_, self_);
  context_ = std::make_unique<WorkerContext>(
      WorkerContext{api_, *pool_, items_, spool_, *completer_, *purses_, broker_.get(), self_});
  sender_ = std::make_unique<Sender>(executor_, api_, spool_, self_,
                                     [this](std::string why) { fatal(std::move(why)); });
  claims_ = std::make_unique<Scope>(executor_);
  leases_ = std::make_unique<Scope>(executor_);
  control_ = std::make_unique<Scope>(executor_);
  ending_ = std::make_unique<Scope>(executor_);

  sender_->start();
  // Before this process takes the name over, which ends the leases of the last one: their shards would be
  // computed again.
  if (!draining_) co_await sender_->post_leftovers();
  auto result = co_await register_worker();
  if (result) co_await work_registered();
  ended_ = true;
  control_->cancel();
  co_await control_->join();
  completer_->stop();
  co_await completer_->join();
  sender_->stop();
  co_await sender_->join();
  close_pool();
  co_await ending_->join();
  if (!context_->fatal.empty()) result = fail(ErrorKind::config, context_->fatal);
  co_return result;
}

Task<> Worker::work_registered() {
  claims_->spawn("claim shards", claim_loop());
  control_->spawn("heartbeat", heartbeat_loop());
  co_await claims_->join();
  co_await leases_->join();
  // A lease whose claim was answered while this worker stopped asking comes back as `unknown`, and is given
  // back.
  if (!stopping_) co_await heartbeat();
  co_await leases_->join();
}

void Worker::tell_rest() const {
  if (spool_.outcomes() == 0) return;
  const std::string count = std::to_string(spool_.outcomes());
  if (spool_.in_memory())
    log::warn("outcomes were not posted; they are computed again", {{"outcomes", count}});
  else
    log::info("outcomes stay in the spool: the next start posts them",
              {{"outcomes", count}, {"folder", options_.spool.folder}});
}

void Worker::drain() {
  if (draining_ || stopping_ || ended_) return;
  draining_ = true;
  changed_.notify();
  if (!claims_) return;
  context_->draining = true;
  // Before this worker is registered there is nothing to finish.
  if (!registered_) sender_->stop();
  claims_->cancel();
  control_->spawn("drain watch", drain_watch());
}

/// A drain that takes too long becomes a stop: what is not posted by then stays in the spool.
Task<> Worker::drain_watch() {
  const bool whole_grace = co_await sleep_until(Clock::now() + options_.drain_grace);
  if (whole_grace) stop();
}

void Worker::stop() {
  if (stopping_ || ended_) return;
  stopping_ = true;
  draining_ = true;
  changed_.notify();
  if (!claims_) return;
  context_->draining = true;
  context_->stopping = true;
  for (const auto& [key, shard] : shards_)
    if (shard != nullptr) shard->set_stopping();
  claims_->cancel();
  leases_->cancel();
  control_->cancel();
  completer_->stop();
  sender_->stop();
  // Answers what is in the pool with `cancelled`, so that the shards end.
  close_pool();
}

void Worker::close_pool() {
  if (closing_) return;
  closing_ = true;
  ending_->spawn("close the sandbox", pool_->close());
}

WorkerStatus Worker::status() const {
  return {.shards = shards_.size(),
          .items = items_.used(),
          .outcomes = sender_ ? sender_->posted() : 0,
          .claimed = claimed_,
          .spooled = spool_.outcomes(),
          .spool_bytes = spool_.used(),
          .spool_full = spool_.full(),
          .registered = registered_,
          .draining = draining_,
          .models = broker_ ? broker_->status() : llm::BrokerStatus()};
}

Task<Result<>> Worker::register_worker() {
  Json body{{"name", options_.name},    {"boot_id", self_.boot_id},
            {"version", ASSAY_VERSION}, {"protocol", 1},
            {"slots", options_.shards}, {"environments", options_.environments},
            {"labels", labels_},        {"sandbox", std::string(to_string(pool_->mode()))}};
  for (int attempt = 0; !stopping_ && !draining_; ++attempt) {
    ApiClient::Call call;
    call.method = "POST";
    call.path = "/v1/workers";
    call.body = dump_json(body);
    call.timeout = 15s;
    const auto answer = co_await api_.call(std::move(call));
    if (answer && answer->ok()) {
      const auto json = parse_json(answer->body);
      if (json && json->is_object() && json->value("worker_id", Json()).is_string()) {
        self_.worker_id = (*json)["worker_id"].get<std::string>();
        if (json->value("heartbeat_ms", Json()).is_number_integer())
          heartbeat_every_ = std::chrono::milliseconds((*json)["heartbeat_ms"].get<int64_t>());
        if (json->value("claim_wait_ms", Json()).is_number_integer())
          claim_wait_ = std::chrono::milliseconds((*json)["claim_wait_ms"].get<int64_t>());
        self_.incarnation =
            json->value("incarnation", Json()).is_string() ? (*json)["incarnation"].get<std::string>() : "";
        registered_ = true;
        sender_->registered();
        co_return Result<>{};
      }
    } else if (answer && !answer->retryable()) {
      co_return std::unexpected(answer->error().with("the API refused this worker"));
    }
    if (attempt == 0) {
      const std::string why = answer ? answer->error().message : answer.error().message;
      log::warn("the API does not answer yet; trying on", {{"error", why}});
    }
    co_await changed_.wait_until(Clock::now() + backoff(attempt, answer));
  }
  co_return fail(ErrorKind::cancelled, "stopped before it was registered");
}

Task<> Worker::claim_loop() {
  std::string claim_id = make_id("claim_");
  for (int attempt = 0; !draining_ && !must_end();) {
    const size_t held = leases_->size();
    if (held >= options_.shards) {
      co_await changed_.wait();
      continue;
    }
    // An API that has not got what is computed would hand it out again.
    if (spool_.full() || sender_->is_behind()) {
      co_await sleep_until(Clock::now() + 50ms);
      continue;
    }
    const Json body{{"worker_id", self_.worker_id},
                    {"boot_id", self_.boot_id},
                    {"claim_id", claim_id},
                    {"max", options_.shards - held},
                    {"wait_ms", claim_wait_.count()}};
    ApiClient::Call call;
    call.method = "POST";
    call.path = "/v1/claims";
    call.body = dump_json(body);
    call.timeout = claim_wait_ + 15s;
    const auto answer = co_await api_.call(std::move(call));
    if (draining_ || must_end()) co_return;
    if (answer && answer->ok()) {
      if (answer->status == 204) {
        attempt = 0;
        claim_id = make_id("claim_");
        continue;
      }
      const auto json = parse_json(answer->body);
      if (json && json->is_object() && json->contains("leases")) {
        auto leases = leases_from((*json)["leases"]);
        if (leases) {
          attempt = 0;
          claim_id = make_id("claim_");
          start_shards(std::move(*leases));
          continue;
        }
        log::error(leases.error().message);
      }
    } else if (answer && answer->code == "unknown_worker") {
      const auto again = co_await register_worker();
      if (!again) co_return;
      continue;
    } else if (answer && !answer->retryable()) {
      fatal("the API refused a claim: " + answer->error().message);
      co_return;
    } else if (attempt == 1) {
      log::warn("claims get no answer",
                {{"error", answer ? answer->error().message : answer.error().message}});
    }
    co_await sleep_until(Clock::now() + backoff(attempt++, answer));
  }
}

void Worker::start_shards(std::vector<Lease> leases) {
  for (auto& lease : leases) {
    if (shards_.contains(lease.key())) continue;
    ++claimed_;
    const std::string name = "shard " + lease.key();
    shards_.emplace(lease.key(), nullptr);
    if (draining_)
      leases_->spawn(name, release(std::move(lease)));
    else
      leases_->spawn(name, run_shard(std::move(lease)));
  }
}

Task<Result<RunSpec>> Worker::fetch_spec(std::string run) {
  const Deadline deadline = Clock::now() + 30s;
  for (int attempt = 0;; ++attempt) {
    ApiClient::Call call;
    call.path = "/v1/worker/runs/" + run;
    const auto answer = co_await api_.call_until(std::move(call), deadline);
    if (!answer) co_return std::unexpected(answer.error());
    if (!answer->ok()) co_return std::unexpected(answer->error());
    auto spec = run_spec_from(answer->body, options_.plugins);
    const auto wait = backoff(attempt);
    const bool passing = !spec && spec.error().kind == ErrorKind::transport;
    if (!passing || Clock::now() + wait >= deadline) co_return spec;
    const bool slept = co_await sleep_until(Clock::now() + wait);
    if (!slept) co_return fail(ErrorKind::cancelled, "cancelled");
  }
}

Task<Result<std::shared_ptr<const RunSpec>>> Worker::spec_of(std::string run) {
  if (const auto it = specs_.find(run); it != specs_.end()) co_return it->second;
  auto spec = co_await fetch_spec(run);
  if (!spec) co_return std::unexpected(std::move(spec.error()));
  for (const auto& evaluator : spec->evaluators) {
    for (const auto& program : evaluator.programs()) {
      auto checked = co_await check_plugin(*pool_, program);
      if (!checked) co_return std::unexpected(std::move(checked.error()).with("evaluator " + program->name));
    }
  }
  auto shared = std::make_shared<const RunSpec>(std::move(*spec));
  // Specifications of runs that nobody works on any more are dropped, so that a worker of many runs stays
  // small.
  if (specs_.size() >= 16)
    std::erase_if(specs_, [](const auto& entry) { return entry.second.use_count() == 1; });
  specs_[run] = shared;
  co_return shared;
}

Task<> Worker::release(Lease lease) {
  ApiClient::Call call;
  call.method = "POST";
  call.path = "/v1/runs/" + lease.run + "/shards/" + std::to_string(lease.shard) + "/release";
  call.body = dump_json(Json{{"worker_id", self_.worker_id},
                             {"boot_id", self_.boot_id},
                             {"epoch", lease.epoch},
                             {"token", lease.token},
                             {"reason", "drain"}});
  call.timeout = 10s;
  co_await api_.call(std::move(call));
  shards_.erase(lease.key());
}

Task<> Worker::run_shard(Lease lease) {
  const std::string key = lease.key();
  auto spec = co_await spec_of(lease.run);
  // A run this worker cannot execute is failed by the shard, which then has no evaluators to ask.
  Shard shard(*context_, std::move(lease), spec ? *spec : nullptr, executor_);
  shards_[key] = &shard;
  if (spec)
    co_await shard.run();
  else if (!stopping_)
    co_await shard.give_up(spec.error());
  shards_.erase(key);
  changed_.notify();
  if (!context_->fatal.empty()) stop();
}

Task<> Worker::heartbeat_loop() {
  while (!must_end()) {
    co_await heartbeat();
    co_await sleep_until(Clock::now() + heartbeat_every_);
  }
}

Task<> Worker::heartbeat() {
  Json leases = Json::array();
  for (const auto& [key, shard] : shards_)
    if (shard != nullptr)
      leases.push_back({{"run", shard->lease().run},
                        {"shard", shard->lease().shard},
                        {"epoch", shard->lease().epoch},
                        {"token", shard->lease().token}});
  ApiClient::Call call;
  call.method = "POST";
  call.path = "/v1/heartbeat";
  call.body = dump_json(Json{{"worker_id", self_.worker_id},
                             {"boot_id", self_.boot_id},
                             {"state", draining_       ? "drain"
                                       : spool_.full() ? "full"
                                                       : "run"},
                             {"leases", std::move(leases)}});
  call.timeout = 10s;
  const auto answer = co_await api_.call(std::move(call));
  if (!answer || must_end()) co_return;  // the next one repeats everything
  if (answer->code == "superseded") {
    fatal(answer->message);
    co_return;
  }
  if (answer->code == "unknown_worker") {
    const auto again = co_await register_worker();
    if (!again && again.error().kind != ErrorKind::cancelled) fatal(again.error().message);
    co_return;
  }
  if (!answer->ok()) co_return;
  const auto json = parse_json(answer->body);
  if (!json || !json->is_object() || !json->value("leases", Json()).is_array()) co_return;
  ++context_->heartbeats;
  for (const auto& entry : (*json)["leases"]) {
    if (!entry.is_object() || !entry.value("run", Json()).is_string()) continue;
    const std::string key = entry["run"].get<std::string>() + "/" + dump_json(entry.value("shard", Json()));
    const auto shard = shards_.find(key);
    if (shard == shards_.end() || shard->second == nullptr) continue;
    if (entry.value("epoch", Json()) != shard->second->lease().epoch) continue;
    const Json verdict = entry.value("verdict", Json());
    if (verdict == "cancel") shard->second->set_cancelled();
    if (verdict == "pause") shard->second->set_paused();
    if (verdict == "lost" || verdict == "done") shard->second->set_lost();
  }
  if (const auto unknown = json->find("unknown"); unknown != json->end() && unknown->is_array()) {
    if (auto adopted = leases_from(*unknown)) start_shards(std::move(*adopted));
  }
}

}  // namespace assay::daemon
