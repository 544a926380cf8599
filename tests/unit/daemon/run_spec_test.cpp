#include "daemon/run_spec.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace assay::daemon {
namespace {

Json spec_json() {
  return Json::parse(R"({"id":"run_1","items":7,"trials":2,"models":[""],
    "evaluators":[{"index":0,"id":"eval_1","version":3,"name":"exact","type":"code","language":"lua","code":"x",
                   "params":{"a":1},"limits":{"wall_ms":1500,"memory_bytes":1048576},"pass_threshold":0.5},
                  {"index":1,"id":"eval_2","version":1,"name":"other","type":"code","language":"lua","code":"y",
                   "params":{},"limits":{},"pass_threshold":null}],
    "sample":{"type":"dataset","dataset":"ds_1","columns":{"output":"a.b"},"first":10},
    "ground_truth":{"type":"container","container":"ctr_1","first":17}})");
}

TEST_CASE("RunSpec: everything the worker needs is read", "[daemon][run_spec]") {
  const auto spec = run_spec_from(spec_json().dump(), {});
  REQUIRE(spec);
  CHECK(spec->outcomes_per_item() == 4);
  CHECK(spec->evaluators[0].program->limits.wall == std::chrono::milliseconds(1500));
  CHECK(spec->evaluators[0].program->limits.memory_bytes == 1048576);
  CHECK(spec->evaluators[0].program->params == R"({"a":1})");
  CHECK(spec->evaluators[0].pass_threshold == 0.5);
  CHECK_FALSE(spec->evaluators[1].pass_threshold);
  CHECK(spec->sample.rows_path() == "/v1/datasets/ds_1/rows");
  CHECK_FALSE(spec->sample.input);
  CHECK(spec->sample.output->text() == "a.b");
  CHECK(spec->ground_truth.rows_path() == "/v1/containers/ctr_1/logs");
  CHECK(spec->ground_truth.first == 17);
}

TEST_CASE("RunSpec: texts count as one evaluator more where they are generated", "[daemon][run_spec]") {
  Json json = spec_json();
  json["models"] = {"p/one", "p/two"};
  json["sample"] = Json::parse(R"({"type":"generate","models":["p/one","p/two"],"prompt":"{{ input }}",
                                   "inference_params":{"temperature":0.5}})");
  auto spec = run_spec_from(json.dump(), {});
  REQUIRE(spec);
  CHECK(spec->generates());
  CHECK(spec->text_index() == 2);
  CHECK(spec->outcomes_per_item() == 2 * 3 * 2);
  CHECK(spec->code_of({.item = 5, .model = 1, .evaluator = 2, .trial = 1}) == 11);
  json["sample"]["run"] = "run_before";
  spec = run_spec_from(json.dump(), {});
  REQUIRE(spec);
  CHECK_FALSE(spec->generates());
  CHECK(spec->generation()->run == "run_before");
  CHECK(spec->outcomes_per_item() == 2 * 2 * 2);
  json["sample"]["inference_params"]["temperature"] = 9;
  spec = run_spec_from(json.dump(), {});
  REQUIRE_FALSE(spec);
  CHECK(spec.error().kind == ErrorKind::config);
  CHECK(spec.error().message.find("sample: inference_params: temperature") == 0);
}

TEST_CASE("RunSpec: what is no specification is a transport error, what cannot run here is config",
          "[daemon][run_spec]") {
  for (const char* path : {"/id", "/items", "/trials", "/evaluators", "/sample", "/ground_truth",
                           "/evaluators/0/code", "/sample/dataset"}) {
    Json broken = spec_json();
    Json& value = broken[Json::json_pointer(path)];
    value = value.is_string() ? Json(7) : Json("x");
    const auto spec = run_spec_from(broken.dump(), {});
    INFO(path);
    REQUIRE_FALSE(spec);
    CHECK(spec.error().kind == ErrorKind::transport);
  }
  for (const char* page : {"", "<h1>Welcome</h1>", R"({"id":"run_)"}) {
    const auto spec = run_spec_from(page, {});
    REQUIRE_FALSE(spec);
    CHECK(spec.error().kind == ErrorKind::transport);
  }
  Json python = spec_json();
  python["evaluators"][1]["language"] = "cobol";
  const auto spec = run_spec_from(python.dump(), {});
  REQUIRE_FALSE(spec);
  CHECK(spec.error().kind == ErrorKind::config);
  CHECK(spec.error().message.find("cobol") != std::string::npos);
}

TEST_CASE("Lease: done ranges are half open", "[daemon][run_spec]") {
  const auto leases = leases_from(Json::parse(
      R"([{"run":"r","shard":3,"epoch":2,"token":"t","ttl_ms":30000,"attempt":1,"lo":0,"hi":10,"done":[[0,2],[5,6]]}])"));
  REQUIRE(leases);
  const Lease& lease = leases->front();
  CHECK(lease.key() == "r/3");
  std::vector<int64_t> done;
  for (int64_t code = 0; code < 10; ++code)
    if (lease.is_done(code)) done.push_back(code);
  CHECK(done == std::vector<int64_t>{0, 1, 5});
}

TEST_CASE("Lease: one whose rows do not cover its items is refused", "[daemon][run_spec]") {
  CHECK_FALSE(leases_from(Json::parse(
      R"([{"run":"r","shard":3,"epoch":2,"token":"t","ttl_ms":1,"lo":0,"hi":3,"done":[],"sample_rows":[1,2]}])")));
  CHECK_FALSE(leases_from(Json::parse(R"([{"run":"r"}])")));
}

}  // namespace
}  // namespace assay::daemon
