#include "daemon/api_client.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>

#include "core/async/scope.hpp"
#include "tests/unit/temporary_folder.hpp"

namespace assay::daemon {
namespace {

TEST_CASE("ApiEndpoint: takes http, https and Unix sockets, and nothing else", "[daemon][api_client]") {
  const auto tcp = ApiEndpoint::parse("http://127.0.0.1:7777/", "k");
  REQUIRE(tcp);
  CHECK(tcp->url == "http://127.0.0.1:7777");
  CHECK(tcp->key == "k");
  const auto local = ApiEndpoint::parse("unix:/run/assay/api.sock", "k");
  REQUIRE(local);
  CHECK(local->unix_socket == "/run/assay/api.sock");
  for (const char* bad : {"", "unix:", "ftp://x", "127.0.0.1:7777"}) {
    const auto endpoint = ApiEndpoint::parse(bad, "secret");
    REQUIRE_FALSE(endpoint);
    CHECK(endpoint.error().kind == ErrorKind::config);
    CHECK(endpoint.error().message.find("secret") == std::string::npos);
  }
}

TEST_CASE("ApiAnswer: what may succeed later is retryable, what is refused is not", "[daemon][api_client]") {
  for (const int status : {408, 429, 500, 502, 503, 504}) CHECK(ApiAnswer{.status = status}.retryable());
  for (const int status : {200, 400, 401, 403, 404, 409, 413, 422, 501})
    CHECK_FALSE(ApiAnswer{.status = status, .code = "of_the_api"}.retryable());
  // The page of a proxy, a hotel or a firewall says nothing about the call.
  for (const int status : {302, 400, 403, 404, 501}) CHECK(ApiAnswer{.status = status}.retryable());
  for (const int status : {200, 413}) CHECK_FALSE(ApiAnswer{.status = status}.retryable());
}

TEST_CASE("ApiAnswer: what is no envelope is shown, bounded and harmless", "[daemon][api_client]") {
  const auto said = [](std::string body) {
    return ApiAnswer{.status = 400, .body = std::move(body)}.error().message;
  };
  CHECK(said("This port speaks HTTPS: use https://\n") ==
        "the API answered 400: This port speaks HTTPS: use https://");
  CHECK(said("") == "the API answered 400");
  CHECK(said("a\r\n\t b\x1b[31m\xff") == "the API answered 400: a b?[31m?");
  CHECK(said(std::string(100'000, 'x')).size() < 300);
}

TEST_CASE("ApiClient: a call is repeated when the answer said, and not before", "[daemon][api_client]") {
  asio::io_context loop(1);
  asio::ip::tcp::acceptor acceptor(loop, {asio::ip::make_address("127.0.0.1"), 0});
  std::vector<Clock::time_point> calls;
  // Answers 503 once and then 200; each connection is one request.
  const auto serve = [&]() -> Task<> {
    while (calls.size() < 2) {
      auto socket = co_await acceptor.async_accept(asio::use_awaitable);
      std::string head;
      co_await asio::async_read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", asio::use_awaitable);
      calls.push_back(Clock::now());
      const std::string answer =
          calls.size() == 1 ? "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: "
                              "0\r\nConnection: close\r\n\r\n"
                            : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
      co_await asio::async_write(socket, asio::buffer(answer), asio::use_awaitable);
    }
  };
  Result<ApiAnswer> answer = fail(ErrorKind::internal, "not asked");
  const auto ask = [&]() -> Task<> {
    const auto endpoint =
        ApiEndpoint::parse("http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()), "k");
    ApiClient api(loop.get_executor(), *endpoint);
    ApiClient::Call call;
    call.path = "/v1/x";
    answer = co_await api.call_until(std::move(call), Clock::now() + std::chrono::seconds(30));
  };
  Scope scope(loop.get_executor());
  scope.spawn("server", serve());
  scope.spawn("client", ask());
  loop.run_for(std::chrono::seconds(60));
  REQUIRE(answer);
  CHECK(answer->status == 200);
  REQUIRE(calls.size() == 2);
  CHECK(calls[1] - calls[0] >= std::chrono::seconds(1));
}

TEST_CASE("ApiEndpoint: a CA file must hold certificates", "[daemon][api_client]") {
  test::TemporaryFolder folder;
  const auto parse = [](const std::string& file) {
    return ApiEndpoint::parse("https://api.example", "k", file);
  };
  const auto absent = parse("/nowhere/ca.pem");
  REQUIRE_FALSE(absent);
  CHECK(absent.error().message.find("/nowhere/ca.pem") != std::string::npos);
  const auto key = parse(folder.write("key.pem", "-----BEGIN PRIVATE KEY-----\n"));
  REQUIRE_FALSE(key);
  CHECK(key.error().kind == ErrorKind::config);
  const std::string file = folder.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
  REQUIRE(parse(file));
  CHECK(parse(file)->ca_file == file);
}

TEST_CASE("ApiClient: large bodies go over a network compressed, small ones as they are",
          "[daemon][api_client]") {
  asio::io_context loop(1);
  asio::ip::tcp::acceptor acceptor(loop, {asio::ip::make_address("127.0.0.1"), 0});
  std::vector<std::string> heads;
  const auto serve = [&]() -> Task<> {
    while (heads.size() < 3) {
      auto socket = co_await acceptor.async_accept(asio::use_awaitable);
      std::string head;
      co_await asio::async_read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", asio::use_awaitable);
      heads.push_back(head);
      static constexpr std::string_view kAnswer =
          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
      co_await asio::async_write(socket, asio::buffer(kAnswer), asio::use_awaitable);
    }
  };
  std::vector<std::string> observed;
  const auto ask = [&]() -> Task<> {
    const auto endpoint =
        ApiEndpoint::parse("http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()), "k");
    ApiClient api(loop.get_executor(), *endpoint);
    api.observe([&](std::string_view path, int status, Clock::duration) {
      observed.push_back(std::string(path) + ' ' + std::to_string(status));
    });
    for (const size_t size : {100, 100'000}) {
      ApiClient::Call call{.method = "POST", .path = "/v1/x", .body = std::string(size, 'x')};
      co_await api.call(std::move(call));
    }
    ApiClient::Call streamed{.method = "POST", .path = "/v1/y"};
    streamed.body_source = [left = 1](char* into, size_t) mutable {
      into[0] = 'x';
      return static_cast<size_t>(std::exchange(left, 0));
    };
    co_await api.call(std::move(streamed));
  };
  Scope scope(loop.get_executor());
  scope.spawn("server", serve());
  scope.spawn("client", ask());
  loop.run_for(std::chrono::seconds(60));
  REQUIRE(heads.size() == 3);
  CHECK(heads[0].find("Content-Encoding") == std::string::npos);
  CHECK(heads[0].find("Content-Length: 100\r\n") != std::string::npos);
  CHECK(heads[1].find("Content-Encoding: zstd\r\n") != std::string::npos);
  CHECK(heads[1].find("Content-Length: 100000\r\n") == std::string::npos);
  CHECK(heads[2].find("Content-Encoding: zstd\r\n") != std::string::npos);
  REQUIRE(observed.size() == 3);
  CHECK(observed[0] == "/v1/x 200");
}

TEST_CASE("backoff: waits as long as the answer asks for, within reason", "[daemon][api_client]") {
  using namespace std::chrono_literals;
  CHECK(backoff(0, ApiAnswer{.status = 503, .retry_after = 7s}) == 7s);
  CHECK(backoff(0, ApiAnswer{.status = 503, .retry_after = 1h}) == 30s);
  CHECK(backoff(0, ApiAnswer{.status = 503}) <= 250ms);
  CHECK(backoff(0, fail(ErrorKind::transport, "none")) <= 250ms);
}

TEST_CASE("backoff: grows, is jittered and never beyond half a minute", "[daemon][api_client]") {
  for (int attempt = 0; attempt < 40; ++attempt) {
    CHECK(backoff(attempt) > std::chrono::milliseconds(0));
    CHECK(backoff(attempt) <= std::chrono::seconds(30));
  }
  CHECK(backoff(0) <= std::chrono::milliseconds(250));
}

TEST_CASE("url_encode: leaves only unreserved characters", "[daemon][api_client]") {
  CHECK(url_encode("a b/c?d=é~-._") == "a%20b%2Fc%3Fd%3D%C3%A9~-._");
}

}  // namespace
}  // namespace assay::daemon
