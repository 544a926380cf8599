#include "core/http/client.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "core/async/scope.hpp"
#include "tests/unit/core/loop.hpp"
#include "tests/unit/temporary_folder.hpp"

using namespace assay;
using namespace std::chrono_literals;

namespace {

constexpr auto kQuiet = asio::as_tuple(asio::use_awaitable);

/// What a request looked like: its head, and its body put together again.
struct Seen {
  std::string head;
  std::string body;
};

/// A server that reads one request a connection and writes what it was told to; with nothing to write it
/// holds the connection until the other side leaves.
template <class Protocol>
class Server {
 public:
  Server(asio::io_context& loop, const typename Protocol::endpoint& at, std::string answer)
      : acceptor_(loop, at), answer_(std::move(answer)), scope_(loop.get_executor()) {
    scope_.spawn("server", serve());
  }
  typename Protocol::endpoint endpoint() const { return acceptor_.local_endpoint(); }
  const std::vector<Seen>& seen() const { return seen_; }
  Task<> stop() {
    scope_.cancel();
    co_await scope_.join();
  }

 private:
  using Socket = typename Protocol::socket;

  Task<> serve() {
    for (;;) {
      auto [error, socket] = co_await acceptor_.async_accept(kQuiet);
      if (error) co_return;
      scope_.spawn("connection", talk(std::move(socket)));
    }
  }
  Task<> talk(Socket socket) {
    asio::streambuf buffer;
    Seen seen;
    const bool has_head = co_await read_to(socket, buffer, "\r\n\r\n", seen.head);
    if (!has_head) co_return;
    if (seen.head.contains("Transfer-Encoding: chunked")) {
      for (std::string size = "?"; size != "0\r\n";) {
        size.clear();
        std::string chunk;
        const bool has_size = co_await read_to(socket, buffer, "\r\n", size);
        if (!has_size) co_return;
        const bool has_chunk = co_await read_bytes(socket, buffer, std::stoul(size, nullptr, 16) + 2, chunk);
        if (!has_chunk) co_return;
        seen.body += chunk.substr(0, chunk.size() - 2);
      }
    } else if (const size_t at = seen.head.find("Content-Length: "); at != std::string::npos) {
      const bool has_body =
          co_await read_bytes(socket, buffer, std::stoul(seen.head.substr(at + 16)), seen.body);
      if (!has_body) co_return;
    }
    seen_.push_back(std::move(seen));
    co_await asio::async_write(socket, asio::buffer(answer_), kQuiet);
    if (!answer_.empty()) co_return;
    std::string rest;
    co_await read_to(socket, buffer, "never", rest);
  }
  static Task<bool> read_to(Socket& socket, asio::streambuf& buffer, std::string mark, std::string& into) {
    const auto [error, n] = co_await asio::async_read_until(socket, buffer, mark, kQuiet);
    if (error) co_return false;
    into = take(buffer, n);
    co_return true;
  }
  static Task<bool> read_bytes(Socket& socket, asio::streambuf& buffer, size_t n, std::string& into) {
    while (buffer.size() < n) {
      const auto [error, got] = co_await socket.async_read_some(buffer.prepare(65536), kQuiet);
      if (error) co_return false;
      buffer.commit(got);
    }
    into = take(buffer, n);
    co_return true;
  }
  static std::string take(asio::streambuf& buffer, size_t n) {
    std::string text(static_cast<const char*>(buffer.data().data()), n);
    buffer.consume(n);
    return text;
  }

  typename Protocol::acceptor acceptor_;
  std::string answer_;
  std::vector<Seen> seen_;
  Scope scope_;
};

using TcpServer = Server<asio::ip::tcp>;
using UnixServer = Server<asio::local::stream_protocol>;

const asio::ip::tcp::endpoint kAnyPort(asio::ip::make_address("127.0.0.1"), 0);

std::string answer(std::string_view status, std::string_view body, std::string_view headers = "") {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nConnection: close\r\n" + std::string(headers) + "\r\n" + std::string(body);
}

http::Request request_to(const TcpServer& server, std::string path = "/") {
  http::Request request;
  request.url = "http://127.0.0.1:" + std::to_string(server.endpoint().port()) + path;
  return request;
}

/// One request against a server that gives `reply`; `check` looks at the answer and at what the server saw.
template <class Prepare, class Check>
void exchange(std::string reply, Prepare prepare, Check check) {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    TcpServer server(loop, kAnyPort, std::move(reply));
    http::Client client(loop.get_executor());
    http::Request request = request_to(server, "/v1/shards?limit=1");
    prepare(request);
    const Result<http::Response> response = co_await client.send(std::move(request));
    co_await server.stop();
    check(response, server.seen());
  };
  test::run(loop, body());
}

