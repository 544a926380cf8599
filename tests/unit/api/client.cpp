#include "tests/unit/api/client.hpp"

#include <stdlib.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <catch2/catch.hpp>
#include <filesystem>

namespace assay::api::test {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Socket = asio::generic::stream_protocol::socket;

Socket connect(asio::io_context& io, const std::string& address) {
  if (address.starts_with("unix:")) {
    asio::local::stream_protocol::socket socket(io);
    socket.connect(asio::local::stream_protocol::endpoint(address.substr(5)));
    return Socket(std::move(socket));
  }
  const size_t colon = address.rfind(':');
  asio::ip::tcp::socket socket(io);
  const auto port = static_cast<unsigned short>(std::stoi(address.substr(colon + 1)));
  socket.connect({asio::ip::make_address(address.substr(0, colon)), port});
  return Socket(std::move(socket));
}

}  // namespace

std::string Reply::code() const {
  const auto parsed = json();
  return parsed.contains("error") ? parsed["error"].value("code", "") : "";
}

std::string Reply::param() const {
  const auto parsed = json();
  return parsed.contains("error") && parsed["error"]["param"].is_string()
             ? parsed["error"]["param"].get<std::string>()
             : "";
}

Reply Client::post(const std::string& path, const Json& body, Headers headers) const {
  headers.emplace("Content-Type", "application/json");
  return call("POST", path, body.dump(), std::move(headers));
}

Reply Client::patch(const std::string& path, const Json& body) const {
  return call("PATCH", path, body.dump(), {{"Content-Type", "application/json"}});
}

Reply Client::upload(const std::string& name, const std::string& lines, Headers headers) const {
  headers.emplace("Content-Type", "application/jsonl");
  return call("POST", "/datasets?name=" + name, lines, std::move(headers));
}

Reply Client::call(const std::string& method, const std::string& path, const std::string& body,
                   Headers headers) const {
  asio::io_context io;
  Socket socket = connect(io, address_);
  http::request<http::string_body> request;
  request.method_string(method);
  request.target("/v1" + path);
  request.version(11);
  request.set(http::field::host, "test");
  if (!key_.empty()) request.set(http::field::authorization, "Bearer " + key_);
  for (const auto& [name, value] : headers) request.set(name, value);
  request.body() = body;
  request.prepare_payload();
  boost::system::error_code error;
  http::write(socket, request,
              error);  // may fail half way when the server answers before the end of the body
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(size_t{1} << 30);
  http::read(socket, buffer, parser, error);
  Reply reply;
  if (error) {
    reply.body = error.message();
    return reply;
  }
  const auto& message = parser.get();
  reply.status = message.result_int();
  reply.body = message.body();
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    reply.headers[name] = std::string(field.value());
  }
  return reply;
}

std::string Client::raw(std::string_view bytes) const {
  asio::io_context io;
  Socket socket = connect(io, address_);
  boost::system::error_code error;
  asio::write(socket, asio::buffer(bytes), error);
  std::string answer;
  std::array<char, 4096> piece{};
  while (!error) {
    const size_t count = socket.read_some(asio::buffer(piece), error);
    answer.append(piece.data(), count);
  }
  return answer;
}

TestServer::TestServer(Server::Options options, bool tcp) : options_(std::move(options)) {
  auto pattern = (std::filesystem::temp_directory_path() / "assay-api-test-XXXXXX").string();
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  directory_ = pattern;
  options_.store = directory_ + "/store.db";
  options_.listen = tcp ? "127.0.0.1:0" : "unix:" + directory_ + "/api.sock";
  start_again();
  user_key_ = key("one", {"admin", "submit", "read"});
  worker_key_ = key("one", {"worker"});
  user_ = std::make_unique<Client>(server_->address(), user_key_);
  worker_ = std::make_unique<Client>(server_->address(), worker_key_);
  monitor_ = std::make_unique<Client>(server_->address(), key("*", {"monitor"}));
}

TestServer::~TestServer() {
  server_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void TestServer::start_again() {
  auto started = Server::start(options_);
  if (!started) FAIL(started.error().message);
  server_ = std::move(*started);
}

std::string TestServer::key(const std::string& project, const std::vector<std::string>& scopes) {
  const auto made = server_->create_key({project, "test", scopes, {}});
  if (!made) FAIL(made.error().message);
  return *made;
}

Client TestServer::client(const std::string& project, const std::vector<std::string>& scopes) {
  return {server_->address(), key(project, scopes)};
}

Json lua_evaluator(const std::string& name) {
  return {{"name", name},
          {"type", "code"},
          {"language", "lua"},
          {"code", "function run_evaluation(item) return 1 end"},
          {"pass_threshold", 0.5}};
}

std::string numbered_lines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i)
    lines += "{\"q\":" + std::to_string(i) + ",\"a\":\"" + std::to_string(i) + "\"}\n";
  return lines;
}

}  // namespace assay::api::test
