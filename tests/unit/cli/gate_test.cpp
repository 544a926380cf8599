#include "cli/gate.hpp"

#include <catch2/catch.hpp>

using namespace assay::cli;

namespace {

std::string run_with(std::string_view metrics) {
  return R"({"id":"run_1","metrics":[{"evaluator":{"id":"eval_1","name":"correct"},)" + std::string(metrics) +
         "}]}";
}

GateResult check(const std::string& metric, const std::string& condition, std::string_view metrics) {
  const auto gate = parse_gate("correct." + metric, condition);
  REQUIRE(gate.has_value());
  const auto results = check_gates({&*gate, 1}, run_with(metrics));
  REQUIRE(results.has_value());
  REQUIRE(results->size() == 1);
  return results->front();
}

}  // namespace

TEST_CASE("gate: a name and a condition are read", "[cli][gate]") {
  const auto gate = parse_gate("exact.v2.pass_rate", "  >=0.5 ");
  REQUIRE(gate.has_value());
  CHECK(gate->evaluator == "exact.v2");
  CHECK(gate->metric == "pass_rate");
  CHECK(gate->op == ">=");
  CHECK(gate->threshold == 0.5);
  CHECK(gate->text == "exact.v2.pass_rate >= 0.5");
  for (const char* op : {">", "<", "<=", "=="})
    CHECK(parse_gate("a.mean", std::string(op) + " -1e3")->op == op);
}

TEST_CASE("gate: what is no gate is explained", "[cli][gate]") {
  const auto [name, condition, message] = GENERATE(table<std::string, std::string, std::string>({
      {"correct", ">= 1", "a gate is named EVALUATOR.METRIC, as in \"correct.pass_rate\""},
      {".mean", ">= 1", "a gate is named EVALUATOR.METRIC, as in \"correct.pass_rate\""},
      {"correct.passrate", ">= 1", "unknown metric \"passrate\"; did you mean pass_rate?"},
      {"correct.temperature", ">= 1",
       "unknown metric \"temperature\"; the metrics are mean, pass_rate, scored, errors, count, min, max, "
       "p50_ms, p95_ms"},
      {"correct.mean", "0.5",
       "\"0.5\" is no condition; write >=, >, <=, < or == and a number, as in \">= 0.6\""},
      {"correct.mean", "=> 1",
       "\"=> 1\" is no condition; write >=, >, <=, < or == and a number, as in \">= 0.6\""},
      {"correct.mean", ">= 60 %",
       "\">= 60 %\" is no condition; write >=, >, <=, < or == and a number, as in \">= 0.6\""},
      {"correct.mean", ">= nan",
       "\">= nan\" is no condition; write >=, >, <=, < or == and a number, as in \">= 0.6\""},
      {"correct.mean",
       ">=", "\">=\" is no condition; write >=, >, <=, < or == and a number, as in \">= 0.6\""},
      {"correct.mean", "", "\"\" is no condition; write >=, >, <=, < or == and a number, as in \">= 0.6\""},
  }));
  const auto gate = parse_gate(name, condition);
  REQUIRE_FALSE(gate.has_value());
  CHECK(gate.error().message == message);
}

TEST_CASE("gate: without errors the number decides", "[cli][gate]") {
  constexpr auto kMetrics =
      R"("count":1319,"scored":1319,"errors":0,"mean":0.5625,"min":0,"max":1,"pass_rate":0.5625,"latency":{"p50_ms":0.2,"p95_ms":1500})";
  const auto [metric, condition, verdict, why] =
      GENERATE(table<std::string, std::string, GateVerdict, std::string>({
          {"pass_rate", ">= 0.5625", GateVerdict::pass, "pass_rate is 56.2 %"},
          {"pass_rate", "> 0.5625", GateVerdict::fail, "pass_rate is 56.2 %"},
          {"mean", "< 0.6", GateVerdict::pass, "mean is 0.5625"},
          {"mean", "<= 0.5", GateVerdict::fail, "mean is 0.5625"},
          {"errors", "== 0", GateVerdict::pass, "errors is 0"},
          {"scored", ">= 1319", GateVerdict::pass, "scored is 1319"},
          {"count", "> 2000", GateVerdict::fail, "count is 1319"},
          {"max", "== 1", GateVerdict::pass, "max is 1"},
          {"p50_ms", "< 1", GateVerdict::pass, "p50_ms is 0.2 ms"},
          {"p95_ms", "< 1000", GateVerdict::fail, "p95_ms is 1.5 s"},
      }));
  const auto result = check(metric, condition, kMetrics);
  CHECK(result.verdict == verdict);
  CHECK(result.why == why);
}

