#include "sandbox/runtime/packages/index_proxy.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <charconv>

namespace assay::sandbox {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using namespace std::chrono_literals;

constexpr auto kIdle = 60s;  // of a connection on which nothing moves
constexpr auto kConnectPatience = 20s;
constexpr uint32_t kHeaderLimit = 32U << 10;
constexpr auto kLook = 1s;
constexpr size_t kConnections = 24;  // two descriptors each
constexpr uint16_t kHttp = 80, kHttps = 443;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

using Request = http::request<http::empty_body>;

/// The head of a request.
Task<std::optional<Request>> read_head(tcp::socket& stream) {
  beast::flat_buffer buffer(kHeaderLimit);
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kHeaderLimit);
  const auto [error, size] = co_await http::async_read_header(stream, buffer, parser, kToken);
  if (error) co_return std::nullopt;
  co_return parser.release();
}

/// The origin's form of a request for a proxy: it ends with its answer, so that nothing else follows on the
/// connection.
void make_direct(Request& request, const HostPort& target_host) {
  std::string_view target(request.target().data(), request.target().size());
  target.remove_prefix(std::min(target.size(), target.find("://") + 3));
  const size_t slash = target.find('/');
  request.target(slash == std::string_view::npos ? std::string("/") : std::string(target.substr(slash)));
  // The server has other names, perhaps, and not all of them are allowed.
  request.set(http::field::host, target_host.host + ":" + std::to_string(target_host.port));
  request.erase("Proxy-Connection");
  request.erase("Proxy-Authorization");
  request.keep_alive(false);
}

}  // namespace

struct IndexProxy::Connection {
  explicit Connection(tcp::socket accepted) : inside(std::move(accepted)), outside(inside.get_executor()) {}
  tcp::socket inside, outside;
  Clock::time_point moved = Clock::now();

  void close() {
    boost::system::error_code ignored;
    inside.close(ignored);
    outside.close(ignored);
  }
};

std::optional<HostPort> HostPort::of_text(std::string_view text, uint16_t port) {
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    const std::string_view digits = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    text = text.substr(0, colon);
  }
  if (text.empty() || text.find_first_of("/@: ") != std::string_view::npos) return std::nullopt;
  HostPort result{std::string(text), port};
  std::ranges::transform(result.host, result.host.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  });
  return result;
}

std::optional<HostPort> HostPort::of_url(std::string_view url) {
  const bool secure = url.starts_with("https://");
  if (!secure && !url.starts_with("http://")) return std::nullopt;
  url.remove_prefix(url.find("://") + 3);
  url = url.substr(0, url.find_first_of("/?#"));
  if (const size_t at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
  return of_text(url, secure ? kHttps : kHttp);
}

IndexProxy::IndexProxy(asio::any_io_executor executor, UniqueFd listener, std::vector<HostPort> allowed)
    : executor_(executor),
      acceptor_(executor, tcp::v4(), listener.release()),
      allowed_(std::move(allowed)),
      look_(executor),
      scope_(executor) {}

IndexProxy::~IndexProxy() = default;

void IndexProxy::start() {
  scope_.spawn("proxy to the index", accept());
  scope_.spawn("idle connections to the index", close_idle());
}

Task<> IndexProxy::close() {
  closing_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  look_.cancel();
  for (const auto& weak : connections_)
    if (const auto connection = weak.lock()) connection->close();
  co_await scope_.join();
}

Task<> IndexProxy::accept() {
  while (!closing_) {
    auto [error, socket] = co_await acceptor_.async_accept(kToken);
    if (closing_) break;
    if (error) {  // such as no descriptor left
      asio::steady_timer pause(executor_, kLook);
      co_await pause.async_wait(kToken);
      continue;
    }
    std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
    if (connections_.size() >= kConnections) continue;
    const auto connection = std::make_shared<Connection>(std::move(socket));
    connections_.push_back(connection);
    scope_.spawn("connection to the index", serve(connection));
  }
}

/// One time for both directions: whoever downloads is silent meanwhile.
Task<> IndexProxy::close_idle() {
  while (!closing_) {
    look_.expires_after(kLook);
    co_await look_.async_wait(kToken);
    for (const auto& weak : connections_)
      if (const auto connection = weak.lock(); connection && Clock::now() > connection->moved + kIdle)
        connection->close();
  }
}

Task<> IndexProxy::serve(std::shared_ptr<Connection> connection) {
  auto request = co_await read_head(connection->inside);
  if (!request || closing_) co_return;
  const bool is_tunnel = request->method() == http::verb::connect;
  const bool is_plain = request->method() == http::verb::get || request->method() == http::verb::head;
  const std::string target(request->target());
  const auto wanted = is_tunnel ? HostPort::of_text(target, kHttps) : HostPort::of_url(target);
  const bool allowed = (is_tunnel || is_plain) && wanted && std::ranges::count(allowed_, *wanted) > 0;
  const std::string name = wanted ? wanted->host + ":" + std::to_string(wanted->port) : target;
  if (!allowed && !refused_) refused_ = name;
  const bool is_reached = allowed && co_await reach(*connection, *wanted);
  if (allowed && !is_reached && !closing_ && !unreached_) unreached_ = name;
  std::string answer;
  if (!allowed)
    answer =
        "HTTP/1.1 403 Only the configured index can be reached\r\nConnection: close\r\nContent-Length: "
        "0\r\n\r\n";
  else if (!is_reached)
    answer = "HTTP/1.1 502 The index cannot be reached\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  else if (is_tunnel)
    answer = "HTTP/1.1 200 Connection established\r\n\r\n";
  if (!answer.empty()) {
    const auto [error, size] = co_await asio::async_write(connection->inside, asio::buffer(answer), kToken);
    if (error || !answer.contains(" 200 ")) co_return;
  } else {
    make_direct(*request, *wanted);
    const auto [error, size] = co_await http::async_write(connection->outside, *request, kToken);
    if (error) co_return;
  }
  // What a client sends after a plain request goes nowhere.
  if (is_tunnel) scope_.spawn("connection to the index, outwards", copy(connection, true));
  co_await copy(connection, false);
}

Task<bool> IndexProxy::reach(Connection& connection, HostPort target) {
  const auto resolver = std::make_shared<tcp::resolver>(executor_);
  asio::steady_timer patience(executor_, kConnectPatience);
  patience.async_wait([weak = std::weak_ptr(resolver), &connection](boost::system::error_code stopped) {
    const auto waiting = weak.lock();
    if (stopped || !waiting) return;
    waiting->cancel();
    connection.close();
  });
  const auto [error, found] =
      co_await resolver->async_resolve(target.host, std::to_string(target.port), kToken);
  if (error || closing_) co_return false;
  const auto [refused, end] = co_await asio::async_connect(connection.outside, found, kToken);
  connection.moved = Clock::now();
  co_return !refused && !closing_;
}

Task<> IndexProxy::copy(std::shared_ptr<Connection> connection, bool outwards) {
  tcp::socket& from = outwards ? connection->inside : connection->outside;
  tcp::socket& to = outwards ? connection->outside : connection->inside;
  std::vector<char> buffer(64U << 10);
  while (true) {
    const auto [error, size] = co_await from.async_read_some(asio::buffer(buffer), kToken);
    if (error) break;
    connection->moved = Clock::now();
    const auto [failed, written] = co_await asio::async_write(to, asio::buffer(buffer.data(), size), kToken);
    if (failed) break;
    connection->moved = Clock::now();
  }
  boost::system::error_code ignored;
  to.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace assay::sandbox