constexpr auto kAsItIs = [](http::Request&) {};

std::string error_of(const Result<http::Response>& response) {
  REQUIRE_FALSE(response.has_value());
  CHECK(response.error().kind == ErrorKind::transport);
  return response.error().message;
}

}  // namespace

TEST_CASE("http::Client: any status is an answer", "[core][http]") {
  const auto [status, code] = GENERATE(table<std::string, int>({{"200 OK", 200},
                                                                {"204 No Content", 204},
                                                                {"404 Not Found", 404},
                                                                {"409 Conflict", 409},
                                                                {"503 Busy", 503}}));
  exchange(answer(status, code == 204 ? "" : "the body"), kAsItIs,
           [&](const Result<http::Response>& response, const std::vector<Seen>& seen) {
             REQUIRE(response.has_value());
             CHECK(response->status == code);
             CHECK(response->body == (code == 204 ? "" : "the body"));
             CHECK(response->retry_after == 0ms);
             REQUIRE(seen.size() == 1);
             CHECK_THAT(seen[0].head, Catch::StartsWith("GET /v1/shards?limit=1 HTTP/1.1\r\n"));
             CHECK(seen[0].body.empty());
           });
}

TEST_CASE("http::Client: Retry-After is read", "[core][http]") {
  exchange(answer("429 Too Many Requests", "", "Retry-After: 7\r\n"), kAsItIs,
           [](const Result<http::Response>& response, const auto&) { CHECK(response->retry_after == 7s); });
}

TEST_CASE("http::Client: method, headers and body arrive as given", "[core][http]") {
  const std::string method = GENERATE("POST", "PUT", "PATCH");
  exchange(
      answer("200 OK", "{}"),
      [&](http::Request& request) {
        request.method = method;
        request.headers = {{"Authorization", "Bearer key"}, {"Content-Type", "application/json"}};
        request.body = std::string("{\"zero\":\"\0\"}", 12);
      },
      [&](const Result<http::Response>& response, const std::vector<Seen>& seen) {
        REQUIRE(response.has_value());
        CHECK_THAT(seen.at(0).head, Catch::StartsWith(method + " /v1/shards?limit=1 HTTP/1.1\r\n"));
        CHECK_THAT(seen.at(0).head, Catch::Contains("Authorization: Bearer key\r\n"));
        CHECK_THAT(seen.at(0).head, !Catch::Contains("Expect:"));
        CHECK(seen.at(0).body == std::string("{\"zero\":\"\0\"}", 12));
      });
}

TEST_CASE("http::Client: a POST without a body has the length 0", "[core][http]") {
  exchange(
      answer("200 OK", "{}"), [](http::Request& request) { request.method = "POST"; },
      [](const Result<http::Response>& response, const std::vector<Seen>& seen) {
        CHECK(response.has_value());
        CHECK_THAT(seen.at(0).head, Catch::Contains("Content-Length: 0\r\n"));
      });
}

