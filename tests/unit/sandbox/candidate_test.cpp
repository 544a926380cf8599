// Programs from samples, run for an evaluator in jails of their own.
#include <thread>
#include <tuple>

#include "tests/unit/sandbox/pool_fixture.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<Program> asking(const std::string& language) {
  auto program = std::make_shared<Program>();
  program->name = "asks";
  program->language = language;
  program->grants = {"candidate"};
  program->limits.memory_bytes = 128U << 20;
  program->limits.wall = 40s;
  if (language == "lua")
    program->source = R"(
function run_evaluation(item)
  local ran = assay.run_candidate({language = item.metadata.language, source = item.sample.text, stdin = "6 7",
                                   limits = {wall_ms = item.metadata.wall_ms, cpu_ms = 500, memory_bytes = 64 << 20}})
  local failed = ran.error and ran.error.kind or ""
  return {score = ran.exit_code or -1, reason = ran.stdout .. "|" .. ran.stderr .. "|" .. failed,
          metrics = {wall = ran.wall_ms, memory = ran.memory_bytes}}
end)";
  if (language == "python")
    program->source = R"(
import assay
def run_evaluation(item):
    ran = assay.run_candidate(language=item["metadata"]["language"], source=item["sample"]["text"], stdin="6 7",
                              limits={"wall_ms": item["metadata"]["wall_ms"], "cpu_ms": 500, "memory_bytes": 64 << 20})
    return {"score": ran.get("exit_code", -1), "reason": "|".join([ran["stdout"], ran["stderr"], ran.get("error", {}).get("kind", "")]),
            "metrics": {"wall": ran["wall_ms"], "memory": ran["memory_bytes"]}}
)";
  if (language == "node")
    program->source = R"(
export async function run_evaluation(item) {
  const ran = assay.run_candidate({ language: item.metadata.language, source: item.sample.text, stdin: "6 7",
                                    limits: { wall_ms: item.metadata.wall_ms, cpu_ms: 500, memory_bytes: 64 * 1048576 } });
  return { score: ran.exit_code ?? -1, reason: [ran.stdout, ran.stderr, ran.error?.kind ?? ""].join("|"),
           metrics: { wall: ran.wall_ms, memory: ran.memory_bytes } };
}
)";
  return program;
}

// Those that sleep are to run out of time; for the others it is far off, on a busy machine too.
std::string item(const std::string& language, const std::string& source) {
  const std::string wall = source.contains("sleep") ? "1000" : "30000";
  std::string text = R"({"id":"1","index":1,"metadata":{"language":")" + language + R"(","wall_ms":)" + wall +
                     R"(},"sample":{"output":)";
  text += '"';
  for (const char c : source) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + "\"}}";
}

}  // namespace

TEST_CASE("candidate: what it prints and how it ends comes back, and nothing else of it",
          "[sandbox][candidate]") {
  const std::string language = GENERATE("lua", "python", "node");
  const Mode mode = GENERATE(Mode::full, Mode::userns);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!pool.ok()) {
    WARN("this machine cannot: " + pool.error().message);
    return;
  }
  const auto program = asking(language);
  const std::vector<std::tuple<const char*, const char*, double, const char*>> cases = {
      {"python", "a, b = input().split()\nprint(int(a) * int(b))", 0, "42\n||"},
      {"python", "import sys; print('é \"x\"'); print('no', file=sys.stderr); sys.exit(3)", 3,
       "é \"x\"\n|no\n|"},
      {"node", "import { readFileSync } from 'node:fs'; console.log(readFileSync(0, 'utf8').length)", 0,
       "3\n||"},
      {"shell", "read a b; echo $((a + b))", 0, "13\n||"},
      {"python", "while True: pass", -1, "||cpu_limit"},
      {"python", "import time; time.sleep(60)", -1, "||timeout"},
      {"python", "import os; os.kill(os.getpid(), 11)", -1, "||crashed"},
      {"python", "while True: print('x' * 100000)", -1, "||output_limit"},
      {"cobol", "x", -1, "||config"},
      // It is nobody else's process, file or descriptor that it finds.
      {"python", "import os; print(sorted(os.listdir('/tmp')), len(os.listdir('/proc/self/fd')))", 0,
       "['candidate.py'] 4\n||"},
      // Exits before the checks, and prints what looks like a score: text to the evaluator.
      {"python", "print('{\"score\": 1, \"passed\": true}'); import os; os._exit(0)", 0, ""},
  };
  for (const auto& [candidate, source, exit_code, reason] : cases) {
    CAPTURE(language, candidate, source);
    const Outcome outcome = pool.evaluate(program, item(candidate, source));
    CAPTURE(outcome.error.message, outcome.reason);
    REQUIRE(outcome.verdict == Verdict::scored);
    CHECK(outcome.score == exit_code);
    if (*reason != 0) CHECK(outcome.reason == reason);
    CHECK_FALSE(outcome.passed);
  }
}

