// `assay serve`: the API, and `assay key`: what opens it.
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>

#include "api/server.hpp"
#include "cli/command.hpp"
#include "core/async/scope.hpp"
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
  settings.add("api.store", "the SQLite file", &config.server.store_path);
  settings.add("api.threads", "threads that serve requests", &config.server.threads, 1, 256);
  settings.add("api.body_limit", "largest JSON body in bytes", &config.server.limits.json_body_bytes, 1024,
               1 << 30);
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
  take(options.store, server.store_path);
  take(options.tls_cert, server.tls_cert);
  take(options.tls_key, server.tls_key);
}

int serve(const std::shared_ptr<ServeConfig>& config, Settings& settings, const ServeOptions& options) {
  if (auto loaded = load(*config, settings); !loaded) return report(loaded.error());
  apply(options, config->server);
  asio::io_context io(1);
  auto server = api::Server::start(config->server);
  if (!server) return report(server.error());
  log::info("serving", {{"address", (*server)->address()},
                        {"scheme", config->server.tls_cert.empty() ? "http" : "https"},
                        {"store", config->server.store_path}});
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
  std::string store;
  std::string project = "default";
  std::string name = "key";
  std::vector<std::string> scopes;
};

int create_key(const KeyOptions& options) {
  const auto key = api::create_key(options.store, options.project, options.name, options.scopes);
  if (!key) return report(key.error());
  std::printf("%s\n", key->c_str());
  std::fprintf(stderr, "This is the only time the key is shown: the store keeps its hash.\n");
  return kPassed;
}

}  // namespace

void declare_serve(CLI::App& app, Chosen& chosen) {
  auto config = std::make_shared<ServeConfig>();
  auto settings = std::make_shared<Settings>();
  auto options = std::make_shared<ServeOptions>();
  config->server.listen = "127.0.0.1:7777";
  config->server.store_path = "assay.db";
  config->server.access_log = true;
  declare_settings(*settings, *config);
  auto* command = app.add_subcommand("serve", "serve the API");
  command->add_option("--config", config->config_file, "settings file (TOML)");
  command->add_option("--listen", options->listen, "HOST:PORT or unix:/PATH");
  command->add_option("--store", options->store, "the SQLite file");
  command->add_option("--tls-cert", options->tls_cert, "PEM file of the certificate and its chain");
  command->add_option("--tls-key", options->tls_key, "PEM file of its private key");
  command->footer("Settings (file keys; in the environment ASSAY_API_LISTEN for api.listen and so on):\n" +
                  settings->help());
  command->callback([=, &chosen] { chosen = [=] { return serve(config, *settings, *options); }; });
}

void declare_key(CLI::App& app, Chosen& chosen) {
  auto* key = app.add_subcommand("key", "API keys");
  key->require_subcommand(1);
  auto* create = key->add_subcommand("create", "make a key and print it");
  auto options = std::make_shared<KeyOptions>();
  options->store = "assay.db";
  create->add_option("--store", options->store, "the SQLite file of the API")->capture_default_str();
  create->add_option("--project", options->project, "the project that the key opens")->capture_default_str();
  create->add_option("--name", options->name, "what the key is for")->capture_default_str();
  create->add_option("--scope", options->scopes, "admin, submit, read or worker; may be given several times")
      ->required()
      ->check(CLI::IsMember({"admin", "submit", "read", "worker"}));
  create->callback([options, &chosen] { chosen = [options] { return create_key(*options); }; });
}

}  // namespace assay::cli
