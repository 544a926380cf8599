#include "tests/unit/api/test_worker.hpp"

#include <catch2/catch.hpp>

namespace assay::api::test {

TestWorker::TestWorker(const Client& client, std::string name, std::string boot)
    : client_(client), name_(std::move(name)), boot_(std::move(boot)) {
  const auto reply = client_.post("/workers", {{"name", name_},
                                               {"boot_id", boot_},
                                               {"version", "test"},
                                               {"protocol", 1},
                                               {"slots", 4},
                                               {"environments", {"main"}},
                                               {"labels", {"language:lua", "language:python"}},
                                               {"sandbox", "full"}});
  if (reply.status == 200) id_ = reply.json()["worker_id"].get<std::string>();
}

Json TestWorker::signed_body() const {
  return {{"worker_id", id_}, {"boot_id", boot_}};
}

Json TestWorker::claim(int max, int wait_ms, const std::string& claim_id) {
  Json body = signed_body();
  body["claim_id"] = claim_id.empty() ? name_ + boot_ + std::to_string(++claims_) : claim_id;
  body["max"] = max;
  body["wait_ms"] = wait_ms;
  const auto reply = client_.post("/claims", body);
  return reply.status == 200 ? reply.json()["leases"] : Json::array();
}

Reply TestWorker::heartbeat(const std::vector<Json>& leases) const {
  Json body = signed_body();
  body["state"] = "run";
  body["leases"] = Json::array();
  for (const auto& lease : leases)
    body["leases"].push_back({{"run", lease["run"]},
                              {"shard", lease["shard"]},
                              {"epoch", lease["epoch"]},
                              {"token", lease["token"]}});
  return client_.post("/heartbeat", body);
}

Reply TestWorker::control(const Json& lease, const std::string& verb, Json more) const {
  Json body = signed_body();
  body["epoch"] = lease["epoch"];
  body["token"] = lease["token"];
  body.update(more);
  return client_.post("/runs/" + lease["run"].get<std::string>() + "/shards/" +
                          std::to_string(lease["shard"].get<int64_t>()) + "/" + verb,
                      body);
}

Reply TestWorker::complete(const std::vector<Json>& leases) const {
  Json body = signed_body();
  body["leases"] = Json::array();
  for (const auto& lease : leases)
    body["leases"].push_back({{"run", lease["run"]},
                              {"shard", lease["shard"]},
                              {"epoch", lease["epoch"]},
                              {"token", lease["token"]}});
  return client_.post("/complete", body);
}

std::string TestWorker::complete(const Json& lease) const {
  return complete(std::vector<Json>{lease}).json()["leases"][0]["verdict"];
}

Reply TestWorker::append(const Json& lease, const Json& outcomes) const {
  return control(lease, "outcomes", {{"batch", 1}, {"outcomes", outcomes}});
}

void TestWorker::finish(const Json& lease, const std::function<double(int)>& score, int evaluators) const {
  Json outcomes = Json::array();
  for (int item = lease["lo"]; item < lease["hi"]; ++item)
    for (int evaluator = 0; evaluator < evaluators; ++evaluator)
      outcomes.push_back({{"item", item},
                          {"evaluator", evaluator},
                          {"score", score(item)},
                          {"passed", score(item) >= 0.5},
                          {"usage", {{"wall_us", 1000 + item}}}});
  for (size_t from = 0; from < outcomes.size(); from += 500) {
    const auto end = outcomes.begin() + static_cast<long>(std::min(outcomes.size(), from + 500));
    append(lease, Json(std::vector<Json>(outcomes.begin() + static_cast<long>(from), end)));
  }
  complete(lease);
}

int TestWorker::work(const std::function<double(int)>& score, int evaluators) {
  int shards = 0;
  for (auto leases = claim(4); !leases.empty(); leases = claim(4))
    for (const auto& lease : leases) {
      finish(lease, score, evaluators);
      ++shards;
    }
  return shards;
}

}  // namespace assay::api::test
