// A run from its creation to its metrics, over HTTP.
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <thread>

#include "tests/unit/api/exposition.hpp"
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

/// A container, a dataset of `rows` rows and the evaluators "exact" and "other".
void furnish(const Client& user, int rows) {
  REQUIRE(user.post("/containers", {{"label", "app"}}).status == 200);
  REQUIRE(user.upload("numbers", numbered_lines(rows)).status == 200);
  REQUIRE(user.post("/evaluators", lua_evaluator("exact")).status == 200);
  REQUIRE(user.post("/evaluators", lua_evaluator("other")).status == 200);
}

std::string start_run(const Client& user, Json more = Json::object()) {
  const Json side = {{"type", "dataset"}, {"dataset", "numbers"}};
  Json body = {{"container", "app"}, {"evaluators", {"exact"}}, {"sample", side}, {"ground_truth", side}};
  body.update(more);
  const auto created = user.post("/evaluation/runs", body);
  if (created.status != 200) FAIL(created.body);
  return created.json()["id"].get<std::string>();
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
  const Json side = {
      {"type", "dataset"}, {"dataset", "numbers"}, {"columns", {{"input", "q"}, {"output", "a"}}}};
  const auto created =
      user.post("/evaluation/runs",
                {{"container", "app"}, {"evaluators", {"exact"}}, {"sample", side}, {"ground_truth", side}});
  INFO(created.body);
  REQUIRE(created.status == 200);
  const auto run = created.json()["id"].get<std::string>();
  CHECK(created.json()["status"] == "queued");

  TestWorker worker(server.worker(), "w1");
  const auto spec = server.worker().get("/worker/runs/" + run).json();
  CHECK(spec["items"] == 1000);
  CHECK(spec["sample"]["columns"]["input"] == "q");
  const auto rows = server.worker().get("/datasets/" + spec["sample"]["dataset"].get<std::string>() +
                                        "/rows?rows=0,5,998-999");
  CHECK(
      rows.body ==
      "{\"q\":0,\"a\":\"0\"}\n{\"q\":5,\"a\":\"5\"}\n{\"q\":998,\"a\":\"998\"}\n{\"q\":999,\"a\":\"999\"}\n");
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

TEST_CASE("Run: the metrics are the same to the last bit in whatever order outcomes come", "[api][run]") {
  TestServer server;
  furnish(server.user(), 200);
  const auto score = [](int item) { return 1.0 / (item + 1.7); };
  const auto metrics_of = [&](bool backwards) {
    const auto run = start_run(server.user(), {{"evaluators", {"exact", "other"}}, {"shard_size", 7}});
    TestWorker worker(server.worker(), "w", backwards ? "b2" : "b1");
    Json leases = worker.claim(100);
    if (backwards) leases = Json(std::vector<Json>(leases.rbegin(), leases.rend()));
    for (const auto& lease : leases) worker.finish(lease, score, 2);
    auto metrics = wait_until_terminal(server.user(), run)["metrics"];
    return metrics.dump();
  };
  const auto calm = metrics_of(false);
  CHECK(calm == metrics_of(true));
  CHECK(Json::parse(calm).size() == 2);
}

TEST_CASE("Run: errors are counted beside the scores", "[api][run]") {
  TestServer server;
  furnish(server.user(), 4);
  const auto run = start_run(server.user());
  TestWorker worker(server.worker(), "w");
  const auto lease = worker.claim()[0];
  const Json outcomes = {
      {{"item", 0}, {"score", 1}, {"passed", true}, {"reason", "good \u00e9"}, {"metrics", {{"f1", 0.5}}}},
      {{"item", 1}, {"error", {{"kind", "timeout"}, {"message", "10 s"}}}},
      {{"item", 2}, {"skipped", "no input"}},
      {{"item", 3}, {"score", 0.25}, {"passed", false}, {"log", "hm"}}};
  const auto appended = worker.append(lease, outcomes);
  INFO(appended.body);
  CHECK(appended.json()["inserted"] == 4);
  CHECK(appended.json()["verdict"] == "ok");
  CHECK(appended.json()["batch"] == 1);
  const auto partial = server.user().get("/evaluation/runs/" + run).json();
  CHECK(partial["status"] == "running");
  CHECK(partial["metrics"][0]["count"] == 4);
  CHECK(worker.complete(lease) == "done");
  CHECK(worker.complete(lease) == "done");  // the answer was lost, say
  const auto done = wait_until_terminal(server.user(), run);
  const auto metrics = done["metrics"][0];
  INFO(done.dump(2));
  CHECK(metrics["scored"] == 2);
  CHECK(metrics["errors"] == 1);
  CHECK(metrics["skipped"] == 1);
  CHECK(metrics["mean"] == 0.625);
  CHECK(metrics["pass_rate"] == 0.5);
  CHECK(metrics["bounds"] == Json({1.0 / 3, 2.0 / 3}));  // what was skipped is no part of it
  CHECK(metrics["errors_by_kind"] == Json({{"timeout", 1}}));
  const auto& results = done["results"];
  CHECK(results[0]["reason"] == "good \u00e9");
  CHECK(results[1]["error"]["kind"] == "timeout");
  CHECK(results[1]["score"].is_null());
  CHECK(results[2]["skipped"] == "no input");
  CHECK(server.user().get("/evaluation/runs/" + run + "/results?failed=true").json()["total"] == 2);
  CHECK(server.user().get("/evaluation/runs/" + run + "/results?cursor=x").param() == "cursor");
}

TEST_CASE("Run: what models cost is in results, metrics and the run", "[api][run]") {
  TestServer server;
  furnish(server.user(), 2);
  const auto run = start_run(server.user());
  TestWorker worker(server.worker(), "w");
  const auto lease = worker.claim()[0];
  const Json use = {
      {"calls", 2}, {"from_cache", 1}, {"input_tokens", 30}, {"output_tokens", 4}, {"cost", 0.000123}};
  Json outcomes = Json::array();
  for (int item = 0; item < 2; ++item)
    outcomes.push_back({{"item", item}, {"score", 1}, {"usage", {{"models", use}}}});
  REQUIRE(worker.append(lease, outcomes).status == 200);
  REQUIRE(worker.complete(lease) == "done");
  const auto done = wait_until_terminal(server.user(), run);
  INFO(done.dump(2));
  CHECK(done["results"][1]["usage"]["models"] == use);
  CHECK(done["metrics"][0]["models"] ==
        Json({{"calls", 4}, {"input_tokens", 60}, {"output_tokens", 8}, {"cost", 0.000246}}));
  CHECK(done["estimated_spend"] == 0.000246);
}

TEST_CASE("Run: trials of an item are one item", "[api][run]") {
  TestServer server;
  furnish(server.user(), 3);
  const auto run = start_run(server.user(), {{"trials", 2}});
  TestWorker worker(server.worker(), "w");
  const auto lease = worker.claim()[0];
  Json outcomes = Json::array();
  for (int item = 0; item < 3; ++item)
    for (int trial = 0; trial < 2; ++trial)
      outcomes.push_back({{"item", item}, {"trial", trial}, {"score", item}, {"passed", item > 0}});
  REQUIRE(worker.append(lease, outcomes).status == 200);
  REQUIRE(worker.complete(lease) == "done");
  const auto metrics = wait_until_terminal(server.user(), run)["metrics"][0];
  CHECK(metrics["count"] == 6);
  CHECK(metrics["mean"] == 1.0);
  CHECK(metrics["stderr"].get<double>() == Approx(1.0 / std::sqrt(3.0)));  // of 3 items, not of 6 outcomes
}

TEST_CASE("Run: what is refused of a batch", "[api][run]") {
  TestServer server;
  furnish(server.user(), 4);
  start_run(server.user());
  TestWorker worker(server.worker(), "w");
  const auto lease = worker.claim()[0];
  const auto bad = worker.append(lease, {{{"item", 0}, {"score", 1}}, {{"item", 1}, {"score", "x"}}});
  CHECK(bad.status == 422);
  CHECK(bad.param() == "outcomes[1]");
  CHECK(worker.append(lease, {{{"item", 9}, {"score", 1}}}).param() == "outcomes[0]");
  CHECK(worker.append(lease, {{{"item", 0}}}).status == 422);
  CHECK(worker.append(lease, Json(std::vector<Json>(2001, {{"item", 0}, {"score", 1}}))).status == 413);
  const auto incomplete = worker.complete(std::vector<Json>{lease}).json()["leases"][0];
  CHECK(incomplete["verdict"] == "incomplete");
  CHECK(incomplete["missing"] == Json::parse("[[0,4]]"));
  const Reply protocol = server.worker().post(
      "/workers", {{"name", "x"}, {"boot_id", "b"}, {"protocol", 2}, {"sandbox", "full"}});
  CHECK(protocol.code() == "unsupported_protocol");
}

TEST_CASE("Run: a claim waits for work and is woken by it", "[api][run]") {
  TestServer server;
  furnish(server.user(), 4);
  TestWorker worker(server.worker(), "w");
  CHECK(worker.claim(1, 50).empty());
  Json leases;
  const auto begin = std::chrono::steady_clock::now();
  {
    const std::jthread waiting([&] { leases = worker.claim(1, 5000); });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    start_run(server.user());
  }
  CHECK(leases.size() == 1);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
}

TEST_CASE("Run: a lease that runs out goes to the next, and the late worker's outcomes still count",
          "[api][run]") {
  Server::Options options;
  options.lease_ttl = std::chrono::milliseconds(100);
  options.tick = std::chrono::milliseconds(20);
  TestServer server(options);
  furnish(server.user(), 4);
  const auto run = start_run(server.user());
  TestWorker zombie(server.worker(), "zombie"), heir(server.worker(), "heir");
  const auto old = zombie.claim()[0];
  CHECK(zombie.heartbeat({old}).json()["leases"][0]["verdict"] == "ok");
  const auto fresh = heir.claim(1, 2000);
  REQUIRE(fresh.size() == 1);
  CHECK(fresh[0]["attempt"] == 2);
  const auto late = zombie.append(old, {{{"item", 0}, {"score", 1}}});
  CHECK(late.json()["inserted"] == 1);
  CHECK(late.json()["verdict"] == "lost");
  CHECK(zombie.complete(old) == "lost");
  heir.finish(fresh[0], [](int) { return 0.0; });
  const auto done = wait_until_terminal(server.user(), run);
  CHECK(done["status"] == "completed");
  CHECK(done["results"][0]["score"] == 1);
  CHECK(done["results"][1]["score"] == 0);
}

TEST_CASE("Run: workers are told to be heard of three times in a lease's time", "[api][run]") {
  for (const auto& [ttl, heartbeat] : {std::pair{30'000, 10'000}, {3'000, 1'000}, {100, 100}}) {
    Server::Options options;
    options.lease_ttl = std::chrono::milliseconds(ttl);
    TestServer server(options);
    const auto reply = server.worker().post(
        "/workers", {{"name", "w"}, {"boot_id", "b"}, {"protocol", 1}, {"sandbox", "full"}});
    CHECK(reply.json()["lease_ttl_ms"] == ttl);
    CHECK(reply.json()["heartbeat_ms"] == heartbeat);
  }
}

TEST_CASE("Run: a shard is set aside after as many fruitless lives as the server grants", "[api][run]") {
  Server::Options options;
  options.shard_lives = 1;
  options.tick = std::chrono::milliseconds(20);
  TestServer server(options);
  furnish(server.user(), 1);
  const auto run = start_run(server.user());
  const TestWorker first(server.worker(), "w", "one");
  TestWorker unlucky(server.worker(), "w", "two");
  const auto lease = unlucky.claim()[0];
  unlucky.heartbeat({lease});
  const TestWorker successor(server.worker(), "w", "three");
  const auto ended = wait_until_terminal(server.user(), run);
  CHECK(ended["status"] == "error");
}

TEST_CASE("Run: a server that starts again goes on where it was", "[api][run]") {
  TestServer server;
  furnish(server.user(), 40);
  const auto run = start_run(server.user());
  TestWorker worker(server.worker(), "w");
  const auto leases = worker.claim(2);
  REQUIRE(leases.size() == 2);
  worker.finish(leases[0], [](int) { return 1.0; });
  const int lo = leases[1]["lo"];
  REQUIRE(worker.append(leases[1], {{{"item", lo}, {"score", 1}}}).status == 200);
  server.stop();
  server.start_again();
  const auto seen = server.user().get("/evaluation/runs/" + run).json();
  CHECK(seen["status"] == "running");
  CHECK(seen["progress"]["outcomes_done"] == 17);
  // The lease has outlived the server.
  CHECK(worker.heartbeat({leases[1]}).json()["leases"][0]["verdict"] == "ok");
  worker.finish(leases[1], [](int) { return 1.0; });
  worker.work([](int) { return 1.0; });
  CHECK(wait_until_terminal(server.user(), run)["metrics"][0]["count"] == 40);
}

TEST_CASE("Run: cancelled once, and its things free again", "[api][run]") {
  TestServer server;
  const auto& user = server.user();
  furnish(user, 4);
  const auto run = start_run(user, {{"metadata", {{"commit", "abc"}}}});
  TestWorker worker(server.worker(), "w");
  const auto lease = worker.claim()[0];
  CHECK(user.remove("/datasets/numbers").code() == "dataset_in_use");
  CHECK(user.remove("/evaluators/exact").code() == "evaluator_in_use");
  CHECK(user.remove("/containers/app").code() == "container_in_use");
  const auto cancelled = user.call("POST", "/evaluation/runs/" + run + "/cancel", "", {});
  CHECK(cancelled.json()["status"] == "cancelled");
  CHECK(cancelled.json()["metadata"]["commit"] == "abc");
  CHECK(user.call("POST", "/evaluation/runs/" + run + "/cancel", "", {}).status == 409);
  CHECK(worker.heartbeat({lease}).json()["leases"][0]["verdict"] == "cancel");
  CHECK(worker.append(lease, {{{"item", 0}, {"score", 1}}}).code() == "run_finished");
  CHECK(user.get("/evaluation/runs?status=cancelled&container=app").json()["total"] == 1);
  CHECK(user.get("/evaluation/runs?status=running").json()["total"] == 0);
  CHECK(user.get("/evaluation/runs?status=gone").param() == "status");
  CHECK(user.remove("/datasets/numbers").status == 200);
  CHECK(user.remove("/evaluators/exact").status == 200);
}

TEST_CASE("Run: another project sees nothing of it", "[api][run]") {
  TestServer server;
  furnish(server.user(), 4);
  const auto run = start_run(server.user());
  const auto stranger = server.client("two", {"admin", "submit", "read"});
  for (const auto& path :
       {"/evaluation/runs/" + run, "/evaluation/runs/" + run + "/results", std::string("/datasets/numbers"),
        std::string("/datasets/numbers/rows"), std::string("/evaluators/exact"),
        std::string("/containers/app"), std::string("/containers/app/logs")})
    CHECK(stranger.get(path).status == 404);
  CHECK(stranger.call("POST", "/evaluation/runs/" + run + "/cancel", "", {}).status == 404);
  for (const auto* path : {"/evaluation/runs", "/datasets", "/evaluators", "/containers"})
    CHECK(stranger.get(path).json()["total"] == 0);
  const auto workers = server.client("two", {"worker"});
  TestWorker worker(workers, "w");
  CHECK(worker.claim().empty());
  CHECK(workers.get("/worker/runs/" + run).status == 404);
}

TEST_CASE("Run: a monitor sees the queue, the leases and what workers brought", "[api][run][metrics]") {
  TestServer server;
  furnish(server.user(), 4);
  start_run(server.user(), {{"shard_size", 2}});
  TestWorker worker(server.worker(), "w");
  const auto lease = worker.claim()[0];
  const Json outcomes = {{{"item", 0}, {"score", 1}},
                         {{"item", 1}, {"error", {{"kind", "timeout"}, {"message", "x"}}}}};
  REQUIRE(worker.append(lease, outcomes).status == 200);
  REQUIRE(worker.append(lease, outcomes).status == 200);
  const auto series = parse_exposition(server.monitor().get("/metrics").body);
  CHECK(series.at(R"(assay_shards{state="queued"})") == 1);
  CHECK(series.at(R"(assay_shards{state="leased"})") == 1);
  CHECK(series.at("assay_runs_open") == 1);
  CHECK(series.at("assay_queue_oldest_seconds") > 0);
  CHECK(series.at("assay_leases_granted_total") == 1);
  CHECK(series.at("assay_claim_seconds_count") == 1);
  CHECK(series.at(R"(assay_outcomes_total{result="stored"})") == 1);
  CHECK(series.at(R"(assay_outcomes_total{result="errored"})") == 1);
  CHECK(series.at(R"(assay_outcomes_total{result="duplicate"})") == 2);
}

}  // namespace assay::api::test