TEST_CASE("gate: items that erred make a pass rate pass or fail only when they could not tip it",
          "[cli][gate]") {
  // 60 of 90 scored pass, 10 erred: between 60 % and 70 % of all.
  constexpr auto kMetrics =
      R"("count":100,"scored":90,"errors":10,"pass_rate":0.6666666666666666,"bounds":[0.6,0.7])";
  const auto [condition, verdict, end] = GENERATE(table<std::string, GateVerdict, std::string>({
      {">= 0.6", GateVerdict::pass, "and holds whatever they would have scored"},
      {">= 0.65", GateVerdict::inconclusive, "and their scores would decide"},
      {">= 0.7", GateVerdict::inconclusive, "and their scores would decide"},
      {"> 0.7", GateVerdict::fail, "and fails whatever they would have scored"},
      {"<= 0.65", GateVerdict::inconclusive, "and their scores would decide"},
      {"< 0.6", GateVerdict::fail, "and fails whatever they would have scored"},
      {"<= 0.7", GateVerdict::pass, "and holds whatever they would have scored"},
      {"== 0.65", GateVerdict::inconclusive, "and their scores would decide"},
      {"== 0.75", GateVerdict::fail, "and fails whatever they would have scored"},
  }));
  INFO(condition);
  const auto result = check("pass_rate", condition, kMetrics);
  CHECK(result.verdict == verdict);
  CHECK(result.why ==
        "the pass rate is 66.7 % of what was scored, and 10 items erred: it lies in [60, 70] % " + end);
  // The same from the counts, when the run gives no bounds.
  const auto counted =
      check("pass_rate", condition, R"("scored":90,"errors":10,"pass_rate":0.66666666666666666)");
  CHECK(counted.why == result.why);
}

TEST_CASE("gate: a mean with errors says that they are not in it", "[cli][gate]") {
  const auto result = check("mean", ">= 0.5", R"("count":3,"scored":2,"errors":1,"mean":0.75)");
  CHECK(result.verdict == GateVerdict::pass);
  CHECK(result.why == "mean is 0.75; 1 item erred and is not in it");
}

TEST_CASE("gate: where nothing was measured nothing is claimed", "[cli][gate]") {
  const auto nothing = check("mean", ">= 0", R"("count":5,"scored":0,"errors":5,"mean":null)");
  CHECK(nothing.verdict == GateVerdict::inconclusive);
  CHECK(nothing.why == "nothing was scored: 5 items erred");

  const auto no_threshold =
      check("pass_rate", ">= 0", R"("count":5,"scored":5,"errors":0,"mean":1,"pass_rate":null)");
  CHECK(no_threshold.verdict == GateVerdict::inconclusive);
  CHECK(no_threshold.why == "the run has no pass_rate for correct; give it a pass_threshold");

  const auto gate = parse_gate("other.mean", ">= 0");
  for (const std::string& run :
       {run_with(R"("mean":1)"), std::string("{}"), std::string(R"({"metrics":null})")}) {
    const auto results = check_gates({&*gate, 1}, run);
    REQUIRE(results.has_value());
    CHECK(results->front().verdict == GateVerdict::inconclusive);
    CHECK(results->front().why == "the run has no numbers for other");
  }
}

TEST_CASE("gate: each model of a run must hold the promise, and the worst verdict is the run's",
          "[cli][gate]") {
  const auto gate = parse_gate("correct.mean", ">= 0.5");
  auto results = check_gates({&*gate, 1}, R"({"metrics":[
      {"evaluator":{"name":"correct"},"model":"a/good","mean":0.9,"scored":2,"errors":0},
      {"evaluator":{"name":"correct"},"model":"b/bad","mean":0.1,"scored":2,"errors":0},
      {"evaluator":{"name":"correct"},"model":"c/mute","mean":null,"scored":0,"errors":2}]})");
  REQUIRE(results->size() == 3);
  CHECK((*results)[0].verdict == GateVerdict::pass);
  CHECK((*results)[1].verdict == GateVerdict::fail);
  CHECK((*results)[1].model == "b/bad");
  CHECK((*results)[2].verdict == GateVerdict::inconclusive);
  CHECK(overall(*results) == GateVerdict::fail);
  (*results)[1].verdict = GateVerdict::pass;
  CHECK(overall(*results) == GateVerdict::inconclusive);
  CHECK(overall({}) == GateVerdict::pass);
}
