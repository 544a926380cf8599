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
  settings.add("api.lease_ttl", "how long a worker's lease lasts without a word", &config.server.lease_ttl);
  settings.add("log.level", "debug, info, warn or error", &config.log_level);
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

Task<> until_signal(Scope& ticking) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT);
  co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
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

int serve(const std::shared_ptr<ServeConfig>& config, Settings& settings, const std::string& listen,
          const std::string& store) {
  if (auto loaded = load(*config, settings); !loaded) return report(loaded.error());
  if (!listen.empty()) config->server.listen = listen;
  if (!store.empty()) config->server.store_path = store;
  asio::io_context io(1);
  auto server = api::Server::start(config->server);
  if (!server) return report(server.error());
  log::info("serving", {{"address", (*server)->address()}, {"store", config->server.store_path}});
  sd_notify(0, "READY=1");
  Scope ticking(io.get_executor());
  Scope waiting(io.get_executor());
  ticking.spawn("watchdog", feed_watchdog());
  waiting.spawn("signals", until_signal(ticking));
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
  auto listen = std::make_shared<std::string>();
  auto store = std::make_shared<std::string>();
  config->server.listen = "127.0.0.1:7777";
  config->server.store_path = "assay.db";
  declare_settings(*settings, *config);
  auto* command = app.add_subcommand("serve", "serve the API");
  command->add_option("--config", config->config_file, "settings file (TOML)");
  command->add_option("--listen", *listen, "HOST:PORT or unix:/PATH");
  command->add_option("--store", *store, "the SQLite file");
  command->footer("Settings (file keys; in the environment ASSAY_API_LISTEN for api.listen and so on):\n" +
                  settings->help());
  command->callback([=, &chosen] { chosen = [=] { return serve(config, *settings, *listen, *store); }; });
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