TEST_CASE("candidate: many at once, while other evaluators run", "[sandbox][candidate][host]") {
  PoolFixture pool({.hosts = 2});
  REQUIRE(pool.ok());
  const auto program = asking("lua");
  const auto outcomes = pool.evaluate_all(
      program, std::vector<std::string>(30, item("shell", "read a b; echo $((a * b)); exit 4")));
  for (const Outcome& outcome : outcomes) {
    CAPTURE(outcome.error.message);
    REQUIRE((outcome.score == 4 && outcome.reason == "42\n||"));
  }
}

TEST_CASE("candidate: without the grant it is refused, to the evaluator and to its host",
          "[sandbox][candidate]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool;
  const auto program = asking(language);
  program->grants.clear();
  const Outcome outcome = pool.evaluate(program, item("python", "print(1)"));
  CAPTURE(outcome.error.message);
  REQUIRE(outcome.error.kind == ErrorKind::evaluator_error);
  CHECK_THAT(outcome.error.message, Catch::Contains("not granted"));
  // By hand, past the runner: the host's own check.
  program->source =
      "import os\ndef run_evaluation(item):\n"
      "    call = b'{\"call\":\"run_candidate\",\"params\":{\"language\":\"shell\",\"source\":\"echo 1\"}}'\n"
      "    os.write(4, len(call).to_bytes(4, 'little') + call)\n    os.read(4, 100)\n    return 1";
  program->language = "python";
  program->limits.wall = 1s;
  CHECK(pool.evaluate(program, item("python", "")).verdict == Verdict::errored);
  CHECK(pool.evaluate(asking(language), item("shell", "echo 1")).score == 0);
}

TEST_CASE("candidate: an evaluator that runs out of time while it waits is told so in time",
          "[sandbox][candidate]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool({.hosts = 1});
  const auto program = asking(language);
  program->limits.wall = 3s;
  const auto began = std::chrono::steady_clock::now();
  const Outcome outcome = pool.evaluate(program, item("shell", "tail -f /dev/null"));
  CAPTURE(outcome.error.message);
  // The candidate's time ends with the evaluator's: either hears of it first.
  const bool told = outcome.verdict == Verdict::scored && outcome.reason == "||timeout";
  CHECK((told || outcome.error.kind == ErrorKind::timeout));
  CHECK(std::chrono::steady_clock::now() - began < 20s);
  program->limits.wall = 20s;
  CHECK(pool.evaluate(program, item("shell", "exit 5")).score == 5);
}

TEST_CASE("candidate: what goes wrong with it by our fault is no score of its evaluator's",
          "[sandbox][candidate]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool;
  REQUIRE(pool.ok());
  const auto program = asking(language);
  CHECK(pool.evaluate(program, item("shell", "exit 5")).score == 5);
  std::optional<Outcome> outcome;
  pool->submit(program, item("shell", "sleep 100"), [&](Outcome ended) { outcome = std::move(ended); });
  pool.run_until([&, begin = Clock::now()] { return Clock::now() - begin > 500ms; });
  std::this_thread::sleep_for(3s);  // the worker stands still, and the candidate's second passes
  pool.run_until([&] { return outcome.has_value(); });
  CAPTURE(outcome->reason, outcome->error.message);
  CHECK(outcome->error.kind == ErrorKind::internal);
  CHECK(pool.evaluate(program, item("shell", "exit 5")).score == 5);
}
