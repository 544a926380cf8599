#include "api/http/connection.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstring>
#include <optional>

#include "api/context.hpp"
#include "api/http/deadlines.hpp"
#include "api/http/decoder.hpp"
#include "api/http/exchange.hpp"
#include "api/http/stream.hpp"
#include "core/id.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

using Parser = http::request_parser<http::buffer_body>;

std::unexpected<Problem> too_slow() {
  return refuse(408, "request_timeout", "the request did not arrive in time");
}

class ConnectionBody final : public BodyReader {
 public:
  ConnectionBody(Stream& stream, Deadlines& deadlines, beast::flat_buffer& buffer, Parser& parser,
                 const Server::Timeouts& timeouts)
      : stream_(stream),
        deadlines_(deadlines),
        buffer_(buffer),
        parser_(parser),
        pace_(timeouts.body, timeouts.body_bytes_per_second) {
    expects_ = beast::iequals(parser.get()[http::field::expect], "100-continue");
  }

  Task<Answer<std::string_view>> next() override {
    if (expects_ && !parser_.is_done()) {
      expects_ = false;
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      deadlines_.arm(pace_.left());
      co_await asio::async_write(stream_, asio::buffer(kContinue), kAsTuple);
      if (deadlines_.disarm()) co_return too_slow();
    }
    piece_.resize(kPiece);
    while (!parser_.is_done()) {
      auto& body = parser_.get().body();
      body.data = piece_.data();
      body.size = piece_.size();
      body.more = true;
      const auto began = Clock::now();
      deadlines_.arm(pace_.left());
      const auto [error, count] = co_await http::async_read_some(stream_, buffer_, parser_, kAsTuple);
      const bool late = deadlines_.disarm();
      const size_t filled = piece_.size() - parser_.get().body().size;
      if (late) co_return too_slow();
      if (error && error != http::error::need_buffer)
        co_return refuse(400, "invalid_http", "the body could not be read: " + error.message());
      pace_.waited(Clock::now() - began, filled);
      if (filled > 0) co_return std::string_view(piece_).substr(0, filled);
    }
    co_return std::string_view();
  }

 private:
  static constexpr size_t kPiece = size_t{64} << 10;
  Stream& stream_;
  Deadlines& deadlines_;
  beast::flat_buffer& buffer_;
  Parser& parser_;
  Pace pace_;
  std::string piece_;
  bool expects_ = false;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

/// Whoever has an IPv6 address has its whole network.
std::string peer_of(Socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown";
  char text[INET6_ADDRSTRLEN] = "";
  if (endpoint.protocol().family() == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, endpoint.data(), std::min(sizeof address, endpoint.size()));
    return ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  }
  if (endpoint.protocol().family() != AF_INET6) return "unix";
  sockaddr_in6 address{};
  std::memcpy(&address, endpoint.data(), std::min(sizeof address, endpoint.size()));
  if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr))
    return ::inet_ntop(AF_INET, address.sin6_addr.s6_addr + 12, text, sizeof text);
  std::memset(address.sin6_addr.s6_addr + 8, 0, 8);
  return ::inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
}

/// What the parser took, but for path and query.
Request request_from(const Parser& parser, Socket& socket) {
  const auto& message = parser.get();
  Request request;
  request.method = std::string(message.method_string());
  for (const auto& field : message) {
    const std::string_view name(field.name_string().data(), field.name_string().size());
    request.headers.emplace_back(lower(name), std::string(field.value()));
  }
  const auto id = request.header("x-request-id");
  request.id = is_request_id(id) ? std::string(id) : make_id("req_");
  request.peer_gone = [fd = socket.native_handle()] {
    pollfd watched{fd, POLLRDHUP, 0};
    return ::poll(&watched, 1, 0) > 0;
  };
  return request;
}

Answer<> read_target(Request& request, const Parser& parser) {
  std::string_view target(parser.get().target().data(), parser.get().target().size());
  const size_t mark = std::min(target.find('?'), target.size());
  auto query = parse_query(target.substr(std::min(mark + 1, target.size())));
  if (!query) return refuse(400, "invalid_http", "the query string is not well-formed");
  for (const auto& [name, value] : *query) {
    if (!is_storable(name)) return invalid("", "a query parameter's name must be UTF-8 without U+0000");
    if (!is_storable(value)) return invalid(name, name + " must be UTF-8 without U+0000");
  }
  request.query = std::move(*query);
  target = target.substr(0, mark);
  for (const std::string_view prefix : {"/api/v1/", "/v1/"})
    if (target.starts_with(prefix)) {
      target.remove_prefix(prefix.size() - 1);
      break;
    }
  request.path = std::string(target);
  return {};
}

