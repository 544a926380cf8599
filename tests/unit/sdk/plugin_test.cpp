// Plugins as they are shipped: the example, and one that was built against the first header.
#include <assay/plugin.h>
#include <dlfcn.h>

#include <catch2/catch.hpp>

#include "tests/unit/sdk/test_host.hpp"

namespace {

const assay_plugin_entry& load(const std::string& name) {
  void* const library = dlopen((std::string(PLUGINS "/") + name + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  CAPTURE(name);
  if (library == nullptr) FAIL(dlerror());
  const auto* const entry = static_cast<const assay_plugin_entry*>(dlsym(library, "assay_plugin"));
  REQUIRE(entry != nullptr);
  return *entry;
}

Ended evaluate(assay_evaluator* evaluator, const nlohmann::json& item) {
  assay_call call;
  call.item = item;
  TestHost::begin(evaluator, call);
  REQUIRE(call.ended);
  return *call.ended;
}

}  // namespace

TEST_CASE("Plugins: one of the first ABI still runs", "[sdk]") {
  const auto& entry = load("constant");
  CHECK((entry.size == 32 && entry.abi_major == 1 && entry.abi_minor == 0));
  TestHost host({{"score", 0.5}});
  auto* const evaluator = host.create(entry, "constant");
  REQUIRE(evaluator != nullptr);
  const Ended ended = evaluate(evaluator, {{"id", "1"}});
  CHECK((ended.verdict == ASSAY_SCORED && ended.score == 0.5 && ended.passed == -1 &&
         ended.reason == "constant"));
  evaluator->destroy(evaluator);
  std::string why;
  TestHost none;
  CHECK(none.create(entry, "constant", &why) == nullptr);
  CHECK(why == "score is missing");
}

TEST_CASE("Plugins: the example does what it says", "[sdk]") {
  const auto& entry = load("words");
  const auto described = nlohmann::json::parse(entry.describe);
  CHECK(described["evaluators"][1]["services"][0] == ASSAY_SERVICE_LLM);
  TestHost host({{"limit", 3}, {"model", "a/b"}});
  auto* const brief = host.create(entry, "short");
  REQUIRE(brief != nullptr);
  CHECK(evaluate(brief, {{"sample", {{"text", " one two\nthree "}}}}).score == 1);
  const Ended four = evaluate(brief, {{"sample", {{"text", "one two three four"}}}});
  CHECK((four.score == 0 && four.reason == "4 words" && four.metrics == R"({"words":4})"));
  brief->destroy(brief);

  auto* const polite = host.create(entry, "polite");
  const auto answered = [&](std::string_view text) {
    assay_call call;
    call.item = {{"sample", {{"text", "say \"please\""}}}};
    TestHost::begin(polite, call);
    REQUIRE(host.completions().size() == 1);
    const auto asked = host.completions().front();
    host.completions().pop_front();
    const auto request = nlohmann::json::parse(asked.request);
    CHECK(request["model"] == "a/b");
    CHECK_THAT(request["messages"][0]["content"].get<std::string>(), Catch::EndsWith("say \"please\""));
    const assay_llm_reply reply{sizeof reply, {text.data(), text.size()}, {}, {}};
    asked.done(asked.user, &reply, nullptr);
    REQUIRE(call.ended);
    return *call.ended;
  };
  CHECK(answered("yes").score == 1);
  CHECK((answered("no").verdict == ASSAY_SCORED && answered("no").score == 0));
  CHECK(answered("Well, yes").kind == "judge_parse");
  polite->destroy(polite);
}
