// `assay mock-llm`: a stand-in for a model's endpoint, for demos, tests and measurements.

#include <CLI/CLI.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>

#include "cli/command.hpp"
#include "cli/mock/script.hpp"
#include "cli/mock/server.hpp"
#include "core/descriptors.hpp"
#include "core/log.hpp"
#include "core/settings.hpp"

namespace assay::cli {
namespace {

struct MockOptions {
  std::string listen = "127.0.0.1:7780";
  std::string rules;
  std::string latency;
};

Result<mock::Script> script_of(const MockOptions& options) {
  mock::Script script;
  if (!options.rules.empty()) {
    ASSAY_TRY(script, mock::load_script(options.rules));
  }
  if (!options.latency.empty()) {
    const auto latency = parse_duration(options.latency);
    if (!latency) return fail(ErrorKind::config, "--latency: " + latency.error().message);
    script.latency = {static_cast<double>(latency->count()), 0};
  }
  return script;
}

Task<> until_signal(http::Listener& listener, Scope& connections) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT);
  co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
  listener.close();
  connections.cancel();
}

int run(const MockOptions& options) {
  auto script = script_of(options);
  if (!script) return report(script.error());
  raise_descriptor_limit();  // a client may have a connection for each of thousands of calls
  asio::io_context io(1);
  auto listener = http::listen_on(io.get_executor(), options.listen);
  if (!listener) return report(listener.error());
  mock::Mock mock(std::move(*script));
  Scope serving(io.get_executor()), connections(io.get_executor());
  serving.spawn("signals", until_signal(**listener, connections));
  serving.spawn("accept", mock::serve(**listener, mock, connections));
  const std::string address = (*listener)->address();
  std::printf("A mock, not a model, answers at %s%s\n", address.starts_with("unix:") ? "" : "http://",
              (address + (address.starts_with("unix:") ? "" : "/v1")).c_str());
  std::fflush(stdout);
  log::info("mock-llm serves; there is no model here", {{"address", address}});
  io.run();
  log::info("mock-llm stopped", {{"requests", std::to_string(mock.requests())}});
  return kPassed;
}

}  // namespace

void declare_mock_llm(CLI::App& app, Chosen& chosen) {
  auto options = std::make_shared<MockOptions>();
  auto* command = app.add_subcommand(
      "mock-llm",
      "serve a mock of a model's API: answers, delays, errors and limits by rules, for demos and tests");
  command->add_option("--listen", options->listen, "HOST:PORT (port 0 chooses one) or unix:/PATH")
      ->capture_default_str();
  command->add_option("--rules", options->rules, "what it answers (TOML); default: something for everything");
  command->add_option("--latency", options->latency,
                      "how long an answer takes, such as 50ms, unless its rule says");
  command->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace assay::cli
