#include "cli/report.hpp"

#include <catch2/catch.hpp>

using namespace assay::cli;

namespace {

std::string rendered(std::string_view run, std::vector<WorstItem> worst = {}, ReportStyle style = {}) {
  const auto text = render_report(run, worst, style);
  REQUIRE(text.has_value());
  return "\n" + *text;
}

constexpr auto kRun =
    R"({"id":"run_1","status":"completed","progress":{"items_done":1319,"items_total":1319,"errors":3},
"metrics":[
 {"evaluator":{"id":"eval_1","name":"exact-answer"},"count":1319,"scored":1319,"errors":0,"skipped":0,
  "mean":0.562547,"stderr":0.013664,"ci95":[0.53574,0.58935],"min":0,"max":1,"pass_rate":0.562547,
  "pass_ci95":[0.535633,0.589099],"bounds":[0.562547,0.562547],"latency":{"p50_ms":0.2104,"p95_ms":0.43},"errors_by_kind":{}},
 {"evaluator":{"id":"eval_2","name":"tone"},"count":1319,"scored":1316,"errors":3,"skipped":0,
  "mean":0.5,"stderr":0.01,"ci95":[0.48,0.52],"min":0,"max":1,"pass_rate":0.25,"pass_ci95":[0.2273,0.2741],
  "bounds":[0.249431,0.251706],"latency":{"p50_ms":12,"p95_ms":2100},"errors_by_kind":{"timeout":2,"bad_result":1}}]})";

}  // namespace

TEST_CASE("report: numbers are aligned and errors stand beside the mean", "[cli][report]") {
  CHECK(rendered(kRun) == R"(
run_1  completed  1,319 items

evaluator     scored  errors             mean            pass rate      p50      p95
exact-answer   1,319       0  0.5625 ± 0.0137  56.3 % [53.6, 58.9]  0.21 ms  0.43 ms
tone           1,316       3       0.5 ± 0.01  25.0 % [22.7, 27.4]    12 ms    2.1 s
  3 of 1,319 not scored, in no mean and no pass rate: bad_result 1, timeout 2
  counting them, the pass rate lies in [24.9, 25.2] %
)");
}

TEST_CASE("report: what models cost stands below, and an unknown price is no price of 0", "[cli][report]") {
  CHECK(rendered(R"({"id":"run_2","status":"completed","progress":{"items_done":2,"items_total":2},"metrics":[
    {"evaluator":{"name":"a"},"scored":2,"mean":1,
     "models":{"calls":1200,"input_tokens":34567,"output_tokens":89,"cost":0.01234,"estimated":3}},
    {"evaluator":{"name":"b"},"scored":2,"mean":1,
     "models":{"calls":2,"input_tokens":5,"output_tokens":6,"unpriced":1,"cost":0.5}},
    {"evaluator":{"name":"c"},"scored":2,"mean":1,"models":{"calls":1,"unpriced":1}}]})") == R"(
run_2  completed  2 items

evaluator  scored  errors  mean  pass rate  p50  p95
a               2       0     1          –    –    –
  1,200 model calls, 34,567 tokens in, 89 out, about $0.0123
b               2       0     1          –    –    –
  2 model calls, 5 tokens in, 6 out, $0.5, 1 of no known price
c               2       0     1          –    –    –
  1 model call, 0 tokens in, 0 out, 1 of no known price
)");
}

TEST_CASE("report: models and skipped items have columns when there are any", "[cli][report]") {
  CHECK(rendered(R"({"id":"run_2","status":"running","progress":{"items_done":1,"items_total":2},"metrics":[
    {"evaluator":{"name":"a"},"model":"x/small","scored":1,"errors":0,"skipped":1,"mean":1,"pass_rate":null},
    {"evaluator":{"name":"a"},"model":"y/larger","scored":0,"errors":0,"skipped":0,"mean":null}]})") == R"(
run_2  running  1 of 2 items

evaluator  model     scored  errors  skipped  mean  pass rate  p50  p95
a          x/small        1       0        1     1          –    –    –
a          y/larger       0       0        0     –          –    –    –
)");
}

TEST_CASE("report: a run that failed says why", "[cli][report]") {
  CHECK(rendered(R"({"id":"run_3","status":"error","error":{"message":"no workers"},"metrics":[]})") == R"(
run_3  error
no workers
no metrics yet
)");
  CHECK_FALSE(render_report("[]", {}, {}).has_value());
  CHECK_FALSE(render_report("{", {}, {}).has_value());
}

TEST_CASE("report: the worst items are cut to the terminal and cannot command it", "[cli][report]") {
  const std::vector<WorstItem> worst = {
      {.index = 3,
       .id = "q-4",
       .evaluator = "correct",
       .score = 0.0,
       .reason = "expected 12, got 13",
       .input = "How\nmany?"},
      {.index = 17,
       .evaluator = "correct",
       .error_kind = "timeout",
       .reason = "\x1b[2Jthe wall-clock deadline of 10 s passed"},
  };
  CHECK(rendered(R"({"id":"run_4","status":"completed"})", worst, {.width = 30}) ==
        R"(
run_4  completed
no metrics yet

worst items
  #3 (q-4)  correct  score 0
    expected 12, got 13
    input: How many?
  #17  correct  timeout
    )"
        "\uFFFD"
        R"([2Jthe wall-clock deadli…
)");
}

TEST_CASE("report: colours only when told, and never in the widths", "[cli][report]") {
  const std::string text = rendered(R"({"id":"run_5","status":"completed","metrics":[
    {"evaluator":{"name":"\u001b[31mx"},"scored":1,"errors":1,"count":2,"mean":1}]})",
                                    {}, {.colour = true});
  CHECK_THAT(text, Catch::Contains("\x1b[32mcompleted\x1b[0m"));
  CHECK_THAT(text, Catch::Contains("\x1b[31m     1\x1b[0m"));
  CHECK_THAT(text, Catch::Contains("\uFFFD[31mx"));
  CHECK_THAT(rendered(kRun), !Catch::Contains("\x1b"));
}

TEST_CASE("report: a gate a line", "[cli][report]") {
  std::vector<GateResult> results(3);
  results[0] = {.gate = *parse_gate("a.mean", ">= 0.5"), .verdict = GateVerdict::pass, .why = "mean is 0.6"};
  results[1] = {.gate = *parse_gate("b.errors", "== 0"),
                .model = "x/y",
                .verdict = GateVerdict::fail,
                .why = "errors is 3"};
  results[2] = {.gate = *parse_gate("c.mean", ">= 0.5"), .why = "nothing was scored"};
  CHECK("\n" + render_gates(results, {}) == R"(
PASS          a.mean >= 0.5: mean is 0.6
FAIL          b.errors == 0 (x/y): errors is 3
INCONCLUSIVE  c.mean >= 0.5: nothing was scored
)");
  CHECK(render_gates({}, {}).empty());
}
