#include "api/http/connection.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>

#include "api/context.hpp"
#include "core/log.hpp"

namespace assay::api {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

// Cancels the operations of a socket when time is up, and leaves it open: a client that was too slow is told
// so. (beast::tcp_stream closes the socket, and nothing can be said any more.)
class Deadlines {
 public:
  explicit Deadlines(Socket& socket) : state_(std::make_shared<State>(socket)) {}
  ~Deadlines() { disarm(); }
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  void arm(Clock::duration time) {
    state_->expired = false;
    const auto round = ++state_->round;
    state_->timer.expires_after(time);
    state_->timer.async_wait([state = state_, round](error_code error) {
      if (error || round != state->round) return;  // disarmed, though the timer had fired already
      state->expired = true;
      state->socket.cancel(error);
    });
  }
  /// True: time was up.
  bool disarm() {
    ++state_->round;
    state_->timer.cancel();
    return state_->expired;
  }

 private:
  struct State {
    explicit State(Socket& socket_) : socket(socket_), timer(socket_.get_executor()) {}
    Socket& socket;  // touched only while armed, and its owner disarms
    asio::steady_timer timer;
    uint64_t round = 0;
    bool expired = false;
  };
  std::shared_ptr<State> state_;
};

using Parser = http::request_parser<http::buffer_body>;

std::unexpected<Problem> too_slow() {
  return refuse(408, "request_timeout", "the request did not arrive in time");
}

class ConnectionBody final : public BodyReader {
 public:
  ConnectionBody(Socket& socket, Deadlines& deadlines, beast::flat_buffer& buffer, Parser& parser,
                 Clock::duration patience)
      : socket_(socket), deadlines_(deadlines), buffer_(buffer), parser_(parser), patience_(patience) {
    expects_ = beast::iequals(parser.get()[http::field::expect], "100-continue");
  }

  Task<Answer<std::string_view>> next() override {
    if (expects_ && !parser_.is_done()) {
      expects_ = false;
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(socket_, asio::buffer(kContinue), kAsTuple);
    }
    piece_.resize(kPiece);
    while (!parser_.is_done()) {
      auto& body = parser_.get().body();
      body.data = piece_.data();
      body.size = piece_.size();
      body.more = true;
      deadlines_.arm(patience_);
      const auto [error, count] = co_await http::async_read_some(socket_, buffer_, parser_, kAsTuple);
      const bool late = deadlines_.disarm();
      const size_t filled = piece_.size() - parser_.get().body().size;
      if (late) co_return too_slow();
      if (error && error != http::error::need_buffer)
        co_return refuse(400, "invalid_http", "the body could not be read: " + error.message());
      if (filled > 0) co_return std::string_view(piece_).substr(0, filled);
    }
    co_return std::string_view();
  }

 private:
  static constexpr size_t kPiece = size_t{64} << 10;
  Socket& socket_;
  Deadlines& deadlines_;
  beast::flat_buffer& buffer_;
  Parser& parser_;
  Clock::duration patience_;
  std::string piece_;
  bool expects_ = false;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

Answer<Request> request_from(const Parser& parser, Socket& socket) {
  const auto& message = parser.get();
  Request request;
  request.method = std::string(message.method_string());
  std::string_view target(message.target().data(), message.target().size());
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
  for (const auto& field : message) {
    const std::string_view name(field.name_string().data(), field.name_string().size());
    request.headers.emplace_back(lower(name), std::string(field.value()));
  }
  request.peer_gone = [&socket] {
    char byte = 0;
    return ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
  };
  return request;
}

class Connection {
 public:
  Connection(Context& context, std::span<const Route> routes, IdleSockets& idle, Socket socket)
      : context_(context), routes_(routes), idle_(idle), socket_(std::move(socket)), deadlines_(socket_) {}

  Task<> serve() {
    bool again = true;
    while (again && !context_.stopping) {
      const bool arrived = co_await wait_for_request();
      if (!arrived) co_return;
      again = co_await serve_request();
    }
    co_await linger();
  }

 private:
  Task<bool> wait_for_request() {
    if (buffer_.size() > 0) co_return true;  // pipelined
    idle_.insert(&socket_);
    deadlines_.arm(context_.options.timeouts.keep_alive);
    const auto [error, count] = co_await socket_.async_read_some(buffer_.prepare(4096), kAsTuple);
    deadlines_.disarm();
    idle_.erase(&socket_);
    buffer_.commit(count);
    co_return !error;
  }

  /// False: the connection ends.
  Task<bool> serve_request() {
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(context_.options.limits.header_bytes));
    parser.body_limit(boost::none);  // each route has its own
    deadlines_.arm(context_.options.timeouts.header);
    const auto [error, count] = co_await http::async_read_header(socket_, buffer_, parser, kAsTuple);
    const bool late = deadlines_.disarm();
    keep_alive_ = false;
    version_ = 11;
    if (late) co_return co_await send_problem(too_slow().error());
    if (error == http::error::header_limit || error == http::error::buffer_overflow)
      co_return co_await send_problem(Problem(431, "header_too_large", "the request's header is too large"));
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message)
      co_return co_await send_problem(
          Problem(400, "invalid_http", "this is not HTTP/1.1: " + error.message()));
    if (error) co_return false;
    keep_alive_ = parser.get().keep_alive() && !context_.stopping;
    version_ = parser.get().version();
    ConnectionBody body(socket_, deadlines_, buffer_, parser, context_.options.timeouts.body);
    auto request = request_from(parser, socket_);
    if (!request) co_return co_await send_problem(request.error());
    auto answer = co_await answer_to(*request, parser, body);
    // What is left of a body would be taken for the next request.
    if (!parser.is_done()) keep_alive_ = false;
    if (!answer) co_return co_await send_problem(answer.error());
    co_return co_await send(std::move(*answer));
  }

