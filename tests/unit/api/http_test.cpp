// How the server treats requests that are not as they should be.
#include <sys/stat.h>
#include <catch2/catch.hpp>
#include <chrono>

#include "api/http/message.hpp"
#include "tests/unit/api/client.hpp"

namespace assay::api::test {
namespace {

std::string post_head(const std::string& path, const std::string& key, const std::string& more) {
  return "POST /v1" + path + " HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + key +
         "\r\nContent-Type: application/json\r\n" + more + "\r\n";
}

}  // namespace

TEST_CASE("HTTP: keys and their scopes", "[api][http]") {
  TestServer server;
  const Json container = {{"label", "app"}};
  CHECK(Client(server.server().address(), "").get("/containers").status == 401);
  CHECK(Client(server.server().address(), "ak_wrong").get("/containers").code() == "invalid_api_key");
  const auto reader = server.client("one", {"read"});
  CHECK(reader.get("/containers").status == 200);
  CHECK(reader.post("/containers", container).code() == "missing_scope");
  const auto submitter = server.client("one", {"submit"});
  CHECK(submitter.post("/containers", container).status == 200);
  CHECK(submitter.remove("/containers/app").status == 403);
  CHECK(server.worker().get("/containers").status == 403);
  CHECK(server.worker().get("/containers/app/logs").status == 200);
  CHECK(server.user().post("/claims", container).status == 403);
  CHECK(server.user().remove("/containers/app").json()["deleted"] == true);
  CHECK(Client(server.server().address(), "").get("/healthz").status == 200);
  CHECK(Client(server.server().address(), "").get("/readyz").status == 200);
  CHECK_FALSE(server.server().create_key({"one", "k", {"root"}, {}}).has_value());
}

TEST_CASE("HTTP: what is refused, and how", "[api][http]") {
  TestServer server;
  const auto& user = server.user();
  CHECK(user.get("/nothing").code() == "route_not_found");
  const auto wrong_method = user.call("PUT", "/containers", "", {});
  CHECK(wrong_method.status == 405);
  CHECK(wrong_method.headers.at("allow") == "POST, GET");
  CHECK(user.call("POST", "/containers", "{}", {{"Content-Type", "text/plain"}}).status == 415);
  const Headers json = {{"Content-Type", "application/json"}};
  CHECK(user.call("POST", "/containers", "{", json).code() == "invalid_json");
  CHECK(user.call("POST", "/containers", "{\"label\":\"\xff\"}", json).status == 400);
  CHECK(user.call("POST", "/containers", std::string(100, '['), json).status == 400);
  CHECK(user.call("POST", "/containers", "[]", json).status == 422);
  CHECK(user.call("POST", "/containers", "{\"label\":\"a\",\"label\":\"b\"}", json).status == 400);
  CHECK(user.get("/containers?limit=0").param() == "limit");
  CHECK(user.get("/containers?limit=101").status == 422);
  CHECK(user.get("/containers?limt=1").param() == "limt");
  CHECK(user.get("/containers?x=%zz").status == 400);
  const auto unknown = user.post("/containers", {{"label", 3}, {"lable", "x"}});
  CHECK(unknown.status == 422);
  CHECK(unknown.param() == "label");
  CHECK(unknown.body.find("lable is not a field") != std::string::npos);
}

TEST_CASE("Problem: what may pass says when to try again", "[api][http]") {
  const auto retry_after = [](const Problem& problem) {
    const auto response = response_from(problem);
    for (const auto& [name, value] : response.headers)
      if (name == "Retry-After") return value;
    return std::string();
  };
  CHECK(retry_after({503, "store_unavailable", "m"}) == "1");
  CHECK(retry_after(Problem(Error{ErrorKind::transport, "m"})) == "1");
  Problem limited(429, "rate_limited", "m");
  limited.retry_after = std::chrono::seconds(7);
  CHECK(retry_after(limited) == "7");
  CHECK(retry_after({500, "internal", "m"}).empty());
  CHECK(retry_after({404, "x", "m"}).empty());
}

TEST_CASE("HTTP: text that a store could not keep is refused where it enters", "[api][http]") {
  TestServer server;
  const auto& user = server.user();
  for (const char* bad : {"a%00b", "%ff", "%ed%a0%80", "%00"}) {
    CAPTURE(bad);
    CHECK(user.get("/containers/" + std::string(bad)).code() == "route_not_found");
    const auto value = user.get("/evaluation/runs?container=" + std::string(bad));
    CHECK(value.status == 422);
    CHECK(value.param() == "container");
    CHECK(user.get("/containers?" + std::string(bad) + "=1").status == 422);
    CHECK(user.upload(bad, numbered_lines(1)).status == 422);
  }
  for (const char* name : {"tab%09", "line%0a", "del%7f"})
    CHECK(user.upload(name, numbered_lines(1)).param() == "name");
  for (const std::string& label : {std::string("a\nb"), std::string("a\0b", 3), std::string("a\x7f")}) {
    const auto refused = user.post("/containers", {{"label", label}});
    CHECK(refused.status == 422);
    CHECK(refused.param() == "label");
  }
  auto evaluator = lua_evaluator("e");
  evaluator["description"] = "two\nlines\tand a tab";
  CHECK(user.post("/evaluators", evaluator).status == 200);
  evaluator["name"] = "f";
  evaluator["description"] = std::string("nul\0", 4);
  CHECK(user.post("/evaluators", evaluator).param() == "description");
  evaluator["description"] = "";
  evaluator["requirements"] = {"numpy\n"};
  evaluator["language"] = "python";
  CHECK(user.post("/evaluators", evaluator).param() == "requirements[0]");
  CHECK(user.post("/containers", {{"label", "k"}}, {{"Idempotency-Key", "\xff"}}).status == 422);
  // What is kept as JSON text keeps its escapes.
  CHECK(user.post("/containers", {{"label", "m"}, {"metadata", {{"x", std::string("\0", 1)}}}}).status ==
        200);
}

TEST_CASE("HTTP: a body over the limit is refused before and while it arrives", "[api][http]") {
  Server::Options options;
  options.limits.json_body_bytes = 1 << 20;
  TestServer server(options, true);
  const auto key = server.key("one", {"submit"});
  const Client client(server.server().address(), key);
  const auto large = client.call("POST", "/containers", std::string(size_t{100} << 20, ' '),
                                 {{"Content-Type", "application/json"}});
  CHECK(large.status == 413);
  CHECK(large.headers.at("connection") == "close");
  std::string chunks;
  for (int i = 0; i < 20; ++i) chunks += "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  CHECK(client.raw(post_head("/containers", key, "Transfer-Encoding: chunked\r\n") + chunks + "0\r\n\r\n")
            .starts_with("HTTP/1.1 413"));
}

