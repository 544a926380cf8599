// The C++ wrapper against the least of a host: every way for an evaluation to end, once and of the right
// kind.
#include <assay/evaluator.hpp>

#include <catch2/catch.hpp>
#include <limits>
#include <thread>

#include "tests/unit/sdk/test_host.hpp"

namespace {

std::vector<assay::Call> kept;

/// Does what the item says.
class Obedient {
 public:
  static constexpr std::string_view describe = R"({"name": "obedient"})";

  void evaluate(assay::Call call) const {
    const assay::Item item = call.item();
    const auto order = item.text("do").value_or("");
    if (order == "score") call.score({.score = item.number("score").value(), .reason = "told to"});
    if (order == "pass")
      call.score({.score = 1, .passed = item.boolean("passed"), .metrics = {{"a\"b", 0.5}, {"c", -2}}});
    if (order == "nan") call.score({.score = std::numeric_limits<double>::quiet_NaN()});
    if (order == "bad metric")
      call.score({.score = 1, .metrics = {{"m", std::numeric_limits<double>::infinity()}}});
    if (order == "skip") call.skip("not for this one");
    if (order == "throw") throw std::runtime_error("it broke");
    if (order == "throw kind") throw assay::Failure("no verdict", "judge_parse");
    if (order == "throw 1") throw 1;
    if (order == "twice") call.score({.score = 1});
    if (order == "twice") call.fail("again");
    if (order == "thread") std::thread([call] { call.score({.score = 2}); }).detach();
    if (order == "keep") kept.push_back(call);
    if (order == "log") {
      call.log("one line");
      call.score({.score = item.has("do") && !item.has("nothing") ? 1.0 : 0.0});
      call.log("too late");
    }
    if (order == "ask whatever comes")
      call.complete(
          "{}", [](assay::Call asked, const assay::Reply&) { asked.score({.score = 1}); },
          [](assay::Call asked, const assay::Failure& failure) {
            if (failure.kind() == "timeout") throw std::runtime_error("cannot live with that");
            asked.score({.score = 0.5, .reason = failure.kind() + ": " + failure.what()});
          });
    if (order == "ask")
      call.complete("{}", [](assay::Call asked, const assay::Reply& reply) {
        if (reply.text() == "throw") throw std::runtime_error("cannot read it");
        if (reply.text() != "drop") asked.score({.score = 1, .reason = std::string(reply.finish())});
      });
  }
};

class Strict {
 public:
  static constexpr std::string_view describe = R"({"name": "strict"})";
  explicit Strict(const assay::Params& params) : limit_(params.number("limit").value_or(-1)) {
    if (limit_ < 0) throw std::runtime_error("limit: must not be negative");
  }
  assay::Score evaluate(const assay::Item& item) const {
    return {.score = limit_ + static_cast<double>(item.sample().size())};
  }

 private:
  double limit_;
};

}  // namespace

ASSAY_PLUGIN("tests", "0.1.0", Obedient, Strict);

namespace {

Ended ended(TestHost& host, assay_evaluator* evaluator, const nlohmann::json& item) {
  assay_call call;
  call.item = item;
  TestHost::begin(evaluator, call);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!call.ended && std::chrono::steady_clock::now() < give_up && host.completions().empty())
    std::this_thread::yield();
  REQUIRE(call.ended);
  CHECK(call.answers == 1);
  return *call.ended;
}

}  // namespace

TEST_CASE("SDK: the description is one JSON object", "[sdk]") {
  const auto json = nlohmann::json::parse(assay_plugin.describe);
  CHECK(json["name"] == "tests");
  CHECK(json["version"] == "0.1.0");
  REQUIRE(json["evaluators"].size() == 2);
  CHECK(json["evaluators"][1]["name"] == "strict");
}

