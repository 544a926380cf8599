// Clients that hold on to a connection: each is let go in time, and told why when it can be.
#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <thread>

#include "api/http/deadlines.hpp"
#include "core/fd.hpp"
#include "tests/unit/api/client.hpp"
#include "tests/unit/api/exposition.hpp"
#include "tests/unit/api/test_worker.hpp"

namespace assay::api::test {
namespace {

using namespace std::chrono_literals;

/// A connection that does what it likes.
class Peer {
 public:
  explicit Peer(const std::string& address) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un to{.sun_family = AF_UNIX};
    address.copy(to.sun_path, sizeof to.sun_path - 1, std::string("unix:").size());
    REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
    const timeval patience{.tv_sec = 30};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  bool send(std::string_view bytes) {
    return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  /// Whether anything, or the end, can be read without waiting.
  bool answered() {
    char byte = 0;
    return ::recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
  }
  /// What is there when something is; "" at the end.
  std::string read() {
    std::string piece(65536, '\0');
    const auto count = ::recv(fd_.get(), piece.data(), piece.size(), 0);
    piece.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return piece;
  }
  std::string read_all() {
    std::string all;
    for (std::string piece = read(); !piece.empty(); piece = read()) all += piece;
    return all;
  }
  /// Sends `piece` every 10 ms until the server answers: how long that took.
  Clock::duration drip(std::string_view piece) {
    const auto began = Clock::now();
    while (!answered() && Clock::now() - began < 20s) {
      send(piece);
      std::this_thread::sleep_for(10ms);
    }
    return Clock::now() - began;
  }

 private:
  UniqueFd fd_;
};

std::string head(const std::string& key, const std::string& more) {
  return "POST /v1/containers HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer " + key +
         "\r\nContent-Type: application/json\r\n" + more + "\r\n";
}

constexpr std::string_view kHealth = "GET /v1/healthz HTTP/1.1\r\nHost: t\r\n\r\n";

double open_connections(const TestServer& server) {
  return parse_exposition(server.monitor().get("/metrics").body).at("assay_connections");
}

}  // namespace

TEST_CASE("Pace: patience is used up by waiting and earned by bytes, up to where it began", "[api][limits]") {
  Pace pace(10s, 100);
  CHECK(pace.left() == 10s);
  pace.waited(9s, 1);
  CHECK(pace.left() == 1s + 10ms);
  pace.waited(1s, 500);
  CHECK(pace.left() == 5s + 10ms);
  pace.waited(0s, 1'000'000'000);
  CHECK(pace.left() == 10s);
  pace.waited(1h, 0);
  CHECK(pace.left() == 0s);
}

TEST_CASE("Limits: a request that arrives byte by byte is given up", "[api][limits]") {
  Server::Options options;
  options.timeouts.header = 200ms;
  options.timeouts.body = 300ms;
  TestServer server(options);
  const auto key = server.key("one", {"submit"});
  const auto& address = server.server().address();
  SECTION("in its header") {
    Peer peer(address);
    peer.send("GET /v1/healthz HTTP/1.1\r\nX: ");
    CHECK(peer.drip("x") < 15s);
    CHECK(peer.read_all().starts_with("HTTP/1.1 408"));
  }
  SECTION("in its body") {
    Peer peer(address);
    peer.send(head(key, "Content-Length: 100000\r\n"));
    CHECK(peer.drip(" ") < 15s);  // 100 bytes a second, each of them in time
    CHECK(peer.read_all().starts_with("HTTP/1.1 408"));
  }
  SECTION("in its chunks") {
    Peer peer(address);
    peer.send(head(key, "Transfer-Encoding: chunked\r\n"));
    CHECK(peer.drip("1\r\n \r\n") < 15s);
    CHECK(peer.read_all().starts_with("HTTP/1.1 408"));
  }
  SECTION("but one that is only slow is taken") {
    Peer peer(address);
    const std::string body = R"({"label":"slow"})" + std::string(3000, ' ');
    peer.send(head(key, "Connection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n"));
    for (size_t sent = 0; sent < body.size(); sent += 50) {  // 5000 bytes a second, for twice the patience
      peer.send(std::string_view(body).substr(sent, 50));
      std::this_thread::sleep_for(10ms);
    }
    CHECK(peer.read_all().starts_with("HTTP/1.1 200"));
  }
}

TEST_CASE("Limits: a header has an end, in bytes and in fields", "[api][limits]") {
  TestServer server;
  const auto& user = server.user();
  std::string fields;
  for (int i = 0; i < 99; ++i) fields += "X-" + std::to_string(i) + ": y\r\n";
  CHECK(user.raw("GET /v1/healthz HTTP/1.1\r\nConnection: close\r\n" + fields + "\r\n")
            .starts_with("HTTP/1.1 200"));
  CHECK(user.raw("GET /v1/healthz HTTP/1.1\r\nHost: t\r\n" + fields + "X: y\r\n\r\n")
            .starts_with("HTTP/1.1 431"));
  CHECK(user.raw("GET /v1/" + std::string(20'000, 'x') + " HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 431"));
  // Two ways to end one body: what a proxy makes of that, another may make differently.
  for (const char* both :
       {"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "Content-Length: 2\r\nContent-Length: 3\r\n"})
    CHECK(user.raw("POST /v1/containers HTTP/1.1\r\nHost: t\r\n" + std::string(both) + "\r\n{}")
              .starts_with("HTTP/1.1 400"));
  // The refusal of HEAD is a header alone.
  const auto refused = user.raw("HEAD /v1/healthz HTTP/1.1\r\nConnection: close\r\n\r\n");
  CHECK(refused.starts_with("HTTP/1.1 405"));
  CHECK(refused.ends_with("\r\n\r\n"));
}

TEST_CASE("Limits: a client that does not read its answer is let go", "[api][limits]") {
  Server::Options options;
  options.timeouts.write = 200ms;
  TestServer server(options);
  std::string rows;
  for (int i = 0; i < 1000; ++i) rows += R"({"x":")" + std::string(20'000, 'a') + "\"}\n";
  REQUIRE(server.user().upload("large", rows).status == 200);
  const auto key = server.key("one", {"read"});
  Peer peer(server.server().address());
  peer.send(
      "GET /v1/datasets/large/rows HTTP/1.1\r\nHost: t\r\nAccept: application/jsonl\r\nAuthorization: "
      "Bearer " +
      key + "\r\n\r\n");
  const auto end = Clock::now() + 20s;
  while (!peer.answered() && Clock::now() < end) std::this_thread::sleep_for(10ms);
  // Seen once: the connection of the look before may still be counted at the next.
  double open = open_connections(server);
  for (; open > 1 && Clock::now() < end; open = open_connections(server)) std::this_thread::sleep_for(10ms);
  CHECK(open == 1);
  const auto rest = peer.read_all();
  CHECK(rest.starts_with("HTTP/1.1 200"));
  CHECK(rest.size() < rows.size());
}

TEST_CASE("Limits: a client that says nothing is let go", "[api][limits]") {
  Server::Options options;
  options.timeouts.keep_alive = 200ms;
  TestServer server(options);
  Peer silent(server.server().address());
  CHECK(silent.read_all().empty());
  Peer after(server.server().address());
  after.send(kHealth);
  CHECK(after.read_all().starts_with("HTTP/1.1 200"));  // and the end of the connection
}

TEST_CASE("Limits: connections that are at nothing keep nobody out", "[api][limits]") {
  Server::Options options;
  options.limits.connections = 16;
  TestServer server(options);
  std::vector<std::unique_ptr<Peer>> idle;
  for (int i = 0; i < 48; ++i) {
    idle.push_back(std::make_unique<Peer>(server.server().address()));
    if (i % 3 == 1) idle.back()->send("GET /v1/healthz HTT");
    if (i % 3 != 2) continue;
    idle.back()->send(kHealth);
    REQUIRE(idle.back()->read().starts_with("HTTP/1.1 200"));
  }
  const auto began = Clock::now();
  const TestWorker worker(server.worker(), "one");
  CHECK(worker.heartbeat({}).status == 200);
  CHECK(Clock::now() - began < 5s);
  // Those that were idle longest had to go, and one that is new is there.
  CHECK(idle.front()->read().empty());
  idle.back()->send(kHealth);
  CHECK(idle.back()->read().starts_with("HTTP/1.1 200"));
  const auto page = parse_exposition(server.monitor().get("/metrics").body);
  CHECK(page.at("assay_connections_closed_early_total") >= 32);
  CHECK(page.at("assay_connections_refused_total") == 0);
}

TEST_CASE("Limits: where all are at a request more clients are asked to come again", "[api][limits]") {
  Server::Options options;
  options.limits.connections = 3;
  TestServer server(options);
  const auto key = server.key("one", {"submit"});
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<Peer>(server.server().address()));
    peers.back()->send(head(key, "Content-Length: 100\r\nExpect: 100-continue\r\n"));
    REQUIRE(peers.back()->read().starts_with("HTTP/1.1 100"));  // its body is waited for
  }
  for (int i = 0; i < 100; ++i) {
    Peer more(server.server().address());
    more.send(kHealth);
    const auto answer = more.read_all();
    if (i == 0) {
      CHECK(answer.starts_with("HTTP/1.1 503"));
      CHECK(answer.find("Retry-After: 1\r\n") != std::string::npos);
      CHECK(answer.find("\"code\":\"overloaded\"") != std::string::npos);
    }
  }
  peers.pop_back();
  const auto end = Clock::now() + 20s;
  std::string answer;
  while (!answer.starts_with("HTTP/1.1 200") && Clock::now() < end) {
    Peer again(server.server().address());
    again.send(kHealth);
    answer = again.read();
  }
  CHECK(answer.starts_with("HTTP/1.1 200"));
  peers.clear();
  double refused = 0;
  while (refused < 100 && Clock::now() < end) {
    const auto page = server.monitor().get("/metrics");
    if (page.status == 200) refused = parse_exposition(page.body).at("assay_connections_refused_total");
  }
  CHECK(refused >= 100);
}

}  // namespace assay::api::test