Problem too_large(bool streamed, size_t limit) {
  if (streamed)
    return {413, "dataset_too_large",
            "the dataset is larger than " + std::to_string(limit) + " bytes; nothing was stored"};
  return {413, "body_too_large", "the body is larger than " + std::to_string(limit) + " bytes"};
}

class Connection {
 public:
  Connection(Service service, IdleConnections& idle, Socket socket, std::shared_ptr<asio::ssl::context> tls)
      : context_(service.context),
        routes_(service.routes),
        idle_(idle),
        peer_(peer_of(socket)),
        stream_(std::move(socket), std::move(tls)),
        deadlines_(stream_.socket()) {
    rest();
  }

  Task<> serve() {
    const bool open = co_await open_tls();
    if (!open) co_return;
    bool again = true;
    while (again && !context_.stopping) {
      const bool arrived = co_await wait_for_request();
      if (!arrived) co_return;
      again = co_await serve_request();
    }
    co_await linger();
  }

 private:
  const Server::Timeouts& timeouts() const { return context_.options.timeouts; }

  void rest() { idle_place_.emplace(idle_, stream_.socket()); }

  Task<bool> open_tls() {
    if (stream_.tls() == nullptr) co_return true;
    deadlines_.arm(timeouts().header);
    const auto [error] = co_await stream_.tls()->async_handshake(asio::ssl::stream_base::server, kAsTuple);
    const bool late = deadlines_.disarm();
    if (!error && !late) co_return true;
    log::debug("a TLS handshake failed",
               {{"peer", peer_}, {"error", late ? "the client was too slow" : error.message()}});
    const bool plain = error.category() == asio::error::get_ssl_category() &&
                       ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_HTTP_REQUEST;
    if (plain) co_await tell_plain_client();
    co_return false;
  }

  Task<> tell_plain_client() {
    static constexpr std::string_view kAnswer =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 36\r\n"
        "Connection: close\r\n\r\nThis port speaks HTTPS: use https://\n";
    deadlines_.arm(kLinger);
    co_await asio::async_write(stream_.socket(), asio::buffer(kAnswer), kAsTuple);
    co_await swallow();
    deadlines_.disarm();
  }

