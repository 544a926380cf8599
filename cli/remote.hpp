// Commands that talk to an API: which one, with which key.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/json.hpp"
#include "daemon/api_client.hpp"

namespace CLI {
class App;
}

namespace assay::cli {

struct RemoteOptions {
  std::string api, key_file, ca_file;

  /// --api, --key-file and --ca-file; `scopes` is what the key must have, for the help.
  void declare(CLI::App& command, const std::string& scopes);
  /// Reads the key.
  Result<daemon::ApiEndpoint> endpoint() const;
};

/// Runs `work` with a client of the API, to its end; the exit code.
int with_api(const RemoteOptions& options, std::function<Task<Result<int>>(daemon::ApiClient&)> work);

/// For ApiClient::call_until: says why on stderr, once, when more than two seconds go by without a good
/// answer.
daemon::ApiClient::Trouble tell_trouble();

/// One call that has to succeed, tried again for a while when the API is away: the answer's body as JSON.
Task<Result<Json>> ask(daemon::ApiClient& api, std::string method, std::string path);

}  // namespace assay::cli
