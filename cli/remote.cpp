#include "cli/remote.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/terminal_text.hpp"
#include "core/async/scope.hpp"
#include "core/fd.hpp"
#include "core/json.hpp"
#include "core/log.hpp"

namespace assay::cli {
namespace {

using namespace std::chrono_literals;

Task<> run(daemon::ApiEndpoint endpoint, std::function<Task<Result<int>>(daemon::ApiClient&)> work,
           int& exit) {
  daemon::ApiClient api(co_await asio::this_coro::executor, std::move(endpoint));
  const auto result = co_await work(api);
  exit = result ? *result : report(result.error());
}

}  // namespace

void RemoteOptions::declare(CLI::App& command, const std::string& scopes) {
  command.add_option("--api", api, "http(s)://HOST:PORT or unix:/PATH")->required()->envname("ASSAY_API_URL");
  command.add_option("--key-file", key_file, "file that holds an API key with the scope " + scopes)
      ->required()
      ->envname("ASSAY_API_KEY_FILE");
  command
      .add_option("--ca-file", ca_file,
                  "PEM file of the authorities that vouch for an https API, instead of the system's")
      ->envname("ASSAY_API_CA_FILE");
}

Result<daemon::ApiEndpoint> RemoteOptions::endpoint() const {
  ASSAY_TRY(std::string key, read_file(key_file, 4096));
  while (!key.empty() && std::isspace(static_cast<unsigned char>(key.back())) != 0) key.pop_back();
  return daemon::ApiEndpoint::parse(api, std::move(key), ca_file);
}

int with_api(const RemoteOptions& options, std::function<Task<Result<int>>(daemon::ApiClient&)> work) {
  log::set_level(log::Level::warn);
  auto endpoint = options.endpoint();
  if (!endpoint) return report(endpoint.error());
  asio::io_context io(1);
  Scope scope(io.get_executor());
  int exit = kCouldNot;
  scope.spawn("command", run(std::move(*endpoint), std::move(work), exit));
  io.run();
  return exit;
}

daemon::ApiClient::Trouble tell_trouble() {
  return [patience = Clock::now() + 2s, told = false](const Error& why, Deadline next) mutable {
    if (told || next < patience) return;
    told = true;
    std::fprintf(stderr, "assay: %s; trying again\n", printable(why.message).c_str());
  };
}

Task<Result<Json>> ask(daemon::ApiClient& api, std::string method, std::string path) {
  daemon::ApiClient::Call call;
  call.method = std::move(method);
  call.path = std::move(path);
  const auto answer = co_await api.call_until(std::move(call), Clock::now() + 30s, tell_trouble());
  if (!answer) co_return std::unexpected(answer.error());
  if (!answer->ok()) co_return std::unexpected(answer->error());
  co_return parse_json(answer->body);
}

}  // namespace assay::cli
