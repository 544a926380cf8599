#include "sandbox/runtime/packages/index_proxy.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include "core/requirement.hpp"
#include "tests/unit/core/loop.hpp"

namespace assay::sandbox {
namespace {

using tcp = asio::ip::tcp;
constexpr auto kToken = asio::as_tuple(asio::use_awaitable);

/// A server that keeps what it was sent on each connection and answers each with `answer`.
class Server {
 public:
  Server(asio::any_io_executor executor, std::string answer)
      : acceptor_(executor, {asio::ip::address_v4::loopback(), 0}),
        answer_(std::move(answer)),
        scope_(executor) {
    scope_.spawn("server", accept());
  }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  Task<> close() {
    acceptor_.close();
    co_await scope_.join();
  }
  std::vector<std::string> received;

 private:
  Task<> accept() {
    while (true) {
      auto [error, socket] = co_await acceptor_.async_accept(kToken);
      if (error) co_return;
      std::string text(4'096, '\0');
      const auto [failed, size] = co_await socket.async_read_some(asio::buffer(text), kToken);
      received.push_back(text.substr(0, size));
      co_await asio::async_write(socket, asio::buffer(answer_), kToken);
    }
  }
  tcp::acceptor acceptor_;
  std::string answer_;
  Scope scope_;
};

/// All that comes back for `sent`, to the end.
Task<std::string> exchange(asio::any_io_executor executor, uint16_t port, std::string sent) {
  tcp::socket socket(executor);
  co_await socket.async_connect({asio::ip::address_v4::loopback(), port}, kToken);
  co_await asio::async_write(socket, asio::buffer(sent), kToken);
  std::string answer;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer, 1 << 20), kToken);
  co_return answer;
}

struct Listener {
  explicit Listener(asio::any_io_executor executor)
      : acceptor(executor, {asio::ip::address_v4::loopback(), 0}), port(acceptor.local_endpoint().port()) {}
  tcp::acceptor acceptor;
  uint16_t port;
};

}  // namespace

TEST_CASE("index proxy: hosts and ports are read as they are meant", "[sandbox][packages]") {
  using P = HostPort;
  CHECK(P::of_url("https://user:p%40ss@Index.Example/simple/") == P{"index.example", 443});
  CHECK(P::of_url("http://127.0.0.1:8080") == P{"127.0.0.1", 8080});
  CHECK(P::of_url("https://index.example?x=http://other:1") == P{"index.example", 443});
  // What stands before an @ is a name, however much it looks like a host.
  CHECK(P::of_url("https://allowed.example@other.example/") == P{"other.example", 443});
  CHECK(P::of_text("files.example", 443) == P{"files.example", 443});
  CHECK(P::of_text("files.example:8443", 443) == P{"files.example", 8443});
  for (const char* wrong : {"", "index.example", "ftp://index.example/", "https://", "https:///simple",
                            "http://a:b/", "http://a:99999/"})
    CHECK_FALSE(P::of_url(wrong));
  for (const char* wrong : {"", ":443", "a/b", "a b", "a:", "user@a:1", "::1"})
    CHECK_FALSE(P::of_text(wrong, 1));
}

