// Calls to the API, from workers and from the command line: one place for address, key, envelope and retries.
#pragma once

#include <chrono>
#include <string>

#include "core/http/client.hpp"

namespace assay::daemon {

/// Where the API is and what opens it.
struct ApiEndpoint {
  std::string url;          ///< "http://host:port", "https://…"
  std::string unix_socket;  ///< when set, connect here; `url` then only names the host
  std::string key;          ///< a secret: never logged

  /// From "http(s)://…" or "unix:/path"; `config` for anything else.
  static Result<ApiEndpoint> parse(const std::string& address, std::string key);
};

struct ApiAnswer {
  int status = 0;
  std::string body;
  std::string code;     ///< of the error envelope
  std::string message;  ///< of the error envelope
  std::chrono::milliseconds retry_after{0};

  bool ok() const { return status >= 200 && status < 300; }
  /// Whether the same call may succeed later: 408, 429, 5xx but 501.
  bool retryable() const;
  /// The answer as an error, for calls that had to succeed.
  Error error() const;
};

/// The delay before try `attempt` (from 0) is repeated: full jitter under an exponential cap of 30 s.
std::chrono::milliseconds backoff(int attempt);

class ApiClient {
 public:
  ApiClient(asio::any_io_executor executor, ApiEndpoint endpoint);

  struct Call {
    std::string method = "GET";
    std::string path;  ///< from "/v1" on
    std::string body;
    std::string content_type = "application/json";
    std::string idempotency_key;
    std::function<size_t(char* into, size_t size)> body_source;  ///< see http::Request
    std::function<void(std::string_view)> on_body;               ///< see http::Request
    std::string accept = "application/json";
    std::chrono::milliseconds timeout{60'000};
  };
  /// One exchange. `transport` when there was no answer.
  Task<Result<ApiAnswer>> call(Call call);
  /// Repeats a call that is safe to repeat until it has an answer that is no passing trouble, or until
  /// `deadline`.
  Task<Result<ApiAnswer>> call_until(Call wanted, Deadline deadline);

 private:
  ApiEndpoint endpoint_;
  http::Client http_;
};

/// Percent-encodes one path or query component.
std::string url_encode(std::string_view text);

}  // namespace assay::daemon