  Task<bool> wait_for_request() {
    if (buffer_.size() > 0) co_return true;  // pipelined
    deadlines_.arm(timeouts().keep_alive);
    const auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(4096), kAsTuple);
    deadlines_.disarm();
    buffer_.commit(count);
    co_return !error;
  }

  /// False: the connection ends.
  Task<bool> serve_request() {
    exchange_ = {};
    keep_alive_ = false;
    version_ = 11;
    head_only_ = false;
    Parser parser;
    idle_place_->begin();
    const auto answer = co_await read_header(parser);
    idle_place_.reset();
    exchange_.began = Clock::now();
    bool again = false;
    if (!answer) {
      if (answer.error().status == 0) co_return false;  // the client left, or had to
      exchange_.request_id = make_id("req_");
      again = co_await send_problem(answer.error());
    } else {
      again = co_await serve_parsed(parser);
    }
    record(context_, exchange_);
    rest();
    co_return again;
  }

  /// A Problem of status 0: there is nobody to tell.
  Task<Answer<>> read_header(Parser& parser) {
    const auto& limits = context_.options.limits;
    parser.header_limit(static_cast<uint32_t>(limits.header_bytes));
    parser.body_limit(boost::none);  // each route has its own
    deadlines_.arm(timeouts().header);
    const auto [error, count] = co_await http::async_read_header(stream_, buffer_, parser, kAsTuple);
    const bool late = deadlines_.disarm();
    if (late) co_return too_slow();
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      co_return refuse(431, "header_too_large", "the request's header is too large");
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message)
      co_return refuse(400, "invalid_http", "this is not HTTP/1.1: " + error.message());
    if (error) co_return refuse(0, "", "");
    const auto fields = static_cast<size_t>(std::distance(parser.get().begin(), parser.get().end()));
    if (fields > limits.header_fields)
      co_return refuse(
          431, "header_too_large",
          "the request has more than " + std::to_string(limits.header_fields) + " header fields");
    co_return Answer<>{};
  }

  Task<bool> serve_parsed(Parser& parser) {
    keep_alive_ = parser.get().keep_alive() && !context_.stopping;
    version_ = parser.get().version();
    head_only_ = parser.get().method() == http::verb::head;
    ConnectionBody body(stream_, deadlines_, buffer_, parser, timeouts());
    Request request = request_from(parser, stream_.socket());
    request.peer = peer_;
    exchange_.request_id = request.id;
    auto answer = co_await answer_to(request, parser, body);
    exchange_.learn(request);
    // What is left of a body would be taken for the next request.
    if (!parser.is_done()) keep_alive_ = false;
    if (!answer) co_return co_await send_problem(answer.error());
    co_return co_await send(std::move(*answer));
  }

  Task<Answer<Response>> answer_to(Request& request, Parser& parser, ConnectionBody& body) {
    ASSAY_CO_OK(read_target(request, parser));
    const auto route = co_await admit(context_, routes_, request);
    if (!route) co_return std::unexpected(route.error());
    auto decoder = decoder_for(request.header("content-encoding"));
    if (!decoder) co_return std::unexpected(decoder.error());
    const auto& limits = context_.options.limits;
    const bool streamed = (*route)->body == Body::stream;
    const size_t limit = streamed ? limits.dataset_bytes : limits.json_body_bytes;
    // What claims to be too large is not waited for.
    if (!streamed && !*decoder && parser.content_length() && *parser.content_length() > limit)
      co_return std::unexpected(too_large(streamed, limit));
    DecodedBody decoded(body, std::move(*decoder), limit, too_large(streamed, limit));
    request.reader = &decoded;
    if (!streamed) {
      const auto read = co_await read_body(request);
      if (!read) co_return std::unexpected(read.error());
    }
    auto response = co_await handle(context_, **route, request);
    request.reader = nullptr;
    co_return response;
  }

  Task<Answer<>> read_body(Request& request) {
    for (;;) {
      const auto piece = co_await request.reader->next();
      if (!piece) co_return std::unexpected(piece.error());
      if (piece->empty()) co_return Answer<>{};
      request.body += *piece;
    }
  }

  Task<bool> send_problem(Problem problem) {
    co_return co_await send(response_from(problem, exchange_.request_id));
  }

  enum class Length { known, chunked, until_close };

  /// The header of an answer as it goes on the wire.
  std::string head_of(const Response& response, Length length) const {
    const auto reason = http::obsolete_reason(static_cast<http::status>(response.status));
    std::string head = "HTTP/1.1 " + std::to_string(response.status) + ' ' + std::string(reason) + "\r\n";
    const auto field = [&head](std::string_view name, std::string_view value) {
      head.append(name).append(": ").append(value).append("\r\n");
    };
    field("Server", "assay");
    field("X-Request-Id", exchange_.request_id);
    if (response.status != 204) field("Content-Type", response.content_type);
    for (const auto& [name, value] : response.headers) field(name, value);
    if (length == Length::known && response.status != 204)
      field("Content-Length", std::to_string(response.body.size()));
    if (length == Length::chunked) field("Transfer-Encoding", "chunked");
    if (!keep_alive_)
      field("Connection", "close");
    else if (version_ < 11)
      field("Connection", "keep-alive");
    return head + "\r\n";
  }

  Task<bool> send(Response response) {
    exchange_.status = response.status;
    if (response.writer != nullptr) co_return co_await send_stream(std::move(response));
    std::string message = head_of(response, Length::known);
    const size_t head = message.size();
    if (!head_only_) message += response.body;
    const size_t sent = co_await write(message);
    exchange_.bytes = sent > head ? sent - head : 0;
    exchange_.whole = sent == message.size();
    co_return exchange_.whole&& keep_alive_;
  }

  /// An error in the middle can only be shown by ending the connection before the last chunk.
  Task<bool> send_stream(Response response) {
    auto piece = co_await response.writer->next();
    if (!piece) co_return co_await send_problem(piece.error());
    const bool chunked = version_ >= 11;
    if (!chunked) keep_alive_ = false;
    std::string message = head_of(response, chunked ? Length::chunked : Length::until_close);
    while (!piece->empty()) {
      append_piece(message, *piece, chunked);
      const size_t sent = co_await write(message);
      if (sent < message.size()) co_return false;
      exchange_.bytes += piece->size();
      message.clear();
      piece = co_await response.writer->next();
      if (!piece) {
        log::warn("an answer was cut off", {{"id", exchange_.request_id}, {"error", piece.error().message}});
        co_return false;
      }
    }
    if (chunked) message += "0\r\n\r\n";
    const size_t sent = co_await write(message);
    exchange_.whole = sent == message.size();
    co_return exchange_.whole&& keep_alive_;
  }

  static void append_piece(std::string& message, const std::string& piece, bool chunked) {
    if (!chunked) {
      message += piece;
      return;
    }
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
    message.append(size).append(piece).append("\r\n");
  }

  /// How much was written. The client has Timeouts::write for each slice.
  Task<size_t> write(std::string_view text) {
    constexpr size_t kSlice = size_t{64} << 10;
    size_t sent = 0;
    while (sent < text.size()) {
      const auto slice = text.substr(sent, kSlice);
      deadlines_.arm(timeouts().write);
      const auto [error, count] = co_await asio::async_write(stream_, asio::buffer(slice), kAsTuple);
      const bool late = deadlines_.disarm();
      sent += count;
      if (error || late) break;
    }
    co_return sent;
  }

  /// A socket that is closed with unread bytes resets the connection, and the client may never see the answer
  /// that says why. So: say that nothing more comes, and swallow what the client still sends, for a moment.
  Task<> linger() {
    deadlines_.arm(kLinger);
    if (stream_.tls() != nullptr && !context_.stopping) co_await stream_.tls()->async_shutdown(kAsTuple);
    co_await swallow();
    deadlines_.disarm();
  }

  Task<> swallow() {
    error_code ignored;
    stream_.socket().shutdown(Socket::shutdown_send, ignored);
    std::string sink(size_t{64} << 10, '\0');
    while (!context_.stopping) {
      const auto [error, count] = co_await stream_.socket().async_read_some(asio::buffer(sink), kAsTuple);
      if (error) break;
    }
  }

  static constexpr std::chrono::seconds kLinger{2};
  Context& context_;
  std::span<const Route> routes_;
  IdleConnections& idle_;
  std::string peer_;
  Stream stream_;
  Deadlines deadlines_;
  std::optional<IdleConnections::Place> idle_place_;  // none: a request is served
  beast::flat_buffer buffer_{size_t{256} << 10};
  Exchange exchange_;
  bool keep_alive_ = false;
  bool head_only_ = false;  // nothing is served under HEAD, but its refusal must not have a body
  unsigned version_ = 11;
};

}  // namespace

