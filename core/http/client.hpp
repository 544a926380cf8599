// The HTTP client: libcurl's multi interface on an Asio loop. TLS, proxies and Unix sockets are libcurl's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/error.hpp"

namespace assay::http {

/// What a body_source returns to give the request up: it then ends as `transport`.
inline constexpr size_t kAbortBody = 0x10000000;

struct Request {
  std::string method = "GET";
  std::string url;
  std::string body;
  /// Instead of `body`: called for up to `size` bytes more; 0 ends the body. Sent as it comes, in chunks.
  std::function<size_t(char* into, size_t size)> body_source;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string unix_socket;  ///< connect to this socket instead of the URL's host
  std::string ca_file;      ///< PEM; certificates must be of its authorities instead of the system's
  std::chrono::milliseconds timeout{60'000};          ///< of the whole exchange
  std::chrono::milliseconds connect_timeout{10'000};  ///< of it, until there is a connection, TLS included
  /// Waits for a connection that is being made rather than opening another, and shares it where the server
  /// speaks HTTP/2 (https only).
  bool multiplex = false;
  /// Never sent a second time behind the caller's back when a kept connection turns out to be dead: that is
  /// an error then, since the server may have seen it.
  bool send_once = false;
  /// One of very many at once whose answers are small: it is read in smaller pieces, and takes less memory.
  bool one_of_many = false;
  size_t response_limit_bytes = 64ULL << 20;  ///< a larger answer is a `transport` error
  /// Called with each piece of a 2xx answer's body instead of collecting it.
  std::function<void(std::string_view)> on_body;
};

struct Response {
  int status = 0;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  ///< as they came, without blanks around them
  std::chrono::milliseconds retry_after{0};                  ///< of Retry-After in seconds, else 0
};

/// What became of a request, for those who pay for it.
struct Exchange {
  Result<Response> response;
  bool sent = false;       ///< the server may have seen the request
  bool timed_out = false;  ///< the error is that of a timeout
};

/// One client per executor; connections are kept and reused. Destroy it after its requests are done.
class Client {
 public:
  explicit Client(asio::any_io_executor executor);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// `transport` for what kept an answer from coming, `auth` for a certificate that is not trusted; any
  /// status is an answer. `cancelled` when cancelled.
  Task<Result<Response>> send(Request request);
  /// The same, and whether it was sent. Redirects are answers like any other: nothing follows them.
  Task<Exchange> exchange(Request request);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace assay::http
