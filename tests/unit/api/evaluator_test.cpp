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

}  // namespace assay::api::test
