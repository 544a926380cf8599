#include "core/http/listener.hpp"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/log.hpp"

namespace assay::http {
namespace {

using boost::system::error_code;
using tcp = asio::ip::tcp;
using local = asio::local::stream_protocol;

std::unexpected<Error> cannot_listen(const std::string& address, const error_code& error) {
  return fail(ErrorKind::config, "cannot listen on " + address + ": " + error.message());
}

template <class Protocol>
class ListenerOf final : public Listener {
 public:
  ListenerOf(typename Protocol::acceptor acceptor, std::string address, std::string path)
      : acceptor_(std::move(acceptor)), address_(std::move(address)), path_(std::move(path)) {}
  ~ListenerOf() override {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  Task<> accept(std::function<asio::any_io_executor()> next, std::function<void(Socket)> take) override {
    while (acceptor_.is_open()) {
      auto [error, socket] = co_await acceptor_.async_accept(next(), asio::as_tuple(asio::use_awaitable));
      if (!acceptor_.is_open() || error == asio::error::operation_aborted) co_return;
      if (error) {
        // Out of descriptors, mostly. Trying again at once would only burn the processor.
        log::warn("cannot accept a connection", {{"error", error.message()}});
        co_await sleep_until(Clock::now() + std::chrono::milliseconds(100));
        continue;
      }
      if constexpr (std::is_same_v<Protocol, tcp>) socket.set_option(tcp::no_delay(true), error);
      take(Socket(std::move(socket)));
    }
  }
  void close() override {
    error_code ignored;
    acceptor_.close(ignored);
  }
  std::string address() const override { return address_; }

 private:
  typename Protocol::acceptor acceptor_;
  std::string address_;
  std::string path_;  // of a Unix socket, to be removed; else empty
};

Result<std::unique_ptr<Listener>> listen_tcp(asio::any_io_executor executor, const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size())
    return fail(ErrorKind::config, "the address " + address + " is neither HOST:PORT nor unix:/PATH");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code error;
  tcp::resolver resolver(executor);
  const auto found = resolver.resolve(host, address.substr(colon + 1),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) return cannot_listen(address, error);
  const tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor acceptor(executor);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(address, error);
  std::string real = address.substr(0, colon + 1) + std::to_string(acceptor.local_endpoint(error).port());
  return std::make_unique<ListenerOf<tcp>>(std::move(acceptor), std::move(real), "");
}

/// A socket file outlives its process. It is taken over when nobody answers behind it.
Result<void> clear_stale(asio::any_io_executor executor, const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode))
    return fail(ErrorKind::config, "cannot listen on unix:" + path + ": a file is there");
  local::socket probe(executor);
  error_code error;
  probe.connect(local::endpoint(path), error);
  if (!error)
    return fail(ErrorKind::config, "cannot listen on unix:" + path + ": another process listens there");
  if (::unlink(path.c_str()) != 0) return fail_errno(ErrorKind::config, "cannot replace " + path, errno);
  return {};
}

Result<std::unique_ptr<Listener>> listen_unix(asio::any_io_executor executor, const std::string& path) {
  const std::string address = "unix:" + path;
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path))
    return fail(ErrorKind::config, "cannot listen on " + address + ": a socket's path has 1 to 107 bytes");
  ASSAY_OK(clear_stale(executor, path));
  error_code error;
  local::acceptor acceptor(executor);
  acceptor.open(local(), error);
  if (!error) acceptor.bind(local::endpoint(path), error);
  if (error) return cannot_listen(address, error);
  // Between bind and listen nobody can connect, so the mode is never wider than this.
  if (::chmod(path.c_str(), 0600) != 0) return fail_errno(ErrorKind::config, "cannot protect " + path, errno);
  acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return cannot_listen(address, error);
  return std::make_unique<ListenerOf<local>>(std::move(acceptor), address, path);
}

}  // namespace

Result<std::unique_ptr<Listener>> listen_on(asio::any_io_executor executor, const std::string& address) {
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) return listen_unix(executor, address.substr(kUnix.size()));
  return listen_tcp(executor, address);
}

}  // namespace assay::http
