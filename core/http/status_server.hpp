// A few pages of a program for those who watch it (/metrics, /livez): plain HTTP, GET and HEAD only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "core/async/task.hpp"
#include "core/error.hpp"

namespace assay::http {

struct StatusPage {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string text;
};

/// Not thread-safe: everything runs on the executor. Each connection has one request and 10 s; there are 32
/// at most, others are closed.
class StatusServer {
 public:
  using Pages = std::map<std::string, std::function<Task<StatusPage>()>, std::less<>>;

  /// "HOST:PORT" or "unix:/PATH". Serves at once.
  static Result<std::unique_ptr<StatusServer>> start(asio::any_io_executor executor,
                                                     const std::string& address, Pages pages);
  StatusServer(const StatusServer&) = delete;
  StatusServer& operator=(const StatusServer&) = delete;
  /// After close().
  ~StatusServer();

  /// With the real port.
  std::string address() const;
  /// Ends what is going on, and waits for that.
  Task<> close();

 private:
  struct Impl;
  explicit StatusServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::http
