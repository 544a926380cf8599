#include "core/outcome.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

using namespace assay;

namespace {

std::string wire(const OutcomeId& id, const Outcome& outcome) {
  std::string text;
  append_outcome_json(text, id, outcome);
  return text;
}

Result<OutcomeRow> from_wire(std::string_view text) {
  const auto json = parse_json(text);
  REQUIRE(json.has_value());
  return outcome_from_json(*json);
}

std::string random_text(std::mt19937& random) {
  std::string text(random() % 30, '\0');
  for (char& c : text) c = static_cast<char>(random() % 128);
  return text;
}

Outcome random_outcome(std::mt19937& random) {
  Outcome outcome;
  switch (random() % 3) {
    case 0:
      outcome =
          Outcome::scored(std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 200) - 100));
      outcome.reason = random_text(random);
      if (random() % 2 == 0) outcome.passed = random() % 2 == 0;
      // In the order of their names: an object on the wire has no other.
      for (unsigned i = 0; i < random() % 4; ++i)
        outcome.metrics.emplace_back("m" + std::to_string(i), -0.5 * (i + 1));
      break;
    case 1:
      outcome = Outcome::errored(static_cast<ErrorKind>(random() % 22), random_text(random));
      break;
    case 2:
      outcome = Outcome::generated(random_text(random));
      outcome.generation = "abc";
      break;
    default:
      outcome = Outcome::skipped(random_text(random));
  }
  outcome.log = random_text(random);
  outcome.usage = {.wall = std::chrono::microseconds(random()),
                   .cpu = std::chrono::microseconds(random()),
                   .memory_bytes = random(),
                   .method = random() % 2 == 0 ? "rusage" : ""};
  return outcome;
}

}  // namespace

TEST_CASE("outcome: what is written reads back as it was", "[core][outcome]") {
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    const Outcome outcome = random_outcome(random);
    const OutcomeId id{.item = static_cast<int64_t>(random()) << 20,
                       .model = static_cast<int>(random() % 3),
                       .evaluator = static_cast<int>(random() % 3),
                       .trial = static_cast<int>(random() % 3)};
    const std::string text = wire(id, outcome);
    INFO(text);
    const auto row = from_wire(text);
    REQUIRE(row.has_value());
    REQUIRE(row->id == id);
    REQUIRE(row->outcome.verdict == outcome.verdict);
    REQUIRE(row->outcome.metrics == outcome.metrics);
    REQUIRE(row->outcome.passed == outcome.passed);
    // The form is canonical, so the same text again means that nothing was lost.
    REQUIRE(wire(row->id, row->outcome) == text);
  }
}

TEST_CASE("outcome: the wire form leaves out what is not there", "[core][outcome]") {
  CHECK(wire({.item = 3}, Outcome::scored(0.5)) ==
        R"({"item":3,"score":0.5,"usage":{"wall_us":0,"cpu_us":0,"memory_bytes":0}})");
  CHECK(wire({.item = 0, .model = 1, .evaluator = 2, .trial = 3},
             Outcome::errored(ErrorKind::cpu_limit, "used 2 s")) ==
        R"({"item":0,"model":1,"evaluator":2,"trial":3,"error":{"kind":"cpu_limit","message":"used 2 s"},)"
        R"("usage":{"wall_us":0,"cpu_us":0,"memory_bytes":0}})");
  CHECK(wire({.item = 1}, Outcome::skipped("no answer")) ==
        R"({"item":1,"skipped":"no answer","usage":{"wall_us":0,"cpu_us":0,"memory_bytes":0}})");
}

TEST_CASE("outcome: what models were asked travels to the nano-dollar", "[core][outcome]") {
  Outcome outcome = Outcome::scored(1);
  outcome.usage.models = {.calls = 3,
                          .from_cache = 1,
                          .input_tokens = 100,
                          .cached_tokens = 40,
                          .output_tokens = 20,
                          .reasoning_tokens = 5,
                          .nano_dollars = 123'456'789'012'347,
                          .unpriced = 1,
                          .estimated = 2};
  const auto row = from_wire(wire({.item = 1}, outcome));
  REQUIRE(row);
  CHECK(row->outcome.usage.models == outcome.usage.models);
  ModelUse twice = outcome.usage.models;
  twice += outcome.usage.models;
  CHECK(twice.calls == 6);
  CHECK(twice.nano_dollars == 246'913'578'024'694);
}

