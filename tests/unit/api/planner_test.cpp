#include <catch2/catch.hpp>
#include <set>

#include "api/planner.hpp"
#include "tests/unit/api/test_worker.hpp"

namespace assay::api::test {
namespace {

/// A container with two logs, two datasets and an evaluator.
void furnish(const Client& user) {
  REQUIRE(user.post("/containers", {{"label", "app"}}).status == 200);
  const Json input = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  const Json output = {{"choices", {{{"message", {{"role", "assistant"}, {"content", "ho"}}}}}}};
  REQUIRE(user.post("/chat/completions/register",
                    {{"container", "app"},
                     {"items", {{{"input", input}, {"output", output}}, {{"input", input}}}}})
              .status == 200);
  REQUIRE(user.upload("ten", numbered_lines(10)).status == 200);
  REQUIRE(user.upload("four", "{\"q\":3,\"g\":1}\n{\"q\":9,\"g\":2}\n{\"q\":0,\"g\":3}\n{\"q\":7,\"g\":4}\n")
              .status == 200);
  REQUIRE(user.upload("twice", "{\"q\":3}\n{\"q\":3}\n").status == 200);
  REQUIRE(user.post("/evaluators", lua_evaluator("exact")).status == 200);
}

Json run_body(const std::string& patch) {
  Json body = {{"container", "app"},
               {"evaluators", {"exact"}},
               {"sample", {{"type", "dataset"}, {"dataset", "ten"}}},
               {"ground_truth", {{"type", "dataset"}, {"dataset", "ten"}}}};
  body.merge_patch(Json::parse(patch));
  return body;
}

}  // namespace

TEST_CASE("Planner: what is refused, and where the fault is", "[api][planner]") {
  TestServer server;
  furnish(server.user());
  struct Case {
    const char* patch;
    int status;
    const char* param;
    const char* message;
  };
  const std::vector<Case> cases = {
      {R"({"container":"nobody"})", 404, "container", "nobody"},
      {R"({"evaluators":["nobody"]})", 404, "evaluators[0]", "nobody"},
      {R"({"evaluators":[]})", 422, "evaluators", "at least one"},
      {R"({"evaluators":["exact","exact"]})", 422, "evaluators[1]", "twice"},
      {R"({"sample":{"dataset":"nobody"}})", 404, "sample.dataset", "nobody"},
      {R"({"sample":null,"ground_truth":null})", 422, "sample", "both missing"},
      {R"({"sample":{"type":"generate","dataset":null,"models":["m"]},
           "ground_truth":{"type":"generate","dataset":null,"models":["m"]}})",
       422, "sample.type", "both"},
      {R"({"sample":{"type":"generate","dataset":null}})", 422, "sample.models", "required"},
      {R"({"sample":{"type":"generate","dataset":null,"models":["p/m","p/m"]}})", 422, "sample.models",
       "twice"},
      {R"({"ground_truth":{"type":"generate","dataset":null,"models":["p/m","p/n"]}})", 422,
       "ground_truth.models", "one model"},
      {R"({"sample":{"type":"generate","dataset":null,"models":["p/m"],"prompt":"{{ question"}})", 422,
       "sample.prompt", "line 1"},
      {R"({"sample":{"type":"generate","dataset":null,"models":["p/m"],"prompt":"{{ response_a }}"}})", 422,
       "sample.prompt", "of the sample"},
      {R"({"ground_truth":{"type":"generate","dataset":null,"models":["p/m"],"prompt":"{{ expected }}"}})",
       422, "ground_truth.prompt", "of the ground_truth"},
      {R"({"sample":{"type":"generate","dataset":null,"models":["p/m"],"join":"q"}})", 422, "sample.join",
       "not a field"},
      {R"({"mode":"pairwise"})", 501, "mode", "pairwise"},
      {R"({"sample":{"limit":3}})", 422, "ground_truth", "3 rows and the ground truth 10"},
      {R"({"sample":null})", 422, "ground_truth", "2 rows"},
      {R"({"sample":{"columns":{"input":"nope"}}})", 422, "sample.columns.input", "it has: q, a"},
      {R"({"sample":{"join":"q"}})", 422, "ground_truth.join", "both sides"},
      {R"({"sample":{"join":"q"},"ground_truth":{"dataset":"four","join":"q"}})", 422, "sample.join",
       "6 of 10 sample rows have no partner"},
      {R"({"sample":{"dataset":"four","join":"q"},"ground_truth":{"dataset":"twice","join":"q"}})", 422,
       "ground_truth.join", "rows 0 and 1"},
      {R"({"trials":0})", 422, "trials", "1 to 100"},
      {R"({"shard_size":10001})", 422, "shard_size", "10000"},
      {R"({"sample":{"offset":11}})", 422, "sample.offset", "only 10"},
      {R"({"sample":{"shuffle":1}})", 422, "sample.shuffle", "not a field"},
      {R"({"sample":{"type":"container","dataset":null,"since":"yesterday"}})", 422, "sample.since", "time"},
      {R"({"sample":{"type":"container","dataset":null,"until":"2001-01-01"},"ground_truth":null})", 422,
       "sample", ""},
  };
  for (const auto& wrong : cases) {
    const auto reply = server.user().post("/evaluation/runs", run_body(wrong.patch));
    INFO(wrong.patch << " " << reply.body);
    CHECK(reply.status == wrong.status);
    if (std::string_view(wrong.message).empty()) continue;
    CHECK(reply.param() == wrong.param);
    CHECK(reply.body.find(wrong.message) != std::string::npos);
  }
}

TEST_CASE("Planner: a generated side has an item for each row of the other", "[api][planner]") {
  TestServer server;
  furnish(server.user());
  const auto run = server.user().post(
      "/evaluation/runs",
      run_body(
          R"({"sample":{"type":"generate","dataset":null,"models":["p/one","q/two"],"prompt":"{{ input }}"},
                   "ground_truth":{"columns":{"input":"q","output":"a"},"limit":4,"shuffle_seed":1},"trials":3})"));
  REQUIRE(run.status == 200);
  const Json made = Json::parse(run.body);
  CHECK(made["progress"]["outcomes_total"] == 4 * 2 * (1 + 1) * 3);
  CHECK(made["sample"] == Json::parse(R"({"type":"generate","models":["p/one","q/two"],"prompt":"{{ input }}",
                                          "inference_params":{},"rows":4})"));
  const Json labels = made["labels"];
  for (const char* label : {"provider:p", "provider:q", "language:lua"})
    CHECK(std::ranges::find(labels, label) != labels.end());
}

TEST_CASE("Planner: rows are joined, chosen and taken from task logs", "[api][planner]") {
  TestServer server;
  const auto& user = server.user();
  furnish(user);
  TestWorker worker(server.worker(), "w");
  const auto first_lease = [&](const char* patch) {
    const auto reply = user.post("/evaluation/runs", run_body(patch));
    INFO(reply.body);
    REQUIRE(reply.status == 200);
    const auto leases = worker.claim();
    REQUIRE(leases.size() == 1);
    CHECK(leases[0]["run"] == reply.json()["id"]);
    return leases[0];
  };
  SECTION("join") {
    const auto lease = first_lease(R"({"sample":{"dataset":"four","join":"q"},"ground_truth":{"join":"q"}})");
    CHECK(lease["ground_truth_rows"] == Json({3, 9, 0, 7}));
    CHECK_FALSE(lease.contains("sample_rows"));
  }
  SECTION("shuffle") {
    const auto lease = first_lease(R"({"sample":{"limit":4,"shuffle_seed":7},"ground_truth":{"limit":4}})");
    CHECK(lease["sample_rows"] == Json(choose_rows(0, 10, 4, 7)));
    CHECK(lease["hi"] == 4);
  }
  SECTION("offset") {
    const auto lease = first_lease(R"({"sample":{"offset":5,"limit":2},"ground_truth":{"limit":2}})");
    const auto spec = server.worker().get("/worker/runs/" + lease["run"].get<std::string>()).json();
    CHECK(spec["sample"]["first"] == 5);
    CHECK(spec["ground_truth"]["first"] == 0);
  }
  SECTION("task logs") {
    const auto lease = first_lease(R"({"sample":null,"ground_truth":{"limit":2}})");
    const auto spec = server.worker().get("/worker/runs/" + lease["run"].get<std::string>()).json();
    CHECK(spec["sample"]["type"] == "container");
    const auto rows =
        server.worker().get("/containers/" + spec["sample"]["container"].get<std::string>() + "/logs?limit=2",
                            {{"Accept", "application/jsonl"}});
    CHECK(rows.body.starts_with("{\"input\":{\"messages\":[{\"content\":\"hi\""));
    CHECK(user.get("/containers/app/logs").json()["data"][1]["output"].is_null());
  }
}

TEST_CASE("Planner: a selection is ascending, distinct and the same for ever", "[api][planner]") {
  const auto rows = choose_rows(100, 1100, 50, 42);
  CHECK(rows.size() == 50);
  CHECK(std::ranges::is_sorted(rows));
  CHECK(std::set(rows.begin(), rows.end()).size() == 50);
  CHECK(rows == choose_rows(100, 1100, 50, 42));
  CHECK(rows != choose_rows(100, 1100, 50, 43));
  CHECK(choose_rows(0, 8, 3, 1) == std::vector<int64_t>{0, 1, 2});
  CHECK(choose_rows(0, 3, 9, 1) == std::vector<int64_t>{0, 1, 2});
}

TEST_CASE("Planner: shards are neither tiny nor huge", "[api][planner]") {
  CHECK(default_shard_size(1) == 16);
  CHECK(default_shard_size(1319) == 21);
  CHECK(default_shard_size(10'000) == 157);
  CHECK(default_shard_size(1'000'000) == 512);
}

}  // namespace assay::api::test
