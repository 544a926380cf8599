#include "daemon/generation.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

namespace assay::daemon {
namespace {

Generation asking(const char* side) {
  Json json = Json::parse(side);
  json["models"] = {"p/m"};
  const auto generation = generation_from(json);
  REQUIRE(generation);
  return *generation;
}

std::string item_with(const char* input) {
  return R"({"id":"0","index":0,"metadata":{"tone":"dry"},"sample":{"input":)" + std::string(input) +
         R"(,"output":null},"ground_truth":{"input":)" + input + R"(,"output":"4"}})";
}

Json request(const Generation& generation, const std::string& item) {
  const auto made = request_for(generation, "p/m", item);
  REQUIRE(made);
  return Json::parse(*made);
}

}  // namespace

TEST_CASE("Generation: without a prompt the input is what is asked", "[daemon][generation]") {
  const auto plain = asking(R"({"inference_params":{"temperature":0}})");
  CHECK(request(plain, item_with(R"("2 + 2?")")) ==
        Json::parse(
            R"({"model":"p/m","messages":[{"role":"user","content":"2 + 2?"}],"params":{"temperature":0}})"));
  const Json chat = Json::parse(R"([{"role":"system","content":"s"},{"role":"user","content":"u"}])");
  CHECK(request(plain, item_with(chat.dump().c_str()))["messages"] == chat);
  CHECK(request(plain, item_with(Json({{"model", "gpt"}, {"messages", chat}}).dump().c_str()))["messages"] ==
        chat);
  for (const char* none : {"null", "7", R"({"q":"x"})"}) {
    const auto made = request_for(plain, "p/m", item_with(none));
    REQUIRE_FALSE(made);
    CHECK(made.error().kind == ErrorKind::config);
    CHECK(made.error().message.find("columns.input") != std::string::npos);
  }
}

TEST_CASE("Generation: a prompt is filled from the item, in one pass", "[daemon][generation]") {
  const auto text = asking(R"({"prompt":"{{ metadata.tone }}: {{ input }}"})");
  CHECK(request(text, item_with(R"("{{ id }}")"))["messages"][0]["content"] == "dry: {{ id }}");
  const auto chat = asking(
      R"({"prompt":"[{\"role\":\"system\",\"content\":\"Be {{ metadata.tone }}.\"},{\"role\":\"user\",\"content\":\"{{ input }}\"}]"})");
  CHECK(request(chat, item_with(R"("a \"b\"")"))["messages"] ==
        Json::parse(R"([{"role":"system","content":"Be dry."},{"role":"user","content":"a \"b\""}])"));
  const auto missing = request_for(asking(R"({"prompt":"{{ metadata.colour }}"})"), "p/m", item_with("1"));
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == ErrorKind::config);
  const std::string large = Json(std::string((1 << 20) + 1, 'x')).dump();
  const auto cut = request_for(text, "p/m", item_with(large.c_str()));
  REQUIRE_FALSE(cut);
  CHECK(cut.error().kind == ErrorKind::context_too_long);
}

TEST_CASE("Generation: a shape that is asked for goes where completions have it", "[daemon][generation]") {
  const auto shaped = asking(
      R"({"inference_params":{"seed":1,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}}})");
  const Json made = request(shaped, item_with("\"x\""));
  CHECK(made["params"] == Json{{"seed", 1}});
  CHECK(made["schema"] == Json::parse(R"({"name":"n","schema":{}})"));
  CHECK_FALSE(
      request(asking(R"({"inference_params":{"response_format":{"type":"text"}}})"), item_with("\"x\""))
          .contains("schema"));
  for (const char* format : {R"("json")", R"({"type":"json_object"})", R"({"type":"json_schema"})"}) {
    const auto none = generation_from(
        {{"models", {"p/m"}}, {"inference_params", {{"response_format", Json::parse(format)}}}});
    REQUIRE_FALSE(none);
    CHECK(none.error().message.find("response_format") != std::string::npos);
  }
  const auto called =
      generated_from(std::string(R"({"text":"","finish":"tool","tool":{"name":"n","arguments":"{}"}})"));
  CHECK(called.output == "{}");
}

TEST_CASE("Generation: what is no prompt is said", "[daemon][generation]") {
  for (const char* prompt : {"{{ outptu }}", "{{#each}}", "{{ input"}) {
    const auto generation = generation_from({{"models", {"p/m"}}, {"prompt", prompt}});
    REQUIRE_FALSE(generation);
    CHECK(generation.error().kind == ErrorKind::config);
  }
}

TEST_CASE("Generation: a reply is a text, or an error of its kind", "[daemon][generation]") {
  struct Case {
    const char* reply;
    const char* output;  // null: errored
    const char* said;    // the reason, or the kind
  };
  const Case cases[] = {
      {R"({"text":"four","finish":"stop"})", "four", ""},
      {R"({"text":"","finish":"stop"})", "", ""},
      {R"({"text":"fo","finish":"length"})", "fo", "cut at the model's limit of tokens"},
      {R"({"text":"","finish":"length"})", nullptr, "output_limit"},
      {R"({"text":"","refusal":"no","finish":"refusal"})", "no", "the model declined"},
      {R"({"text":"fo","finish":"content_filter"})", nullptr, "content_filter"},
      {R"([])", nullptr, "internal"},
  };
  for (const auto& [reply, output, said] : cases) {
    INFO(reply);
    const auto text = generated_from(std::string(reply));
    CHECK((text.verdict == Verdict::generated) == (output != nullptr));
    if (output != nullptr) {
      CHECK(text.output == output);
      CHECK(text.reason == said);
      CHECK(generation_id(text) != "none");
    } else {
      CHECK(to_string(text.error.kind) == said);
      CHECK(generation_id(text) == "none");
    }
  }
  const auto failed = generated_from(fail(ErrorKind::auth, "wrong key"));
  CHECK(failed.error.kind == ErrorKind::auth);
  CHECK(generation_id(Outcome::generated("a")) != generation_id(Outcome::generated("b")));
}

}  // namespace assay::daemon
