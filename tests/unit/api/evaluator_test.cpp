#include <catch2/catch.hpp>

#include "tests/unit/api/client.hpp"

namespace assay::api::test {

TEST_CASE("Evaluators: made, changed, deleted", "[api][evaluator]") {
  TestServer server;
  const auto& user = server.user();
  REQUIRE(user.post("/containers", {{"label", "app"}}).status == 200);
  auto wanted = lua_evaluator("exact");
  wanted["container"] = "app";
  wanted["limits"] = {{"wall_ms", 1000}};
  const auto made = user.post("/evaluators", wanted);
  INFO(made.body);
  REQUIRE(made.status == 200);
  CHECK(made.json()["version"] == 1);
  CHECK(made.json()["container_id"].get<std::string>().starts_with("ctr_"));
  CHECK(user.get("/evaluators/exact").json() == made.json());
  CHECK(user.get("/evaluators/" + made.json()["id"].get<std::string>()).json() == made.json());
  CHECK(user.post("/evaluators", lua_evaluator("exact")).code() == "label_conflict");

  const auto changed = user.patch("/evaluators/exact", {{"pass_threshold", nullptr}, {"name", "renamed"}});
  INFO(changed.body);
  CHECK(changed.json()["version"] == 2);
  CHECK(changed.json()["pass_threshold"].is_null());
  CHECK(changed.json()["limits"]["wall_ms"] == 1000);
  CHECK(user.get("/evaluators/exact").status == 404);
  CHECK(user.patch("/evaluators/renamed", {{"type", "judge"}}).param() == "type");
  CHECK(user.patch("/evaluators/renamed", {{"version", 7}}).param() == "version");
  CHECK(user.remove("/evaluators/renamed").json()["deleted"] == true);
  CHECK(user.post("/evaluators", lua_evaluator("renamed")).status == 200);
}

TEST_CASE("Evaluators: what is refused", "[api][evaluator]") {
  TestServer server;
  struct Case {
    const char* patch;
    int status;
    const char* param;
  };
  const auto wrong = GENERATE(values<Case>({
      {R"({"type":"judge","model":"m","prompt":"p"})", 422, "code"},
      {R"({"language":"plugin"})", 422, "code"},
      {R"({"language":"plugin","code":"exact"})", 422, "code"},
      {R"({"language":"plugin","code":"../text/exact"})", 422, "code"},
      {R"({"language":7})", 422, "language"},
      {R"({"language":"perl"})", 422, "language"},
      {R"({"mode":"pairwise"})", 501, "mode"},
      {R"({"name":""})", 422, "name"},
      {R"({"code":7})", 422, "code"},
      {R"({"code":null})", 422, "code"},
      {R"({"pass_threshold":"1"})", 422, "pass_threshold"},
      {R"({"limits":{"wall_ms":0}})", 422, "limits.wall_ms"},
      {R"({"limits":{"walls":1}})", 422, "limits.walls"},
      {R"({"params":[]})", 422, "params"},
      {R"({"requirements":["numpy"]})", 422, "requirements"},
      {R"({"language":"python","requirements":["numpy","-r x"]})", 422, "requirements"},
      {R"({"isolation":"run"})", 422, "isolation"},
      {R"({"grants":["root"]})", 422, "grants"},
      {R"({"language":"shell","grants":["candidate"]})", 422, "grants"},
      {R"({"language":"node","isolation":"shard"})", 422, "isolation"},
      {R"({"prompt":"p"})", 422, "prompt"},
      {R"({"container":"nobody"})", 404, "container"},
      {R"({"colour":"red"})", 422, "colour"},
  }));
  auto body = lua_evaluator("e");
  body.update(Json::parse(wrong.patch));
  const auto reply = server.user().post("/evaluators", body);
  INFO(wrong.patch << " " << reply.body);
  CHECK(reply.status == wrong.status);
  CHECK(reply.param() == wrong.param);
}

TEST_CASE("Judges: what they are made of, and what is refused", "[api][evaluator]") {
  TestServer server;
  const auto& user = server.user();
  const auto judge = [](const char* patch) {
    Json body = {{"type", "judge"}, {"name", "j"}, {"model", "openai/gpt-4o"}, {"prompt", "{{output}}?"}};
    body.merge_patch(Json::parse(patch));
    return body;
  };
  const auto made = user.post("/evaluators", judge("{}"));
  INFO(made.body);
  REQUIRE(made.status == 200);
  CHECK(made.json()["pass_threshold"] == 1.0);
  CHECK(made.json()["mode"] == "pointwise");
  CHECK_FALSE(made.json().contains("api"));
  const auto ready = user.post(
      "/evaluators", judge(R"({"name":"r","prompt":null,"model":null,"models":["a/b","c/d"],"mode":"pairwise",
                               "pass_threshold":0.5,"params":{"use":"correctness"}})"));
  INFO(ready.body);
  REQUIRE(ready.status == 200);
  CHECK(ready.json()["models"] == Json({"a/b", "c/d"}));
  CHECK(user.patch("/evaluators/j", {{"prompt", "{{input}}"}, {"model", "x/y"}}).json()["model"] == "x/y");
  CHECK(user.patch("/evaluators/j", {{"pass_threshold", nullptr}}).json()["pass_threshold"].is_null());
  CHECK(user.patch("/evaluators/j", {{"type", "code"}}).param() == "type");

  for (const auto& [patch, param] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"model":null})", "model"},
           {R"({"models":["a/b"]})", "models"},
           {R"({"prompt":null})", "prompt"},
           {R"({"params":{"use":"correctness"}})", "prompt"},
           {R"({"code":"return 1"})", "code"},
           {R"({"language":"lua"})", "language"},
           {R"({"api":"grpc"})", "api"},
           {R"({"mode":"both"})", "mode"},
           {R"({"inference_params":[]})", "inference_params"}}) {
    const auto reply = user.post("/evaluators", judge(patch));
    INFO(patch << " " << reply.body);
    CHECK(reply.status == 422);
    CHECK(reply.param() == param);
  }
}