TEST_CASE("http::Client: a body from a source is sent in chunks as it comes", "[core][http]") {
  std::string sent;
  for (int i = 0; sent.size() < 3'000'000; ++i) sent += std::to_string(i) + "\n";
  size_t at = 0;
  exchange(
      answer("200 OK", "{}"),
      [&](http::Request& request) {
        request.method = "POST";
        request.body_source = [&](char* into, size_t size) {
          const size_t n = std::min({size, sent.size() - at, size_t{70'001}});
          std::memcpy(into, sent.data() + at, n);
          at += n;
          return n;
        };
      },
      [&](const Result<http::Response>& response, const std::vector<Seen>& seen) {
        REQUIRE(response.has_value());
        CHECK_THAT(seen.at(0).head, Catch::Contains("Transfer-Encoding: chunked\r\n"));
        CHECK((seen.at(0).body == sent));
      });
}

TEST_CASE("http::Client: an answer can be taken piece by piece, but not that of an error", "[core][http]") {
  const auto [status, streamed] = GENERATE(table<std::string, bool>({{"200 OK", true}, {"500 Oops", false}}));
  std::string taken;
  exchange(
      answer(status, std::string(500'000, 'x')),
      [&](http::Request& request) {
        request.response_limit_bytes = streamed ? 1 : 500'000;
        request.on_body = [&](std::string_view piece) { taken += piece; };
      },
      [&](const Result<http::Response>& response, const auto&) {
        REQUIRE(response.has_value());
        CHECK(taken.size() == (streamed ? 500'000 : 0));
        CHECK(response->body.size() == (streamed ? 0 : 500'000));
      });
}

TEST_CASE("http::Client: an answer beyond the limit is refused", "[core][http]") {
  exchange(
      answer("200 OK", std::string(1001, 'x')),
      [](http::Request& request) { request.response_limit_bytes = 1000; },
      [](const Result<http::Response>& response, const auto&) {
        CHECK(error_of(response) == "the answer is larger than 1000 bytes");
      });
}

TEST_CASE("http::Client: what is no whole HTTP answer is an error", "[core][http]") {
  const std::string reply =
      GENERATE("nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
  exchange(reply, kAsItIs, [](const Result<http::Response>& response, const auto&) {
    CHECK_FALSE(error_of(response).empty());
  });
}

TEST_CASE("http::Client: the whole exchange ends by its timeout", "[core][http]") {
  exchange(
      "", [](http::Request& request) { request.timeout = 50ms; },
      [](const Result<http::Response>& response, const auto&) {
        CHECK_THAT(error_of(response), Catch::Contains("timed out"));
      });
}

TEST_CASE("http::Client: a refused connection is an error that says so", "[core][http]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    http::Request request;
    {
      const asio::ip::tcp::acceptor taken(loop, kAnyPort);  // a port that was free a moment ago
      request.url = "http://127.0.0.1:" + std::to_string(taken.local_endpoint().port()) + "/";
    }
    http::Client client(loop.get_executor());
    const Result<http::Response> response = co_await client.send(std::move(request));
    CHECK_THAT(error_of(response), Catch::Contains("127.0.0.1"));
  };
  test::run(loop, body());
}

TEST_CASE("http::Client: where nothing answers it is told by its own time", "[core][http]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    // A queue of connections that is full: Linux answers no more.
    using asio::ip::tcp;
    tcp::acceptor full(loop);
    full.open(tcp::v4());
    full.bind(kAnyPort);
    full.listen(0);
    std::vector<tcp::socket> waiting;
    for (int i = 0; i < 8; ++i) {
      waiting.emplace_back(loop, tcp::v4());
      waiting.back().native_non_blocking(true);
      const auto at = full.local_endpoint();
      ::connect(waiting.back().native_handle(), at.data(), static_cast<socklen_t>(at.size()));
    }
    http::Client client(loop.get_executor());
    http::Request request;
    request.url = "http://127.0.0.1:" + std::to_string(full.local_endpoint().port()) + "/";
    request.connect_timeout = 100ms;
    const auto began = Clock::now();
    const Result<http::Response> response = co_await client.send(std::move(request));
    CHECK_FALSE(error_of(response).empty());
    CHECK(Clock::now() - began < 30s);
  };
  test::run(loop, body());
}

TEST_CASE("http::Client: other protocols are refused", "[core][http]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    http::Client client(loop.get_executor());
    http::Request request;
    request.url = "file:///etc/hostname";
    const Result<http::Response> response = co_await client.send(std::move(request));
    CHECK_FALSE(error_of(response).empty());
  };
  test::run(loop, body());
}

TEST_CASE("http::Client: talks over a Unix socket", "[core][http]") {
  const test::TemporaryFolder folder;
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    UnixServer server(loop, asio::local::stream_protocol::endpoint(folder.path("api")),
                      answer("200 OK", "hello"));
    http::Client client(loop.get_executor());
    http::Request request;
    request.url = "http://assay/healthz";
    request.unix_socket = folder.path("api");
    const Result<http::Response> response = co_await client.send(std::move(request));
    co_await server.stop();
    REQUIRE(response.has_value());
    CHECK(response->body == "hello");
    CHECK_THAT(server.seen().at(0).head, Catch::StartsWith("GET /healthz HTTP/1.1\r\nHost: assay\r\n"));
  };
  test::run(loop, body());
}

TEST_CASE("http::Client: a cancelled request ends at once, and the client goes on", "[core][http]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    TcpServer mute(loop, kAnyPort, "");
    TcpServer server(loop, kAnyPort, answer("200 OK", "hello"));
    http::Client client(loop.get_executor());
    Result<http::Response> cancelled;
    const auto ask = [&]() -> Task<> { cancelled = co_await client.send(request_to(mute)); };
    Scope scope(loop.get_executor());
    scope.spawn("request", ask());
    while (mute.seen().empty()) co_await test::settle();
    scope.cancel();
    co_await scope.join();
    REQUIRE_FALSE(cancelled.has_value());
    CHECK(cancelled.error().kind == ErrorKind::cancelled);

    const Result<http::Response> next = co_await client.send(request_to(server));
    CHECK(next->body == "hello");
    co_await mute.stop();
    co_await server.stop();
  };
  test::run(loop, body());
}

TEST_CASE("http::Client: many requests at once each get their own answer", "[core][http]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    TcpServer server(loop, kAnyPort, answer("200 OK", std::string(10'000, 'x')));
    http::Client client(loop.get_executor());
    Scope scope(loop.get_executor());
    int answered = 0;
    const auto ask = [&](int number) -> Task<> {
      const Result<http::Response> response =
          co_await client.send(request_to(server, "/" + std::to_string(number)));
      if (response && response->body.size() == 10'000) ++answered;
    };
    for (int i = 0; i < 100; ++i) scope.spawn("request", ask(i));
    co_await scope.join();
    CHECK(answered == 100);
    CHECK(server.seen().size() == 100);
    co_await server.stop();
  };
  test::run(loop, body());
}

TEST_CASE("http::Client: headers arrive as they were sent, those of a 100 not", "[core][http]") {
  exchange("HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n" +
               answer("200 OK", "{}", "X-Request-Id:  req_1 \r\nretry-after-ms: 20\r\nX-Empty:\r\n"),
           kAsItIs, [](const Result<http::Response>& response, const auto&) {
             REQUIRE(response.has_value());
             using Header = std::pair<std::string, std::string>;
             const auto has = [&](const Header& header) {
               return std::ranges::find(response->headers, header) != response->headers.end();
             };
             CHECK(has({"X-Request-Id", "req_1"}));
             CHECK(has({"retry-after-ms", "20"}));
             CHECK(has({"X-Empty", ""}));
             CHECK(response->headers.size() == 5);
           });
}

TEST_CASE("http::Client: headers without an end are refused", "[core][http]") {
  std::string headers;
  for (int i = 0; i < 400; ++i) headers += "X-" + std::to_string(i) + ": " + std::string(1000, 'x') + "\r\n";
  exchange(answer("200 OK", "{}", headers), kAsItIs, [](const Result<http::Response>& response, const auto&) {
    CHECK_FALSE(error_of(response).empty());
  });
}

TEST_CASE("http::Client: says whether a request may have reached the server", "[core][http]") {
  asio::io_context loop;
  const auto body = [&]() -> Task<> {
    http::Client client(loop.get_executor());
    TcpServer mute(loop, kAnyPort, "");
    TcpServer cut(loop, kAnyPort, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");
    http::Request nobody;
    {
      const asio::ip::tcp::acceptor taken(loop, kAnyPort);
      nobody.url = "http://127.0.0.1:" + std::to_string(taken.local_endpoint().port()) + "/";
    }
    const http::Exchange refused = co_await client.exchange(std::move(nobody));
    CHECK_FALSE(refused.response);
    CHECK_FALSE(refused.sent);
    CHECK_FALSE(refused.timed_out);
    http::Request late = request_to(mute);
    late.timeout = 50ms;
    const http::Exchange timed_out = co_await client.exchange(std::move(late));
    CHECK_FALSE(timed_out.response);
    CHECK(timed_out.sent);
    CHECK(timed_out.timed_out);
    const http::Exchange half = co_await client.exchange(request_to(cut));
    CHECK_FALSE(half.response);
    CHECK(half.sent);
    co_await mute.stop();
    co_await cut.stop();
  };
  test::run(loop, body());
}

TEST_CASE("http::Client: what is sent once is not repeated on another connection", "[core][http]") {
  asio::io_context loop;
  // Answers the first request of a connection; what comes second it reads, and closes.
  asio::ip::tcp::acceptor acceptor(loop, kAnyPort);
  int requests = 0;
  Scope scope(loop.get_executor());
  const auto talk = [&](asio::ip::tcp::socket socket) -> Task<> {
    for (int turn = 0; turn < 2; ++turn) {
      std::string head;
      const auto [error, n] =
          co_await asio::async_read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", kQuiet);
      if (error) co_return;
      ++requests;
      const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
      if (turn == 0) co_await asio::async_write(socket, asio::buffer(ok), kQuiet);
    }
  };
  const auto serve = [&]() -> Task<> {
    for (;;) {
      auto [error, socket] = co_await acceptor.async_accept(kQuiet);
      if (error) co_return;
      scope.spawn("connection", talk(std::move(socket)));
    }
  };
  const auto body = [&]() -> Task<> {
    scope.spawn("server", serve());
    http::Client client(loop.get_executor());
    const auto request = [&] {
      http::Request once;
      once.url = "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()) + "/";
      once.method = "POST";
      once.body = "{}";
      once.send_once = true;
      return once;
    };
    const http::Exchange first = co_await client.exchange(request());
    CHECK(first.response);
    const http::Exchange second = co_await client.exchange(request());
    CHECK_FALSE(second.response);
    CHECK(second.sent);
    CHECK(requests == 2);
    scope.cancel();
    co_await scope.join();
  };
  test::run(loop, body());
}