TEST_CASE("HTTP: slow and broken clients", "[api][http]") {
  Server::Options options;
  options.timeouts.header = std::chrono::milliseconds(100);
  options.timeouts.body = std::chrono::milliseconds(100);
  options.timeouts.keep_alive = std::chrono::milliseconds(200);
  TestServer server(options);
  const auto key = server.key("one", {"submit"});
  const Client client(server.server().address(), key);
  CHECK(client.raw("GET /v1/healthz HT").starts_with("HTTP/1.1 408"));
  CHECK(
      client.raw(post_head("/containers", key, "Content-Length: 100\r\n") + "{").starts_with("HTTP/1.1 408"));
  CHECK(client.raw("NONSENSE\r\n\r\n").starts_with("HTTP/1.1 400"));
  CHECK(client.raw("GET /v1/healthz HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n")
            .starts_with("HTTP/1.1 431"));
  CHECK(client.raw("") == "");  // idle: closed without a word
  // Pipelined: two answers on one connection, then it idles out.
  const std::string twice =
      client.raw("GET /v1/healthz HTTP/1.1\r\n\r\nGET /api/v1/healthz HTTP/1.1\r\n\r\n");
  CHECK(twice.find("200 OK", 20) != std::string::npos);
  CHECK(client
            .raw(post_head("/containers", key,
                           "Content-Length: 13\r\nExpect: 100-continue\r\nConnection: close\r\n") +
                 "{\"label\":\"a\"}")
            .starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"));
}

TEST_CASE("HTTP: an Idempotency-Key gives the first answer again", "[api][http]") {
  TestServer server;
  const auto& user = server.user();
  const Headers once = {{"Idempotency-Key", "k1"}};
  const auto first = user.post("/containers", {{"label", "app"}}, once);
  REQUIRE(first.status == 200);
  const auto again = user.post("/containers", {{"label", "app"}}, once);
  CHECK(again.body == first.body);
  CHECK(again.headers.at("idempotent-replay") == "true");
  CHECK(user.post("/containers", {{"label", "other"}}, once).code() == "idempotency_mismatch");
  CHECK(user.post("/containers", {{"label", "app"}}).code() == "label_conflict");
  const Headers rows = {{"Idempotency-Key", "k2"}};
  const auto uploaded = user.upload("d", numbered_lines(300), rows);
  REQUIRE(uploaded.status == 200);
  CHECK(user.upload("d", numbered_lines(300), rows).body == uploaded.body);
  CHECK(user.upload("d", numbered_lines(301), rows).code() == "idempotency_mismatch");
  // Another project's keys are its own.
  CHECK(server.client("two", {"submit"}).post("/containers", {{"label", "app"}}, once).body != first.body);
}

TEST_CASE("Server: it says why it does not start", "[api][server]") {
  TestServer server({}, true);
  Server::Options options;
  options.store = server.directory() + "/store.db";
  const auto held = Server::start(options);
  REQUIRE_FALSE(held);
  CHECK(held.error().message.find("another process holds the store") != std::string::npos);
  options.store = ":memory:";
  options.listen = server.server().address();
  const auto in_use = Server::start(options);
  REQUIRE_FALSE(in_use);
  CHECK(in_use.error().message.find("Address already in use") != std::string::npos);
  options.listen = "nonsense";
  CHECK_FALSE(Server::start(options));
  options.listen = "unix:" + server.directory() + "/b.sock";
  const auto quiet = Server::start(options);
  REQUIRE(quiet);
  struct stat status{};
  REQUIRE(::stat((server.directory() + "/b.sock").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK_FALSE(Server::start(options));
}

}  // namespace assay::api::test
