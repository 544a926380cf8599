// Who may call how often, and what is told about it: keys, rates, request ids, series.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <catch2/catch.hpp>
#include <regex>
#include <thread>

#include "api/http/key_cache.hpp"
#include "api/http/rate_limit.hpp"
#include "api/store/sqlite_store.hpp"
#include "core/id.hpp"
#include "tests/unit/api/client.hpp"
#include "tests/unit/api/exposition.hpp"

namespace assay::api::test {
namespace {

using namespace std::chrono_literals;

/// Calls until `fits`, for what takes effect within a moment.
template <class Fits>
bool within(std::chrono::seconds time, Fits fits) {
  for (const auto end = Clock::now() + time; Clock::now() < end; std::this_thread::sleep_for(10ms))
    if (fits()) return true;
  return false;
}

}  // namespace

TEST_CASE("RateLimit: a burst, then the rate, and each name by itself", "[api][rate]") {
  RateLimit limit(10, 3, 2);
  auto now = Clock::now();
  for (int i = 0; i < 3; ++i) CHECK_FALSE(limit.take("a", now));
  const auto wait = limit.take("a", now);
  REQUIRE(wait);
  CHECK(*wait > 50ms);
  CHECK(*wait <= 101ms);
  CHECK(limit.look("a", now));
  CHECK_FALSE(limit.take("b", now));
  now += 101ms;
  CHECK_FALSE(limit.look("a", now));
  CHECK_FALSE(limit.take("a", now));
  CHECK(limit.take("a", now));
  now += 1h;  // no more than the burst is saved up
  for (int i = 0; i < 3; ++i) CHECK_FALSE(limit.take("a", now));
  CHECK(limit.take("a", now));
  // Bounded: a third name pushes out the one that was not used for longest.
  CHECK_FALSE(limit.take("b", now));
  CHECK_FALSE(limit.take("c", now));
  CHECK_FALSE(limit.take("a", now));
  RateLimit none(0, 0);
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(none.take("a", now));
}

TEST_CASE("KeyCache: fresh for a second, known for longer, bounded", "[api][keys]") {
  KeyCache keys;
  const auto now = Clock::now();
  keys.keep("h", {{7, {}}, kRead, "key_h"}, now);
  CHECK(keys.find("h", now)->principal.project() == 7);
  CHECK(keys.find("h", now + 999ms)->fresh);
  CHECK_FALSE(keys.find("h", now + 1s)->fresh);
  keys.forget("h");
  CHECK_FALSE(keys.find("h", now));
  for (int i = 0; i < 20'000; ++i) keys.keep(std::to_string(i), {{1, {}}, kRead, "key_h"}, now);
  CHECK_FALSE(keys.find("0", now));
  CHECK(keys.find("19999", now));
}

TEST_CASE("HTTP: a revoked key stops working within a second", "[api][http][keys]") {
  TestServer server;
  const auto key = server.key("one", {"read"});
  const Client client(server.server().address(), key);
  REQUIRE(client.get("/containers").status == 200);
  auto keys = KeyStore::open(server.directory() + "/store.db");
  REQUIRE(keys);
  REQUIRE(keys->revoke(key_id_of(sha256_hex(key))));
  const auto began = Clock::now();
  CHECK(within(10s, [&] { return client.get("/containers").status == 401; }));
  CHECK(Clock::now() - began < 3s);
  // Others are remembered all the same.
  CHECK(server.user().get("/containers").status == 200);
}

TEST_CASE("HTTP: a key beyond its rate is told when to come again", "[api][http][rate]") {
  Server::Options options;
  options.limits.requests_per_second = 1;
  options.limits.requests_at_once = 3;
  TestServer server(options);
  for (int i = 0; i < 3; ++i) REQUIRE(server.user().get("/containers").status == 200);
  const auto limited = server.user().get("/containers");
  CHECK(limited.status == 429);
  CHECK(limited.code() == "rate_limited");
  CHECK(limited.json()["error"]["type"] == "rate_limit_error");
  CHECK(limited.headers.at("retry-after") == "1");
  // Others go on: another key, what needs none, and workers about their work.
  CHECK(server.client("one", {"read"}).get("/containers").status == 200);
  CHECK(server.user().get("/healthz").status == 200);
  for (int i = 0; i < 10; ++i) CHECK(server.worker().post("/heartbeat", {{"worker_id", "w"}}).status == 422);
  CHECK(within(10s, [&] { return server.user().get("/containers").status == 200; }));
}

TEST_CASE("HTTP: whoever tries keys is slowed down, and nobody else", "[api][http][rate]") {
  Server::Options options;
  options.limits.bad_keys_per_second = 2;
  TestServer server(options);
  REQUIRE(server.user().get("/containers").status == 200);
  const auto attempt = [&](int i) {
    return Client(server.server().address(), "ak_wrong" + std::to_string(i)).get("/containers");
  };
  int limited = 0;
  for (int i = 0; i < 20; ++i) {
    const auto reply = attempt(i);
    if (reply.status != 429) {
      CHECK(reply.status == 401);
      continue;
    }
    ++limited;
    CHECK(reply.headers.contains("retry-after"));
    // A key that was good before is not kept out.
    CHECK(server.user().get("/containers").status == 200);
  }
  CHECK(limited >= 10);
  // The address is let in again when it stops.
  const auto fresh = server.client("one", {"read"});
  CHECK(within(10s, [&] { return fresh.get("/containers").status == 200; }));
}

TEST_CASE("HTTP: every answer has the request's id", "[api][http]") {
  TestServer server;
  const auto made = server.user().get("/containers").headers.at("x-request-id");
  CHECK(std::regex_match(made, std::regex("req_[0-9a-z]{26}")));
  CHECK(server.user().get("/containers").headers.at("x-request-id") != made);
  const auto given = server.user().get("/nothing", {{"X-Request-Id", "trace-1.a_B"}});
  CHECK(given.headers.at("x-request-id") == "trace-1.a_B");
  CHECK(given.json()["error"]["request_id"] == "trace-1.a_B");
  for (const std::string& bad :
       {std::string("a b"), std::string("a\"b"), std::string(65, 'x'), std::string("é")}) {
    const auto reply = server.user().get("/nothing", {{"X-Request-Id", bad}});
    CHECK(reply.headers.at("x-request-id").starts_with("req_"));
    CHECK(reply.json()["error"]["request_id"] == reply.headers.at("x-request-id"));
  }
  CHECK(server.user().raw("NONSENSE\r\n\r\n").find("\"request_id\":\"req_") != std::string::npos);
}

TEST_CASE("HTTP: /metrics counts requests by route, for those who may look", "[api][http][metrics]") {
  Server::Options options;
  options.metrics_listen = "127.0.0.1:0";
  TestServer server(options);
  const auto& user = server.user();
  REQUIRE(user.get("/containers").status == 200);
  REQUIRE(user.get("/containers").status == 200);
  REQUIRE(user.get("/containers/secret-name").status == 404);
  REQUIRE(user.get("/nowhere/at/all").status == 404);
  const auto page = server.monitor().get("/metrics");
  REQUIRE(page.status == 200);
  CHECK(page.headers.at("content-type") == "text/plain; version=0.0.4; charset=utf-8");
  const auto series = parse_exposition(page.body);
  CHECK(series.at(R"(assay_api_requests_total{route="GET /containers",status="200"})") == 2);
  CHECK(series.at(R"(assay_api_requests_total{route="GET /containers/{container}",status="404"})") == 1);
  CHECK(series.at(R"(assay_api_requests_total{route="-",status="404"})") == 1);
  CHECK(series.at(R"(assay_api_seconds_count{route="GET /containers"})") == 2);
  CHECK(series.at(R"(assay_api_seconds_bucket{route="GET /containers",le="+Inf"})") == 2);
  CHECK(series.at("assay_connections") >= 1);
  CHECK(series.at(R"(assay_build_info{program="assay",version=")" ASSAY_VERSION R"("})") == 1);
  CHECK(page.body.find("secret-name") == std::string::npos);
  // It shows the whole server, which no key of a project opens.
  CHECK(user.get("/metrics").status == 403);
  CHECK(server.worker().get("/metrics").status == 403);
  CHECK(server.monitor().get("/containers").status == 403);
  CHECK_FALSE(server.server().create_key({"one", "test", {"monitor"}, {}}));
  CHECK_FALSE(server.server().create_key({"*", "test", {"monitor", "read"}, {}}));
  CHECK(Client(server.server().address(), "").get("/metrics").status == 401);
  // The listener for monitors asks for no key, and has nothing else.
  const Client monitor(server.server().metrics_address(), "");
  const auto answer = monitor.raw("GET /metrics HTTP/1.1\r\nHost: m\r\n\r\n");
  REQUIRE(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(parse_exposition(answer.substr(answer.find("\r\n\r\n") + 4)).contains("assay_connections"));
  CHECK(monitor.raw("GET /v1/containers HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
  CHECK(monitor.raw("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n").starts_with("HTTP/1.1 405"));
  CHECK(monitor.raw("NONSENSE\r\n\r\n").empty());
}

}  // namespace assay::api::test
