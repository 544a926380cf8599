// assayd: the worker daemon.
//
// SIGTERM and SIGINT drain: nothing more is claimed, the items in flight are finished and posted, the rest is
// given back. A second one stops at once. What the API has not taken by then stays in the spool. Under
// systemd it says READY when it is registered, and STATUS while it works.
#include <malloc.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <thread>

#include "core/descriptors.hpp"
#include "core/fd.hpp"
#include "core/http/status_server.hpp"
#include "core/log.hpp"
#include "core/settings.hpp"
#include "daemon/config.hpp"
#include "daemon/metrics.hpp"
#include "daemon/worker.hpp"

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr int kBadInput = 2;
constexpr int kCouldNot = 3;

/// The key: from the file named, or from systemd's credential `api-key`. Never from the command line.
Result<std::string> read_key(const Config& config) {
  std::string path = config.key_file;
  if (path.empty())
    if (const char* credentials = std::getenv("CREDENTIALS_DIRECTORY"))
      path = std::string(credentials) + "/api-key";
  if (path.empty())
    return fail(ErrorKind::config,
                "no API key: set api.key_file (or ASSAY_API_KEY_FILE) to a file that holds it");
  ASSAY_TRY(std::string key, read_file(path, 4096));
  while (!key.empty() && std::isspace(static_cast<unsigned char>(key.back())) != 0) key.pop_back();
  if (key.empty()) return fail(ErrorKind::config, path + " is empty: it must hold the API key");
  return key;
}

Result<> finish_config(Config& config) {
  if (!log::set_level(config.log_level))
    return fail(ErrorKind::config,
                "log.level is \"" + config.log_level + "\": use debug, info, warn or error");
  ASSAY_TRY(config.worker.sandbox, config.sandbox.choose());
  ASSAY_TRY(config.worker.plugins, Plugins::find(config.plugins));
  ASSAY_TRY(config.worker.models, config.models.choose());
  config.worker.name = config.name;
  if (config.worker.name.empty()) {
    char host[256] = "";
    ::gethostname(host, sizeof host - 1);
    config.worker.name = host;
  }
  ASSAY_TRY(config.worker.spool.folder, config.spool_folder(config.worker.name));
  ASSAY_TRY(std::string key, read_key(config));
  ASSAY_TRY(config.worker.api, ApiEndpoint::parse(config.api, std::move(key), config.ca_file));
  return {};
}

Task<> report_status(Worker& worker) {
  bool ready = false;
  int64_t last_outcomes = 0;
  for (;;) {
    if (!ready && worker.registered()) {
      ready = true;
      sd_notify(0, "READY=1");
      log::info("registered; claiming shards");
    }
    const auto now = worker.status();
    const std::string status = "STATUS=" + std::to_string(now.shards) + " shards, " +
                               std::to_string(now.items) + " items in flight, " +
                               std::to_string((now.outcomes - last_outcomes)) + " outcomes/s, " +
                               std::to_string(now.spooled) + " outcomes in the spool" +
                               (now.spool_full ? ", which is full: nothing is claimed" : "");
    last_outcomes = now.outcomes;
    sd_notify(0, status.c_str());
    if (now.draining) sd_notify(0, "STOPPING=1");
    // The loop turned: that, and not whether the API answers, is what the watchdog is told.
    sd_notify(0, "WATCHDOG=1");
    const bool slept = co_await sleep_until(Clock::now() + 1s);
    if (!slept) co_return;
  }
}

Task<> watch_signals(Worker& worker) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT);
  for (bool again = false;; again = true) {
    const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    const bool cancelled = co_await is_cancelled();
    if (error || cancelled) co_return;
    log::info(again ? "stopping at once" : "draining: finishing the items in flight");
    if (again)
      worker.stop();
    else
      worker.drain();
  }
}

/// Nothing when no address is set.
Result<std::unique_ptr<http::StatusServer>> watchable(asio::io_context& io, const Config& config,
                                                      Metrics& metrics, const Worker& worker) {
  if (config.metrics_listen.empty()) return nullptr;
  http::StatusServer::Pages pages;
  pages["/metrics"] = [&]() -> Task<http::StatusPage> { co_return metrics.page(worker.status()); };
  pages["/livez"] = []() -> Task<http::StatusPage> { co_return http::StatusPage{.text = "alive\n"}; };
  pages["/readyz"] = [&]() -> Task<http::StatusPage> { co_return Metrics::ready(worker.status()); };
  auto made = http::StatusServer::start(io.get_executor(), config.metrics_listen, std::move(pages));
  if (!made) return std::unexpected(std::move(made.error()).with("metrics.listen"));
  log::info("metrics", {{"address", (*made)->address()}});
  return made;
}

Task<> serve(asio::io_context& io, Config& config, Result<>& result) {
  Metrics metrics;
  config.worker.on_api_call = [&metrics](std::string_view path, int code, Clock::duration took) {
    metrics.api_call(path, code, took);
  };
  Worker worker(io.get_executor(), config.worker);
  const auto status = watchable(io, config, metrics, worker);
  if (!status) {
    result = std::unexpected(status.error());
    co_return;
  }
  Scope beside(io.get_executor());
  beside.spawn("status", report_status(worker));
  beside.spawn("signals", watch_signals(worker));
  result = co_await worker.run();
  beside.cancel();
  co_await beside.join();
  if (*status) co_await (*status)->close();
}

int run(int argc, char** argv) {
  Config config;
  config.worker.hosts = std::max(1U, std::thread::hardware_concurrency());
  Settings settings;
  config.declare(settings);
  CLI::App app{"assayd, the worker: runs the shards of evaluation runs that an Assay API hands out."};
  app.set_version_flag("--version", ASSAY_VERSION);
  app.footer("Settings (file keys; in the environment ASSAY_API_URL for api.url and so on):\n" +
             settings.help());
  std::string file;
  bool check = false;
  app.add_option("--config", file, "settings file (TOML)");
  app.add_flag("--check-config", check, "read the settings, say what is wrong, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kBadInput;
  }
  auto ready = file.empty() ? Result<>{} : settings.load_file(file);
  if (ready) ready = settings.load_environment();
  if (ready) ready = finish_config(config);
  if (!ready) {
    std::fprintf(stderr, "assayd: %s\n", ready.error().message.c_str());
    return kBadInput;
  }
  if (check) return 0;
  raise_descriptor_limit();  // a model call is a connection

  asio::io_context io(1);
  Result<> result;
  Scope root(io.get_executor());
  root.spawn("assayd", serve(io, config, result));
  io.run();
  if (result || result.error().kind == ErrorKind::cancelled) return 0;
  std::fprintf(stderr, "assayd: %s\n", result.error().message.c_str());
  return result.error().kind == ErrorKind::config ? kBadInput : kCouldNot;
}

}  // namespace
}  // namespace assay::daemon

int main(int argc, char** argv) {
  // One loop does the work and the threads beside it write files: with a heap for each thread what one
  // frees another cannot use, a quarter more memory in all.
  mallopt(M_ARENA_MAX, 1);
  return assay::daemon::run(argc, argv);
}
