// `assay serve`: the API, and `assay key`: what opens it.
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "api/server.hpp"
#include "cli/command.hpp"
#include "core/async/scope.hpp"
#include "core/descriptors.hpp"
#include "core/id.hpp"
#include "core/json.hpp"
#include "core/log.hpp"
#include "core/settings.hpp"

namespace assay::cli {
namespace {

using namespace std::chrono_literals;

struct ServeConfig {
  std::string config_file;
  std::string log_level = "info";
  api::Server::Options server;
};

void declare_settings(Settings& settings, ServeConfig& config) {
  settings.add("api.listen", "address to listen on: HOST:PORT (port 0 chooses one) or unix:/PATH",
               &config.server.listen);
  settings.add("api.store", "a SQLite file, or postgresql://USER@HOST/DATABASE", &config.server.store);
  settings.add("api.threads", "threads that serve requests", &config.server.threads, 1, 256);
  settings.add("api.connections", "clients' connections at once; idle ones beyond are closed for new ones",
               &config.server.limits.connections, 8, 1'000'000);
  settings.add("api.body_limit", "largest JSON body in bytes", &config.server.limits.json_body_bytes, 1024,
               1 << 30);
  settings.add("api.retention", "ended runs are deleted after so long; 0s: never", &config.server.retention);
  settings.add("api.audit_retention", "lines of the audit log are deleted after so long; 0s: never",
               &config.server.audit_retention);
  settings.add("api.tls_cert", "PEM file of the certificate and its chain; with it the API speaks HTTPS",
               &config.server.tls_cert);
  settings.add("api.tls_key", "PEM file of the certificate's private key", &config.server.tls_key);
  settings.add("api.rate", "requests a second of one key, but for workers about their runs; 0: any number",
               &config.server.limits.requests_per_second, 0, 1'000'000);
  settings.add("api.burst", "requests that a quiet key may make at once; 0: twice the rate",
               &config.server.limits.requests_at_once, 0, 1'000'000);
  settings.add("api.metrics_listen",
               "address where /metrics is open and plain: HOST:PORT or unix:/PATH; default nowhere",
               &config.server.metrics_listen);
  settings.add("api.lease_ttl", "how long a worker's lease lasts without a word", &config.server.lease_ttl);
  settings.add("api.stall_timeout",
               "a lease under which no new outcome came for so long is taken back; 0s: never",
               &config.server.stall_timeout);
  settings.add("api.shard_lives",
               "failures or lost workers in a row, without one new outcome, that set a shard aside",
               &config.server.shard_lives, 1, 1'000'000);
  settings.add("log.level", "debug, info, warn or error", &config.log_level);
  settings.add("log.access", "a log line for every request", &config.server.access_log);
}

Result<> load(ServeConfig& config, Settings& settings) {
  if (!config.config_file.empty()) {
    ASSAY_OK(settings.load_file(config.config_file));
  }
  ASSAY_OK(settings.load_environment());
  if (!log::set_level(config.log_level))
    return fail(ErrorKind::config,
                "log.level is \"" + config.log_level + "\": use debug, info, warn or error");
  return {};
}

/// A renewed certificate needs no restart.
void reload(api::Server& server) {
  sd_notify(0, "RELOADING=1");
  if (const auto reloaded = server.reload_tls(); !reloaded)
    log::error("the TLS certificate was not read again; the one in use stays",
               {{"error", reloaded.error().message}});
  else
    log::info("reloaded");
  sd_notify(0, "READY=1");
}

Task<> until_signal(Scope& ticking, api::Server& server) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT, SIGHUP);
  for (;;) {
    const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error || number != SIGHUP) break;
    reload(server);
  }
  log::info("stopping");
  sd_notify(0, "STOPPING=1");
  ticking.cancel();
}

Task<> feed_watchdog() {
  for (;;) {
    sd_notify(0, "WATCHDOG=1");
    const bool slept = co_await sleep_until(Clock::now() + 5s);
    if (!slept) co_return;
  }
}

/// What the command line says goes before the settings.
struct ServeOptions {
  std::string listen, store, tls_cert, tls_key;
};

void apply(const ServeOptions& options, api::Server::Options& server) {
  const auto take = [](const std::string& given, std::string& setting) {
    if (!given.empty()) setting = given;
  };
  take(options.listen, server.listen);
  take(options.store, server.store);
  take(options.tls_cert, server.tls_cert);
  take(options.tls_key, server.tls_key);
}

/// A connection is a descriptor: without one nobody is let in, nor told why.
void fit_descriptors(size_t& connections) {
  constexpr size_t kOthers = 128;  // the store's, the listeners', log and sockets of the loops
  const size_t descriptors = raise_descriptor_limit();
  if (descriptors >= connections + kOthers) return;
  const size_t most = std::max(descriptors, 2 * kOthers) - kOthers;
  log::warn("fewer connections than api.connections: this process may not have more descriptors (ulimit -n)",
            {{"connections", std::to_string(most)}, {"descriptors", std::to_string(descriptors)}});
  connections = most;
}

int serve(const std::shared_ptr<ServeConfig>& config, Settings& settings, const ServeOptions& options) {
  if (auto loaded = load(*config, settings); !loaded) return report(loaded.error());
  apply(options, config->server);
  fit_descriptors(config->server.limits.connections);
  asio::io_context io(1);
  auto server = api::Server::start(config->server);
  if (!server) return report(server.error());
  log::info("serving", {{"address", (*server)->address()},
                        {"scheme", config->server.tls_cert.empty() ? "http" : "https"},
                        {"store", config->server.store}});
  if (const std::string metrics = (*server)->metrics_address(); !metrics.empty())
    log::info("metrics", {{"address", metrics}});
  sd_notify(0, "READY=1");
  Scope ticking(io.get_executor());
  Scope waiting(io.get_executor());
  ticking.spawn("watchdog", feed_watchdog());
  waiting.spawn("signals", until_signal(ticking, **server));
  io.run();
  (*server)->stop();
  return kPassed;
}

