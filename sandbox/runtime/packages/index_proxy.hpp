// The one way out of a jail that installs packages: an HTTP proxy that reaches a few hosts and refuses the
// rest.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/scope.hpp"
#include "core/async/task.hpp"
#include "core/fd.hpp"

namespace assay::sandbox {

struct HostPort {
  std::string host;  ///< in lower case
  uint16_t port = 0;

  bool operator==(const HostPort&) const = default;
  /// Of "http://host:port/…" or "https://user:password@host/…"; nullopt for what is neither.
  static std::optional<HostPort> of_url(std::string_view url);
  /// Of "host:port", or "host" with `port`.
  static std::optional<HostPort> of_text(std::string_view text, uint16_t port);
};

/// Tunnels (CONNECT, for https) and forwards GET and HEAD (for http). What it is asked for besides is
/// answered with 403. Everything runs on the executor.
class IndexProxy {
 public:
  /// `listener` listens on TCP.
  IndexProxy(asio::any_io_executor executor, UniqueFd listener, std::vector<HostPort> allowed);
  /// close() must have been awaited.
  ~IndexProxy();

  /// Accepts until close().
  void start();
  /// Breaks every connection and waits for what served them.
  Task<> close();
  /// The first that it was asked for and did not reach out to.
  const std::optional<std::string>& refused() const { return refused_; }
  /// The first of the allowed that did not answer.
  const std::optional<std::string>& unreached() const { return unreached_; }

 private:
  struct Connection;
  Task<> accept();
  Task<> close_idle();
  Task<> serve(std::shared_ptr<Connection> connection);
  static Task<> copy(std::shared_ptr<Connection> connection, bool outwards);
  Task<bool> reach(Connection& connection, HostPort target);

  asio::any_io_executor executor_;
  asio::ip::tcp::acceptor acceptor_;
  std::vector<HostPort> allowed_;
  std::vector<std::weak_ptr<Connection>> connections_;
  std::optional<std::string> refused_, unreached_;
  bool closing_ = false;
  asio::steady_timer look_;
  Scope scope_;
};

}  // namespace assay::sandbox
