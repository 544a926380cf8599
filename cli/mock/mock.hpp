// A stand-in for a model's endpoint: what it answers to each request, whoever carries the bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/async/task.hpp"

namespace assay::cli::mock {

struct Script;

/// Valid while it is answered.
struct HttpRequest {
  std::string_view method, target, key, body;
};

struct HttpAnswer {
  int status = 200;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  Clock::duration delay{0};  ///< before it is sent
  std::string_view content_type = "application/json";
};

/// What the server tells of itself for the counts.
struct Traffic {
  uint64_t connections = 0;
  uint64_t in_flight = 0, most_in_flight = 0;  ///< requests that were read and are not answered
};

/// POST …/chat/completions, …/responses, …/messages; GET …/models, /mock/stats; POST /mock/limits. What is
/// before the last part of a path is as the client likes it. Not thread-safe.
class Mock {
 public:
  explicit Mock(Script script);
  ~Mock();
  Mock(const Mock&) = delete;
  Mock& operator=(const Mock&) = delete;

  HttpAnswer answer(const HttpRequest& request, Clock::time_point now);
  Traffic& traffic();
  /// Requests for a completion so far.
  uint64_t requests() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay::cli::mock