bool IdleConnections::close_longest() {
  // One that is closed stays in the list until its own task has seen it.
  const auto longest = std::ranges::find_if(list_, [](const auto& entry) { return entry.socket->is_open(); });
  if (longest == list_.end()) return false;
  error_code ignored;
  longest->socket->close(ignored);
  return true;
}

void IdleConnections::cancel_waiting() {
  for (const auto& entry : list_)
    if (!entry.begun) entry.socket->cancel();
}

Task<> serve_connection(Service service, IdleConnections& idle, Socket socket,
                        std::shared_ptr<asio::ssl::context> tls) {
  Connection connection(service, idle, std::move(socket), std::move(tls));
  co_await connection.serve();
}

Task<> refuse_connection(Socket socket) {
  Problem problem(503, "overloaded", "the server has as many connections as it takes; try again shortly");
  const std::string body = problem.body();
  const std::string answer =
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: " +
      std::to_string(problem.retry_after.count()) +
      "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  Deadlines deadlines(socket);
  deadlines.arm(std::chrono::seconds(1));
  co_await asio::async_write(socket, asio::buffer(answer), kAsTuple);
  error_code ignored;
  socket.shutdown(Socket::shutdown_send, ignored);
  std::string sink(size_t{4} << 10, '\0');
  for (;;) {
    const auto [error, count] = co_await socket.async_read_some(asio::buffer(sink), kAsTuple);
    if (error) break;
  }
  deadlines.disarm();
}

}  // namespace assay::api