TEST_CASE("outcome: each bad field is refused by its name", "[core][outcome]") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {R"([])", "an outcome must be an object"},
      {R"({"score":1})", "item is missing"},
      {R"({"item":"1","score":1})", "item must be a whole number"},
      {R"({"item":1.5,"score":1})", "item must be a whole number"},
      {R"({"item":null,"score":1})", "item must be a whole number"},
      {R"({"item":-1,"score":1})", "item is out of range"},
      {R"({"item":18446744073709551615,"score":1})", "item is too large"},
      {R"({"item":9007199254740993,"score":1})", "item is too large"},
      {R"({"item":1,"model":-1,"score":1})", "model is out of range"},
      {R"({"item":1,"evaluator":2147483648,"score":1})", "evaluator is too large"},
      {R"({"item":1,"trial":true,"score":1})", "trial must be a whole number"},
      {R"({"item":1})", "an outcome has exactly one of score, error, skipped, output"},
      {R"({"item":1,"score":1,"error":{"kind":"timeout"}})",
       "an outcome has exactly one of score, error, skipped, output"},
      {R"({"item":1,"score":1,"skipped":""})", "an outcome has exactly one of score, error, skipped, output"},
      {R"({"item":1,"score":null})", "score must be a finite number"},
      {R"({"item":1,"score":"0.5"})", "score must be a finite number"},
      {R"({"item":1,"score":true})", "score must be a finite number"},
      {R"({"item":1,"score":1,"passed":1})", "passed must be true, false or null"},
      {R"({"item":1,"score":1,"reason":5})", "reason must be a string"},
      {R"({"item":1,"score":1,"metrics":[1]})", "metrics must be an object of numbers"},
      {R"({"item":1,"score":1,"metrics":{"f1":"x"}})", "metrics.f1 must be a finite number"},
      {R"({"item":1,"score":1,"metrics":{"f1":null}})", "metrics.f1 must be a finite number"},
      {R"({"item":1,"error":"timeout"})", "error must be an object"},
      {R"({"item":1,"error":{"kind":3}})", "kind must be a string"},
      {R"({"item":1,"error":{"kind":"timeout","message":{}}})", "message must be a string"},
      {R"({"item":1,"skipped":true})", "skipped must be a string"},
      {R"({"item":1,"output":{"a":1}})", "output must be a string"},
      {R"({"item":1,"score":1,"output":"x"})", "an outcome has exactly one of score, error, skipped, output"},
      {R"({"item":1,"score":1,"generation":7})", "generation must be a string"},
      {R"({"item":1,"score":1,"log":[]})", "log must be a string"},
      {R"({"item":1,"score":1,"usage":5})", "usage must be an object"},
      {R"({"item":1,"score":1,"usage":{"wall_us":-5}})", "wall_us is out of range"},
      {R"({"item":1,"score":1,"usage":{"cpu_us":0.5}})", "cpu_us must be a whole number"},
      {R"({"item":1,"score":1,"usage":{"memory_bytes":"1"}})", "memory_bytes must be a whole number"},
      {R"({"item":1,"score":1,"usage":{"method":1}})", "method must be a string"},
      {R"({"item":1,"score":1,"usage":{"models":1}})", "usage.models must be an object"},
      {R"({"item":1,"score":1,"usage":{"models":{"calls":-1}}})", "calls is out of range"},
      {R"({"item":1,"score":1,"usage":{"models":{"calls":1,"cost":-1}}})",
       "usage.models.cost must be a number from 0 to 9000000"},
      {R"({"item":1,"score":1,"usage":{"models":{"calls":1,"cost":"1"}}})",
       "usage.models.cost must be a number from 0 to 9000000"},
  }));
  INFO(text);
  const auto row = from_wire(text);
  REQUIRE_FALSE(row.has_value());
  CHECK(row.error().kind == ErrorKind::config);
  CHECK(row.error().message == message);
}

TEST_CASE("outcome: a score that is no finite number never gets in", "[core][outcome]") {
  for (const double score : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    const auto row = outcome_from_json(Json{{"item", 1}, {"score", score}});
    REQUIRE_FALSE(row.has_value());
    CHECK(row.error().message == "score must be a finite number");
  }
}

TEST_CASE("outcome: an error kind this build does not know stays an error", "[core][outcome]") {
  const auto row = from_wire(R"({"item":1,"error":{"kind":"gpu_limit","message":"m"}})");
  REQUIRE(row.has_value());
  CHECK(row->outcome.verdict == Verdict::errored);
  CHECK(row->outcome.error.kind == ErrorKind::internal);
}

TEST_CASE("outcome: the threshold decides only where the evaluator did not", "[core][outcome]") {
  Outcome outcome = Outcome::scored(0.5);
  apply_threshold(outcome, std::nullopt);
  CHECK_FALSE(outcome.passed.has_value());
  apply_threshold(outcome, 0.5);
  CHECK(outcome.passed == true);

  Outcome said = Outcome::scored(0);
  said.passed = true;
  apply_threshold(said, 0.5);
  CHECK(said.passed == true);

  Outcome errored = Outcome::errored(ErrorKind::timeout, "late");
  apply_threshold(errored, 0);
  CHECK_FALSE(errored.passed.has_value());
}

TEST_CASE("outcome: every error kind has a name of its own", "[core][outcome]") {
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::cancelled); ++kind)
    CHECK(error_kind_from(to_string(static_cast<ErrorKind>(kind))) == static_cast<ErrorKind>(kind));
}