TEST_CASE("index proxy: reaches what it may and nothing else", "[sandbox][packages]") {
  asio::io_context loop;
  test::run(loop, [](asio::any_io_executor executor) -> Task<> {
    const std::string page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage";
    Server index(executor, page), other(executor, page);
    Listener listener(executor);
    const std::string allowed = "127.0.0.1:" + std::to_string(index.port());
    const std::string forbidden = "127.0.0.1:" + std::to_string(other.port());
    IndexProxy proxy(executor, UniqueFd(listener.acceptor.release()), {{"127.0.0.1", index.port()}});
    proxy.start();
    const auto ask = [&](std::string text) { return exchange(executor, listener.port, std::move(text)); };

    {
      const std::string answer =
          co_await ask("GET http://" + allowed + "/simple/a/?b=c HTTP/1.1\r\nHost: " + allowed +
                       "\r\nProxy-Authorization: Basic x\r\nX-Kept: y\r\n\r\n");
      CHECK(answer == page);
    }
    CHECK(index.received.back().starts_with("GET /simple/a/?b=c HTTP/1.1\r\n"));
    CHECK(index.received.back().find("X-Kept: y") != std::string::npos);
    CHECK(index.received.back().find("Proxy-Authorization") == std::string::npos);
    co_await ask("GET http://" + allowed + "/ HTTP/1.1\r\nHost: another.name\r\n\r\n");
    CHECK(index.received.back().find("Host: " + allowed + "\r\n") != std::string::npos);
    CHECK(index.received.back().find("another.name") == std::string::npos);
    CHECK_FALSE(proxy.refused());

    // A second request behind the first would reach the server unseen.
    const std::string tail = "GET http://" + forbidden + "/ HTTP/1.1\r\nHost: " + forbidden + "\r\n\r\n";
    co_await ask("GET http://" + allowed + "/ HTTP/1.1\r\nHost: x\r\n\r\n" + tail);
    CHECK(index.received.back().find(forbidden) == std::string::npos);

    tcp::socket client(executor);
    co_await client.async_connect({asio::ip::address_v4::loopback(), listener.port}, kToken);
    const std::string connect = "CONNECT " + allowed + " HTTP/1.1\r\n\r\n", hello = "hello";
    co_await asio::async_write(client, asio::buffer(connect), kToken);
    std::string established(256, '\0'), answer_of_server;
    const auto [error, size] = co_await client.async_read_some(asio::buffer(established), kToken);
    CHECK(established.substr(0, size) == "HTTP/1.1 200 Connection established\r\n\r\n");
    co_await asio::async_write(client, asio::buffer(hello), kToken);
    co_await asio::async_read(client, asio::dynamic_buffer(answer_of_server), kToken);
    CHECK((answer_of_server == page && index.received.back() == hello));

    const size_t reached = index.received.size();
    for (const std::string& request :
         {"GET http://" + forbidden + "/ HTTP/1.1\r\nHost: " + allowed + "\r\n\r\n",
          "CONNECT " + forbidden + " HTTP/1.1\r\nHost: " + allowed + "\r\n\r\n",
          "POST http://" + allowed + "/upload HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: " + allowed + "\r\n\r\n",
          "GET http://" + allowed + "@" + forbidden + "/ HTTP/1.1\r\n\r\n",
          "CONNECT localhost:" + std::to_string(index.port()) + " HTTP/1.1\r\n\r\n"}) {
      CAPTURE(request);
      const std::string answer = co_await ask(request);
      CHECK(answer.starts_with("HTTP/1.1 403 "));
    }
    for (const std::string& request :
         {std::string("\0\1\2\r\n\r\n", 7), std::string(1 << 20, 'a'),
          "GET http://" + allowed + "/ HTTP/1.1\r\nX: " + std::string(64 << 10, 'a') + "\r\n\r\n"}) {
      const std::string answer = co_await ask(request);
      CHECK(answer.empty());
    }
    CHECK(index.received.size() == reached);
    CHECK(other.received.empty());
    CHECK(proxy.refused() == forbidden);
    co_await proxy.close();
    co_await index.close();
    co_await other.close();
  }(loop.get_executor()));
}

TEST_CASE("index proxy: closing breaks a tunnel that stands", "[sandbox][packages]") {
  asio::io_context loop;
  test::run(loop, [](asio::any_io_executor executor) -> Task<> {
    Listener silent(executor), listener(executor);
    IndexProxy proxy(executor, UniqueFd(listener.acceptor.release()), {{"127.0.0.1", silent.port}});
    proxy.start();
    tcp::socket client(executor);
    co_await client.async_connect({asio::ip::address_v4::loopback(), listener.port}, kToken);
    const std::string request = "CONNECT 127.0.0.1:" + std::to_string(silent.port) + " HTTP/1.1\r\n\r\n";
    co_await asio::async_write(client, asio::buffer(request), kToken);
    std::string answer(256, '\0');
    co_await client.async_read_some(asio::buffer(answer), kToken);
    CHECK(answer.starts_with("HTTP/1.1 200"));
    co_await proxy.close();
    const auto [ended, more] = co_await client.async_read_some(asio::buffer(answer), kToken);
    CHECK(ended);
  }(loop.get_executor()));
}

TEST_CASE("requirements: a line names a package and is no option", "[packages]") {
  for (const char* line :
       {"numpy", "numpy==1.26.4", "a[b,c]>=1,<2; python_version > '3.8'", "@scope/a@^1.2.0"})
    CHECK(is_requirement(line));
  for (const std::string& line : {std::string(), std::string("  "), std::string("-r x"),
                                  std::string("  --index-url=x"), std::string("# a"), std::string("a\nb"),
                                  std::string("a\u2028-r x"), std::string("a \\"), std::string(501, 'a')})
    CHECK_FALSE(is_requirement(line));
}

}  // namespace assay::sandbox
