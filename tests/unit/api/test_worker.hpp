// A worker that speaks the protocol and makes its outcomes up.
#pragma once

#include <functional>

#include "tests/unit/api/client.hpp"

namespace assay::api::test {

class TestWorker {
 public:
  TestWorker(const Client& client, std::string name, std::string boot = "boot-1");

  Json claim(int max = 1, int wait_ms = 0, const std::string& claim_id = "");
  Reply heartbeat(const std::vector<Json>& leases) const;
  Reply append(const Json& lease, const Json& outcomes) const;
  Reply control(const Json& lease, const std::string& verb, Json more = Json::object()) const;
  Reply complete(const std::vector<Json>& leases) const;
  /// The verdict.
  std::string complete(const Json& lease) const;
  /// Appends a score for every item and completes.
  void finish(const Json& lease, const std::function<double(int)>& score, int evaluators = 1) const;
  /// Claims and finishes until nothing is left.
  int work(const std::function<double(int)>& score, int evaluators = 1);

  const std::string& id() const { return id_; }

 private:
  Json signed_body() const;
  const Client& client_;
  std::string name_, boot_, id_;
  int claims_ = 0;
};

}  // namespace assay::api::test