  Task<Answer<Response>> answer_to(Request& request, Parser& parser, ConnectionBody& body) {
    const auto route = co_await admit(context_, routes_, request);
    if (!route) co_return std::unexpected(route.error());
    if ((*route)->body == Body::stream) {
      request.reader = &body;
    } else {
      const auto read = co_await read_body(request, parser, body);
      if (!read) co_return std::unexpected(read.error());
    }
    auto response = co_await handle(context_, **route, request);
    co_return response;
  }

  Task<Answer<>> read_body(Request& request, Parser& parser, ConnectionBody& body) {
    const size_t limit = context_.options.limits.json_body_bytes;
    const Problem too_large(413, "body_too_large",
                            "the body is larger than " + std::to_string(limit) + " bytes");
    if (parser.content_length() && *parser.content_length() > limit) co_return std::unexpected(too_large);
    for (;;) {
      const auto piece = co_await body.next();
      if (!piece) co_return std::unexpected(piece.error());
      if (piece->empty()) co_return Answer<>{};
      if (request.body.size() + piece->size() > limit) co_return std::unexpected(too_large);
      request.body += *piece;
    }
  }

  Task<bool> send_problem(Problem problem) { co_return co_await send(response_from(problem)); }

  template <class Message>
  void fill_header(Message& message, const Response& response) const {
    message.version(11);
    message.result(static_cast<unsigned>(response.status));
    message.set(http::field::server, "assay");
    if (response.status != 204) message.set(http::field::content_type, response.content_type);
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(keep_alive_);
  }

  Task<bool> send(Response response) {
    if (response.writer != nullptr) co_return co_await send_stream(std::move(response));
    http::response<http::string_body> message;
    fill_header(message, response);
    message.body() = std::move(response.body);
    if (response.status != 204) message.prepare_payload();
    deadlines_.arm(context_.options.timeouts.write);
    const auto [error, count] = co_await http::async_write(socket_, message, kAsTuple);
    const bool late = deadlines_.disarm();
    co_return !error && !late && keep_alive_;
  }

  /// An error in the middle can only be shown by ending the connection before the last chunk.
  Task<bool> send_stream(Response response) {
    auto piece = co_await response.writer->next();
    if (!piece) co_return co_await send_problem(piece.error());
    const bool chunked = version_ >= 11;
    if (!chunked) keep_alive_ = false;
    http::response<http::empty_body> header;
    fill_header(header, response);
    if (chunked) header.chunked(true);
    http::response_serializer<http::empty_body> serializer(header);
    deadlines_.arm(context_.options.timeouts.write);
    const auto [error, count] = co_await http::async_write_header(socket_, serializer, kAsTuple);
    bool sent = !deadlines_.disarm() && !error;
    while (sent && !piece->empty()) {
      sent = co_await write_piece(*piece, chunked);
      if (!sent) break;
      piece = co_await response.writer->next();
      if (!piece) {
        log::warn("an answer was cut off", {{"error", piece.error().message}});
        keep_alive_ = false;
        co_return false;
      }
    }
    if (sent && chunked) sent = co_await write_text("0\r\n\r\n");
    co_return sent&& keep_alive_;
  }

  Task<bool> write_piece(const std::string& piece, bool chunked) {
    deadlines_.arm(context_.options.timeouts.write);
    error_code failed;
    if (chunked) {
      const auto [error, count] =
          co_await asio::async_write(socket_, http::make_chunk(asio::buffer(piece)), kAsTuple);
      failed = error;
    } else {
      const auto [error, count] = co_await asio::async_write(socket_, asio::buffer(piece), kAsTuple);
      failed = error;
    }
    const bool late = deadlines_.disarm();
    co_return !failed && !late;
  }

  Task<bool> write_text(std::string_view text) {
    deadlines_.arm(context_.options.timeouts.write);
    const auto [error, count] = co_await asio::async_write(socket_, asio::buffer(text), kAsTuple);
    const bool late = deadlines_.disarm();
    co_return !error && !late;
  }

  /// A socket that is closed with unread bytes resets the connection, and the client may never see the answer
  /// that says why. So: say that nothing more comes, and swallow what the client still sends, for a moment.
  Task<> linger() {
    error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    if (context_.stopping) co_return;
    deadlines_.arm(std::chrono::seconds(2));
    std::string sink(size_t{64} << 10, '\0');
    for (;;) {
      const auto [error, count] = co_await socket_.async_read_some(asio::buffer(sink), kAsTuple);
      if (error) break;
    }
    deadlines_.disarm();
  }

  Context& context_;
  std::span<const Route> routes_;
  IdleSockets& idle_;
  Socket socket_;
  Deadlines deadlines_;
  beast::flat_buffer buffer_{size_t{256} << 10};
  bool keep_alive_ = false;
  unsigned version_ = 11;
};

}  // namespace

Task<> serve_connection(Context& context, std::span<const Route> routes, IdleSockets& idle, Socket socket) {
  Connection connection(context, routes, idle, std::move(socket));
  co_await connection.serve();
}

}  // namespace assay::api
