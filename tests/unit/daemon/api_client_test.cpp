#include "daemon/api_client.hpp"

#include <catch2/catch.hpp>

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
    CHECK_FALSE(ApiAnswer{.status = status}.retryable());
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