TEST_CASE("SDK: every way for an evaluation to end", "[sdk]") {
  TestHost host;
  auto* evaluator = host.create(assay_plugin, "obedient");
  REQUIRE(evaluator != nullptr);
  const auto of = [&](const char* order) {
    return ended(host, evaluator, {{"do", order}, {"score", 0.25}, {"passed", false}});
  };
  CHECK(
      (of("score").verdict == ASSAY_SCORED && of("score").score == 0.25 && of("score").reason == "told to"));
  CHECK(of("score").passed == 0);
  CHECK(of("pass").passed == -1);
  CHECK(nlohmann::json::parse(of("pass").metrics) == nlohmann::json{{"a\"b", 0.5}, {"c", -2.0}});
  CHECK((of("nan").verdict == ASSAY_ERRORED && of("nan").kind == "bad_result"));
  CHECK((of("bad metric").verdict == ASSAY_ERRORED && of("bad metric").kind == "bad_result"));
  CHECK((of("skip").verdict == ASSAY_SKIPPED && of("skip").reason == "not for this one"));
  CHECK((of("throw").kind == "evaluator_error" && of("throw").reason == "it broke"));
  CHECK((of("throw kind").kind == "judge_parse" && of("throw kind").reason == "no verdict"));
  CHECK(of("throw 1").verdict == ASSAY_ERRORED);
  CHECK((of("twice").verdict == ASSAY_SCORED && of("twice").score == 1));
  CHECK(of("thread").score == 2);
  CHECK((of("nothing at all").verdict == ASSAY_ERRORED &&
         of("nothing at all").reason.find("without an answer") != std::string::npos));
  evaluator->destroy(evaluator);
}

TEST_CASE("SDK: a call that is kept can be answered later, and knows that it is not wanted", "[sdk]") {
  TestHost host;
  auto* evaluator = host.create(assay_plugin, "obedient");
  assay_call call;
  call.item = {{"do", "keep"}};
  TestHost::begin(evaluator, call);
  CHECK(!call.ended);
  REQUIRE(kept.size() == 1);
  CHECK_FALSE(kept[0].cancelled());
  call.cancelled = true;
  CHECK(kept[0].cancelled());
  kept.clear();
  REQUIRE(call.ended);
  CHECK(call.answers == 1);
  assay_call logged;
  logged.item = {{"do", "log"}};
  TestHost::begin(evaluator, logged);
  CHECK(logged.log == std::vector<std::string>{"one line"});
  CHECK(logged.ended->score == 1);
  evaluator->destroy(evaluator);
}

TEST_CASE("SDK: completions come back once, whatever becomes of them", "[sdk]") {
  TestHost host;
  auto* evaluator = host.create(assay_plugin, "obedient");
  const auto answer = [&](std::string_view text, const assay_outcome* failed, const char* order = "ask") {
    assay_call call;
    call.item = {{"do", order}};
    TestHost::begin(evaluator, call);
    REQUIRE(host.completions().size() == 1);
    const auto asked = host.completions().front();
    host.completions().pop_front();
    CHECK(!call.ended);
    const assay_llm_reply reply{sizeof reply, {text.data(), text.size()}, {"stop", 4}, {"{}", 2}};
    asked.done(asked.user, failed == nullptr ? &reply : nullptr, failed);
    REQUIRE(call.ended);
    CHECK(call.answers == 1);
    return *call.ended;
  };
  CHECK((answer("yes", nullptr).score == 1 && answer("yes", nullptr).reason == "stop"));
  CHECK(answer("throw", nullptr).reason == "cannot read it");
  CHECK(answer("drop", nullptr).verdict == ASSAY_ERRORED);
  assay_outcome refused{};
  refused.size = sizeof refused;
  refused.verdict = ASSAY_ERRORED;
  refused.kind = {"billing", 7};
  CHECK(answer("", &refused).kind == "billing");
  refused.reason = {"no money", 8};
  const Ended counted = answer("", &refused, "ask whatever comes");
  CHECK((counted.verdict == ASSAY_SCORED && counted.score == 0.5 && counted.reason == "billing: no money"));
  refused.kind = {"timeout", 7};
  CHECK(answer("", &refused, "ask whatever comes").reason == "cannot live with that");
  host.withhold(ASSAY_SERVICE_LLM);
  CHECK(ended(host, evaluator, {{"do", "ask"}}).kind == "config");
  evaluator->destroy(evaluator);
}

TEST_CASE("SDK: parameters are read when an evaluator is made", "[sdk]") {
  std::string why;
  TestHost host({{"limit", 3}});
  CHECK(host.create(assay_plugin, "unheard-of", &why) == nullptr);
  CHECK_THAT(why, Catch::Contains("unheard-of"));
  auto* strict = host.create(assay_plugin, "strict");
  REQUIRE(strict != nullptr);
  CHECK(ended(host, strict, {{"sample", {{"text", "four"}}}}).score == 7);
  CHECK(ended(host, strict, {{"sample", nullptr}}).kind == "config");
  strict->destroy(strict);
  TestHost none;
  CHECK(none.create(assay_plugin, "strict", &why) == nullptr);
  CHECK(why == "limit: must not be negative");
}
