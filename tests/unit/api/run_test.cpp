// A run from its creation to its metrics, over HTTP.
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "tests/unit/api/test_worker.hpp"

namespace assay::api::test {
namespace {

Json wait_until_terminal(const Client& client, const std::string& run) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  Json seen;
  while (std::chrono::steady_clock::now() < deadline) {
    seen = client.get("/evaluation/runs/" + run).json();
    if (seen["status"] != "queued" && seen["status"] != "running") break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return seen;
}

}  // namespace

TEST_CASE("Run: it goes from its creation to its metrics", "[api][run]") {
  TestServer server;
  const auto& user = server.user();
  REQUIRE(user.post("/containers", {{"label", "app"}}).status == 200);
  const auto dataset = user.upload("numbers", numbered_lines(1000));
  INFO(dataset.body);
  REQUIRE(dataset.status == 200);
  CHECK(dataset.json()["rows"] == 1000);
  CHECK(dataset.json()["columns"] == Json({"q", "a"}));
  REQUIRE(user.post("/evaluators", lua_evaluator("exact")).status == 200);
  const Json side = {{"type", "dataset"}, {"dataset", "numbers"}, {"columns", {{"input", "q"}, {"output", "a"}}}};
  const auto created = user.post(
      "/evaluation/runs", {{"container", "app"}, {"evaluators", {"exact"}}, {"sample", side}, {"ground_truth", side}});
  INFO(created.body);
  REQUIRE(created.status == 200);
  const auto run = created.json()["id"].get<std::string>();
  CHECK(created.json()["status"] == "queued");

  TestWorker worker(server.worker(), "w1");
  const auto spec = server.worker().get("/worker/runs/" + run).json();
  CHECK(spec["items"] == 1000);
  CHECK(spec["sample"]["columns"]["input"] == "q");
  const auto rows = server.worker().get("/datasets/" + spec["sample"]["dataset"].get<std::string>() + "/rows?rows=0,5,998-999");
  CHECK(rows.body == "{\"q\":0,\"a\":\"0\"}\n{\"q\":5,\"a\":\"5\"}\n{\"q\":998,\"a\":\"998\"}\n{\"q\":999,\"a\":\"999\"}\n");
  CHECK(worker.work([](int item) { return item % 4 == 0 ? 0.0 : 1.0; }) == 63);

  const auto done = wait_until_terminal(user, run);
  INFO(done.dump(2));
  CHECK(done["status"] == "completed");
  CHECK(done["results"].size() == 100);
  CHECK(done["progress"]["items_done"] == 1000);
  CHECK(done["sandbox"] == Json({"full"}));
  const auto metrics = done["metrics"][0];
  CHECK(metrics["count"] == 1000);
  CHECK(metrics["mean"] == 0.75);
  CHECK(metrics["pass_rate"] == 0.75);
  CHECK(metrics["errors"] == 0);

  const auto lines = user.get("/evaluation/runs/" + run + "/results", {{"Accept", "application/jsonl"}});
  CHECK(std::ranges::count(lines.body, '\n') == 1000);
  const auto failed = user.get("/evaluation/runs/" + run + "/results?failed=true&limit=200").json();
  CHECK(failed["total"] == 250);
  CHECK(failed["data"].size() == 200);
  const auto rest = user.get(failed["next"].get<std::string>().substr(3)).json();
  CHECK(rest["data"].size() == 50);
  CHECK(rest["data"][0]["index"] == 800);
}

}  // namespace assay::api::test
