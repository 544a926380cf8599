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
  std::string ca_file;  ///< whose authorities vouch for an https API, instead of the system's; empty: those

  /// From "http(s)://…" or "unix:/path"; `config` for anything else, and for a CA file without certificates.
  static Result<ApiEndpoint> parse(const std::string& address, std::string key, std::string ca_file = {});
};

struct ApiAnswer {
  int status = 0;
  std::string body;
  std::string code;     ///< of the error envelope
  std::string message;  ///< of the error envelope
  std::chrono::milliseconds retry_after{0};

  bool ok() const { return status >= 200 && status < 300; }
  /// Whether the same call may succeed later: 408, 429, 5xx but 501, and what is no refusal of the API's own.
  bool retryable() const;
  /// The answer as an error, for calls that had to succeed; without an envelope it has the start of the body.
  Error error() const;
};

/// The delay before try `attempt` (from 0) is repeated: full jitter under an exponential cap of 30 s.
std::chrono::milliseconds backoff(int attempt);
/// The same, or what the answer asked for when that is longer, up to half a minute.
std::chrono::milliseconds backoff(int attempt, const Result<ApiAnswer>& answer);

class ApiClient {
 public:
  ApiClient(asio::any_io_executor executor, ApiEndpoint endpoint);

  /// Told of every exchange: path, status (0: there was no answer) and how long it took.
  using Observer = std::function<void(std::string_view path, int status, Clock::duration took)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

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
  /// One exchange. `transport` when there was no answer, `auth` when the server's certificate was never good.
  /// What is large goes over a network compressed.
  Task<Result<ApiAnswer>> call(Call call);
  /// Told why a try failed, and when the next one is.
  using Trouble = std::function<void(const Error& why, Deadline next)>;
  /// Repeats a call that is safe to repeat until it has an answer that is no passing trouble, or until
  /// `deadline`.
  Task<Result<ApiAnswer>> call_until(Call wanted, Deadline deadline, Trouble trouble = {});

 private:
  void add_body(http::Request& request, Call& call) const;

  ApiEndpoint endpoint_;
  http::Client http_;
  Observer observer_;
  bool trusted_ = false;  // there was an answer
};

/// Percent-encodes one path or query component.
std::string url_encode(std::string_view text);

}  // namespace assay::daemon