struct KeyOptions {
  std::string store = "assay.db";
  api::KeyRequest request{"default", "key", {}, {}};
  std::string id;
  bool json = false;
};

int create_key(const KeyOptions& options) {
  auto keys = api::KeyStore::open(options.store);
  if (!keys) return report(keys.error());
  const auto key = keys->create(options.request);
  if (!key) return report(key.error());
  std::printf("%s\n", key->c_str());
  std::fprintf(stderr, "This is the only time the key is shown: the store keeps its hash.\n");
  return kPassed;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

int list_keys(const KeyOptions& options) {
  auto keys = api::KeyStore::open(options.store);
  if (!keys) return report(keys.error());
  const auto list = keys->list();
  if (!list) return report(list.error());
  if (!options.json) std::printf("%-18s%-16s%-22s%-26s%s\n", "ID", "PROJECT", "SCOPES", "CREATED", "NAME");
  for (const auto& key : *list) {
    const auto scopes = joined(api::scope_names(key.scopes));
    if (options.json) {
      std::printf("%s\n", dump_json(Json{{"id", key.id},
                                         {"project", key.project},
                                         {"name", key.name},
                                         {"scopes", api::scope_names(key.scopes)},
                                         {"containers", key.containers},
                                         {"created_at", iso8601(key.created_at)},
                                         {"revoked", key.revoked_at > 0}})
                              .c_str());
      continue;
    }
    const std::string seen = key.containers.empty() ? "" : " (" + joined(key.containers) + ")";
    std::printf("%-18s%-16s%-22s%-26s%s%s%s\n", key.id.c_str(), key.project.c_str(), scopes.c_str(),
                iso8601(key.created_at).c_str(), key.name.c_str(), seen.c_str(),
                key.revoked_at > 0 ? ", revoked" : "");
  }
  return kPassed;
}

int revoke_key(const KeyOptions& options) {
  auto keys = api::KeyStore::open(options.store);
  if (!keys) return report(keys.error());
  const auto revoked = keys->revoke(options.id);
  if (revoked) return kPassed;
  const auto list = keys->list();
  const auto is_revoked = [&](const api::KeyInfo& key) { return key.id == options.id && key.revoked_at > 0; };
  if (!list || !std::ranges::any_of(*list, is_revoked)) return report(revoked.error());
  // What was asked for is so.
  std::fprintf(stderr, "%s is revoked already\n", options.id.c_str());
  return kPassed;
}

}  // namespace

void declare_serve(CLI::App& app, Chosen& chosen) {
  auto config = std::make_shared<ServeConfig>();
  auto settings = std::make_shared<Settings>();
  auto options = std::make_shared<ServeOptions>();
  config->server.listen = "127.0.0.1:7777";
  config->server.store = "assay.db";
  config->server.access_log = true;
  declare_settings(*settings, *config);
  auto* command = app.add_subcommand("serve", "serve the API");
  command->add_option("--config", config->config_file, "settings file (TOML)");
  command->add_option("--listen", options->listen, "HOST:PORT or unix:/PATH");
  command->add_option("--store", options->store, "a SQLite file, or postgresql://USER@HOST/DATABASE");
  command->add_option("--tls-cert", options->tls_cert, "PEM file of the certificate and its chain");
  command->add_option("--tls-key", options->tls_key, "PEM file of its private key");
  command->footer("Settings (file keys; in the environment ASSAY_API_LISTEN for api.listen and so on):\n" +
                  settings->help());
  command->callback([=, &chosen] { chosen = [=] { return serve(config, *settings, *options); }; });
}

void declare_key(CLI::App& app, Chosen& chosen) {
  auto* key = app.add_subcommand("key", "API keys");
  key->require_subcommand(1);
  auto options = std::make_shared<KeyOptions>();
  const auto add = [&](const char* name, const char* doc, int (*run)(const KeyOptions&)) {
    auto* command = key->add_subcommand(name, doc);
    command->add_option("--store", options->store, "the API's store: a SQLite file, or postgresql://…")
        ->capture_default_str();
    command->callback([options, run, &chosen] { chosen = [options, run] { return run(*options); }; });
    return command;
  };
  auto* create = add("create", "make a key and print it", create_key);
  api::KeyRequest& request = options->request;
  create
      ->add_option("--project", request.project,
                   "the project that the key opens; '*': all, for workers and monitors")
      ->capture_default_str();
  create->add_option("--name", request.name, "what the key is for")->capture_default_str();
  create
      ->add_option("--scope", request.scopes,
                   "admin, submit, read, worker or monitor; may be given several times")
      ->required()
      ->check(CLI::IsMember({"admin", "submit", "read", "worker", "monitor"}));
  create->add_option(
      "--container", request.containers,
      "a container, by id or label, that the key may see; may be given several times; default all");
  auto* list = add("list", "list the keys: what they open, never themselves", list_keys);
  list->add_flag("--json", options->json, "as JSON lines");
  auto* revoke = add("revoke", "make a key worth nothing, within a second", revoke_key);
  revoke->add_option("ID", options->id, "as `assay key list` shows it")->required();
}

}  // namespace assay::cli
