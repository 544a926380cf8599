// Where clients connect: a TCP port or a Unix socket.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <string>

#include "core/async/task.hpp"
#include "core/error.hpp"

namespace assay::http {

/// TCP or Unix, alike.
using Socket = asio::generic::stream_protocol::socket;

class Listener {
 public:
  virtual ~Listener() = default;
  /// Accepts until close(), each connection on the executor that `next` gives for it, and hands it to `take`.
  virtual Task<> accept(std::function<asio::any_io_executor()> next, std::function<void(Socket)> take) = 0;
  virtual void close() = 0;
  /// With the real port.
  virtual std::string address() const = 0;
};

/// "HOST:PORT" or "unix:/PATH". The error says what is wrong: port in use, no permission, …
Result<std::unique_ptr<Listener>> listen_on(asio::any_io_executor executor, const std::string& address);

}  // namespace assay::http
