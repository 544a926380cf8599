#include "cli/mock/server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <optional>

#include "api/http/deadlines.hpp"
#include "cli/mock/reply.hpp"

namespace assay::cli::mock {
namespace {

namespace beast = boost::beast;
using boost::system::error_code;
using Parser = beast::http::request_parser<beast::http::string_body>;
constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);
constexpr size_t kConnections = 10'000;
constexpr size_t kHeaderBytes = size_t{32} << 10;
constexpr size_t kBodyBytes = size_t{32} << 20;
constexpr std::chrono::seconds kIdle(300), kArrival(10), kDeparture(30);

std::string_view view(beast::string_view text) {
  return {text.data(), text.size()};
}

/// As OpenAI, Azure and Anthropic take it.
std::string_view key_of(const Parser::value_type& message) {
  const auto authorization = view(message[beast::http::field::authorization]);
  if (authorization.starts_with("Bearer ")) return authorization.substr(7);
  const auto azure = view(message["api-key"]);
  return azure.empty() ? view(message["x-api-key"]) : azure;
}

/// Counts a request while it lasts.
class InFlight {
 public:
  explicit InFlight(Traffic& traffic) : traffic_(traffic) {
    traffic_.most_in_flight = std::max(traffic_.most_in_flight, ++traffic_.in_flight);
  }
  ~InFlight() { --traffic_.in_flight; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

 private:
  Traffic& traffic_;
};

class Connection {
 public:
  Connection(http::Socket socket, Mock& mock) : socket_(std::move(socket)), deadlines_(socket_), mock_(mock) {
    ++mock_.traffic().connections;
  }
  ~Connection() { --mock_.traffic().connections; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Task<> serve() {
    for (bool again = true; again;) again = co_await serve_request();
  }

 private:
  /// False: the connection ends.
  Task<bool> serve_request() {
    Parser parser;
    parser.eager(true);
    parser.header_limit(kHeaderBytes);
    parser.body_limit(kBodyBytes);
    const auto error = co_await read(parser);
    if (error == beast::http::error::body_limit)
      co_return co_await refuse(413, "the body is larger than 32 MiB");
    if (error == beast::http::error::header_limit) co_return co_await refuse(431, "the header is too large");
    if (error.category() == beast::http::make_error_code(beast::http::error::bad_method).category())
      co_return co_await refuse(400, "this is not HTTP/1.1: " + error.message());
    if (error) co_return false;
    const auto& message = parser.get();
    std::optional<InFlight> counted;  // whoever watches does not count
    if (!view(message.target()).starts_with("/mock/")) counted.emplace(mock_.traffic());
    const auto answer =
        mock_.answer({view(message.method_string()), view(message.target()), key_of(message), message.body()},
                     Clock::now());
    if (answer.delay > Clock::duration::zero()) {
      const bool slept = co_await sleep_until(Clock::now() + answer.delay);
      if (!slept) co_return false;
    }
    // A client that asked for a head would take the body for the next answer.
    const bool again = message.keep_alive() && message.method() != beast::http::verb::head;
    const bool sent = co_await write(answer, again);
    co_return sent&& again;
  }

  /// Until the parser has a request. The time that one may take to arrive begins with its first byte.
  Task<error_code> read(Parser& parser) {
    bool begun = buffer_.size() > 0;
    deadlines_.arm(begun ? Clock::duration(kArrival) : Clock::duration(kIdle));
    error_code error;
    while (!parser.is_done()) {
      if (buffer_.size() > 0) {
        buffer_.consume(parser.put(buffer_.cdata(), error));
        if (error == beast::http::error::need_more) error = {};
        if (error || parser.is_done()) break;
        co_await go_on(parser);
      }
      const auto [failed, count] = co_await socket_.async_read_some(buffer_.prepare(kPiece), kAsTuple);
      buffer_.commit(count);
      error = failed;
      if (error) break;
      if (!std::exchange(begun, true)) deadlines_.arm(kArrival);
    }
    if (deadlines_.disarm()) error = asio::error::timed_out;
    co_return error;
  }

  /// A client with a large body asks whether to send it.
  Task<> go_on(const Parser& parser) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!parser.is_header_done() || std::exchange(told_to_go_on_, true)) co_return;
    if (beast::iequals(parser.get()[beast::http::field::expect], "100-continue"))
      co_await asio::async_write(socket_, asio::buffer(kContinue), kAsTuple);
  }

  Task<bool> refuse(int status, std::string message) {
    HttpAnswer answer;
    answer.status = status;
    answer.body = complaint_json(Dialect::chat, {status, std::move(message)});
    co_await write(answer, false);
    error_code ignored;
    socket_.shutdown(http::Socket::shutdown_send, ignored);
    deadlines_.arm(std::chrono::seconds(1));  // a reset would take the answer from who still sends
    for (bool more = true; more;) {
      const auto [error, count] = co_await socket_.async_read_some(buffer_.prepare(kPiece), kAsTuple);
      more = !error;
    }
    deadlines_.disarm();
    co_return false;
  }

  Task<bool> write(const HttpAnswer& answer, bool keep_alive) {
    told_to_go_on_ = false;
    out_ = "HTTP/1.1 ";
    out_ += std::to_string(answer.status) + " ";
    out_ += view(beast::http::obsolete_reason(static_cast<beast::http::status>(answer.status)));
    const auto field = [this](std::string_view name, std::string_view value) {
      out_.append("\r\n").append(name).append(": ").append(value);
    };
    field("server", kName);
    field("content-type", answer.content_type);
    field("content-length", std::to_string(answer.body.size()));
    for (const auto& [name, value] : answer.headers) field(name, value);
    if (!keep_alive) field("connection", "close");
    out_ += "\r\n\r\n";
    out_ += answer.body;
    deadlines_.arm(kDeparture);
    const auto [error, count] = co_await asio::async_write(socket_, asio::buffer(out_), kAsTuple);
    co_return !deadlines_.disarm() && !error;
  }

  static constexpr size_t kPiece = size_t{16} << 10;
  http::Socket socket_;
  api::Deadlines deadlines_;
  Mock& mock_;
  beast::flat_buffer buffer_;
  std::string out_;
  bool told_to_go_on_ = false;
};

Task<> serve_connection(http::Socket socket, Mock& mock) {
  Connection connection(std::move(socket), mock);
  co_await connection.serve();
}

}  // namespace

Task<> serve(http::Listener& listener, Mock& mock, Scope& connections) {
  auto executor = co_await asio::this_coro::executor;
  co_await listener.accept([executor] { return executor; },
                           [&](http::Socket socket) {
                             if (connections.size() < kConnections)
                               connections.spawn("mock", serve_connection(std::move(socket), mock));
                           });
}

}  // namespace assay::cli::mock