TEST_CASE("Multis: what they are made of, and what is refused", "[api][evaluator]") {
  TestServer server;
  const auto& user = server.user();
  const Json part = Json::parse(R"({"type":"code","language":"lua","code":"x","isolation":"item","grants":[],
                                    "requirements":[],"params":{"k":1},"limits":{"wall_ms":5}})");
  const auto multi = [&](const char* patch) {
    Json body = {{"type", "multi"},
                 {"name", "both"},
                 {"formula", "0.5 * a + 0.5 * b"},
                 {"evaluators",
                  {{"a", part}, {"b", {{"type", "judge"}, {"model", "openai/gpt-4o"}, {"prompt", "p"}}}}}};
    body.merge_patch(Json::parse(patch));
    return body;
  };
  const auto made = user.post("/evaluators", multi("{}"));
  INFO(made.body);
  REQUIRE(made.status == 200);
  CHECK(made.json()["pass_threshold"].is_null());
  CHECK(made.json()["evaluators"]["a"] == part);
  CHECK(made.json()["evaluators"]["b"]["mode"] == "pointwise");
  CHECK(user.get("/evaluators/both").json() == made.json());
  const auto changed = user.patch("/evaluators/both", {{"formula", "max(a, b)"}, {"pass_threshold", 0.5}});
  INFO(changed.body);
  CHECK(changed.json()["formula"] == "max(a, b)");
  CHECK(changed.json()["evaluators"] == made.json()["evaluators"]);
  CHECK(user.patch("/evaluators/both", {{"formula", "a + c"}}).param() == "formula");

  for (const auto& [patch, param] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"formula":null})", "formula"},
           {R"({"formula":"a + "})", "formula"},
           {R"({"formula":"a + c"})", "formula"},
           {R"({"formula":7})", "formula"},
           {R"({"evaluators":null})", "evaluators"},
           {R"({"evaluators":{"a":null,"b":null},"formula":"1"})", "evaluators"},
           {R"({"evaluators":[]})", "evaluators"},
           {R"({"evaluators":{"a":7}})", "evaluators.a"},
           {R"({"evaluators":{"a-b":{"type":"code","code":"x"}}})", "evaluators.a-b"},
           {R"({"evaluators":{"a":{"name":"n"}}})", "evaluators.a.name"},
           {R"({"evaluators":{"a":{"pass_threshold":1}}})", "evaluators.a.pass_threshold"},
           {R"({"evaluators":{"a":{"type":"multi"}}})", "evaluators.a.type"},
           {R"({"evaluators":{"a":{"language":"cobol"}}})", "evaluators.a.language"},
           {R"({"evaluators":{"b":{"prompt":null}}})", "evaluators.b.prompt"},
           {R"({"code":"x"})", "code"},
           {R"({"params":{}})", "params"}}) {
    const auto reply = user.post("/evaluators", multi(patch));
    INFO(patch << " " << reply.body);
    CHECK(reply.status == 422);
    CHECK(reply.param() == param);
  }
}

TEST_CASE("Multis: a run asks of its worker what their parts need", "[api][evaluator]") {
  TestServer server;
  const auto& user = server.user();
  REQUIRE(user.post("/containers", {{"label", "app"}}).status == 200);
  REQUIRE(user.upload("rows", numbered_lines(2)).status == 200);
  const Json body = Json::parse(R"({"type":"multi","name":"m","formula":"a+b+c","evaluators":{
    "a":{"type":"code","language":"plugin","code":"text/fuzzy"},
    "b":{"type":"judge","models":["openai/x","local/y"],"prompt":"p"},
    "c":{"type":"code","language":"python","code":"x","requirements":["numpy"]}}})");
  REQUIRE(user.post("/evaluators", body).status == 200);
  const auto run =
      user.post("/evaluation/runs", {{"container", "app"},
                                     {"evaluators", {"m"}},
                                     {"sample", {{"type", "dataset"}, {"dataset", "rows"}}},
                                     {"ground_truth", {{"type", "dataset"}, {"dataset", "rows"}}}});
  INFO(run.body);
  REQUIRE(run.status == 200);
  CHECK(run.json()["labels"] == Json({"language:python", "packages:python", "plugin:judge", "plugin:text",
                                      "provider:local", "provider:openai"}));
}

}  // namespace assay::api::test
