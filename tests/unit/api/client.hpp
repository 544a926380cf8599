// A small blocking HTTP client and a server with its keys, for the tests of the API.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "api/server.hpp"
#include "core/json.hpp"

namespace assay::api::test {

using Headers = std::map<std::string, std::string>;

struct Reply {
  int status = 0;
  std::string body;
  Headers headers;  ///< names in lower case

  Json json() const { return Json::parse(body, nullptr, false); }
  /// The error's code, or "" when it is none.
  std::string code() const;
  std::string param() const;
};

/// A connection of its own for every call, so that clients may be used from several threads.
class Client {
 public:
  Client(std::string address, std::string key) : address_(std::move(address)), key_(std::move(key)) {}

  Reply get(const std::string& path, Headers headers = {}) const {
    return call("GET", path, "", std::move(headers));
  }
  Reply post(const std::string& path, const Json& body, Headers headers = {}) const;
  Reply patch(const std::string& path, const Json& body) const;
  Reply remove(const std::string& path) const { return call("DELETE", path, "", {}); }
  Reply upload(const std::string& name, const std::string& lines, Headers headers = {}) const;
  /// `path` is from behind "/v1".
  Reply call(const std::string& method, const std::string& path, const std::string& body,
             Headers headers) const;
  /// Sends bytes as they are and reads until the server closes.
  std::string raw(std::string_view bytes) const;

 private:
  std::string address_, key_;
};

/// A server on a Unix socket in a directory of its own, with a key of each kind for project "one".
class TestServer {
 public:
  explicit TestServer(Server::Options options = {}, bool tcp = false);
  ~TestServer();

  void stop() { server_.reset(); }
  void start_again();
  Server& server() { return *server_; }
  std::string key(const std::string& project, const std::vector<std::string>& scopes);
  Client client(const std::string& project, const std::vector<std::string>& scopes);

  const Client& user() const { return *user_; }
  const Client& worker() const { return *worker_; }
  /// Its key opens /metrics.
  const Client& monitor() const { return *monitor_; }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  Server::Options options_;
  std::unique_ptr<Server> server_;
  std::string user_key_, worker_key_;
  std::unique_ptr<Client> user_, worker_, monitor_;
};

/// A Lua evaluator, ready to be posted.
Json lua_evaluator(const std::string& name);
/// "{"q":0,"a":"0"}…" of `count` rows.
std::string numbered_lines(int count);

}  // namespace assay::api::test
