#include "daemon/multi.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "daemon/run_spec.hpp"

namespace assay::daemon {
namespace {

using namespace std::chrono_literals;

Multi multi_of(const std::string& formula) {
  const std::vector<std::string> names = {"a", "b"};
  return {.parts = {{"a", nullptr}, {"b", nullptr}}, .formula = *Formula::parse(formula, names)};
}

Outcome scored(double score, std::string reason = {}) {
  Outcome outcome = Outcome::scored(score);
  outcome.reason = std::move(reason);
  return outcome;
}

TEST_CASE("Multi: the formula's score, and every part's in the metrics", "[daemon][multi]") {
  std::vector<Outcome> parts = {scored(0.5, "half"), scored(1, "all")};
  parts[0].metrics = {{"votes", 3}};
  parts[0].passed = false;
  const Outcome whole = combined(multi_of("0.25 * a + b"), parts);
  REQUIRE(whole.verdict == Verdict::scored);
  CHECK(whole.score == 1.125);
  CHECK_FALSE(whole.passed);
  CHECK(whole.reason == "a: half; b: all");
  CHECK(whole.metrics == std::vector<std::pair<std::string, double>>{{"a", 0.5}, {"a.votes", 3}, {"b", 1}});
}

TEST_CASE("Multi: a part without a score leaves the whole without one", "[daemon][multi]") {
  const Multi sum = multi_of("a + b");
  const Outcome error = Outcome::errored(ErrorKind::judge_parse, "no verdict");
  const Outcome skip = Outcome::skipped("no reference");
  const Outcome failed = combined(sum, std::vector<Outcome>{skip, error});
  CHECK(failed.verdict == Verdict::errored);
  CHECK(failed.error.kind == ErrorKind::judge_parse);
  CHECK(failed.error.message == "part b: no verdict");
  const Outcome skipped = combined(sum, std::vector<Outcome>{scored(1), skip});
  CHECK(skipped.verdict == Verdict::skipped);
  CHECK(skipped.reason == "part b: no reference");
  // Told to stop: nobody records this one, whatever the other part said.
  const Outcome stopped =
      combined(sum, std::vector<Outcome>{error, Outcome::errored(ErrorKind::cancelled, "stopped")});
  CHECK(stopped.error.kind == ErrorKind::cancelled);
  const Outcome infinite = combined(multi_of("a / b"), std::vector<Outcome>{scored(1), scored(0)});
  CHECK(infinite.error.kind == ErrorKind::bad_result);
  CHECK(infinite.error.message == "the formula gives no finite number for a = 1, b = 0");
}

TEST_CASE("Multi: usages add up and logs are kept, also of what failed", "[daemon][multi]") {
  std::vector<Outcome> parts = {scored(1), Outcome::errored(ErrorKind::timeout, "slow")};
  parts[0].usage = {.wall = 3us, .cpu = 2us, .memory_bytes = 10, .method = "rusage", .models = {}};
  parts[1].usage = {.wall = 4us, .cpu = 5us, .memory_bytes = 7, .method = "rusage", .models = {}};
  parts[0].usage.models.calls = 2;
  parts[1].usage.models.calls = 1;
  parts[0].log = std::string(200'000, 'x') + "end";
  parts[1].log = "thinking";
  const Outcome whole = combined(multi_of("a + b"), parts);
  CHECK(whole.usage.wall == 7us);
  CHECK(whole.usage.cpu == 7us);
  CHECK(whole.usage.memory_bytes == 10);
  CHECK(whole.usage.method == "rusage");
  CHECK(whole.usage.models.calls == 3);
  CHECK(whole.log.starts_with("a: xxx"));
  CHECK(whole.log.ends_with("end\nb: thinking"));
  CHECK(whole.log.size() < 40'000);
}

TEST_CASE("Multi: read from its definition", "[daemon][multi]") {
  const Json definition = Json::parse(R"({"name":"both","type":"multi","formula":"a*b","pass_threshold":0.5,
    "evaluators":{"b":{"type":"code","language":"lua","code":"y","params":{"x":1},"limits":{"wall_ms":7}},
                  "a":{"type":"code","language":"lua","code":"x","grants":["llm"]}}})");
  const auto evaluator = evaluator_from(definition, {});
  REQUIRE(evaluator);
  REQUIRE(evaluator->multi);
  CHECK_FALSE(evaluator->program);
  CHECK(evaluator->pass_threshold == 0.5);
  CHECK(evaluator->may_ask_models());
  REQUIRE(evaluator->programs().size() == 2);
  CHECK(evaluator->programs()[0]->name == "both.a");
  CHECK(evaluator->programs()[1]->limits.wall == 7ms);
  CHECK(evaluator->multi->formula.evaluate(std::vector<double>{3, 4}) == 12);

  Json judges = definition;
  judges["evaluators"]["a"] = {{"type", "judge"}, {"model", "x/one"}, {"prompt", "p"}};
  judges["evaluators"]["b"] = {{"type", "judge"}, {"models", {"x/two", "y/three"}}, {"prompt", "p"}};
  CHECK(models_of(judges) == std::vector<std::string>{"x/one", "x/two", "y/three"});
  const auto no_plugin = evaluator_from(judges, {});
  REQUIRE_FALSE(no_plugin);
  CHECK(no_plugin.error().message.starts_with("evaluator both.a: there is no plugin judge"));

  Json broken = definition;
  broken["formula"] = "a*c";
  const auto unknown = evaluator_from(broken, {});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message == "formula: column 3: there is no \"c\"; there is a, b");
}

}  // namespace
}  // namespace assay::daemon
