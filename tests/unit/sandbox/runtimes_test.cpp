// Evaluators in every language, in real jails, in every mode that this machine can build: what they return,
// and the words an author gets to read when they return it wrongly. What attackers try is in tests/attack.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/unit/sandbox/pool_fixture.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace std::chrono_literals;

namespace {

constexpr const char* kItem =
    R"({"id":"7","index":3,"sample":{"input":"in","output":"a\"b é"},"ground_truth":{"output":"c"},)"
    R"("metadata":{"n":1},"params":{}})";

std::shared_ptr<const Program> evaluator(const std::string& language, std::string source, Limits limits = {},
                                         std::string params = "{}") {
  auto program = std::make_shared<Program>();
  program->name = "test";
  program->language = language;
  program->source = std::move(source);
  program->params = std::move(params);
  program->limits = at_this_speed(limits);
  program->limits.memory_bytes = 128U << 20;
  return program;
}

std::shared_ptr<const Program> python(const std::string& body, Limits limits = {}) {
  return evaluator("python", "def run_evaluation(item):\n" + body, limits);
}

bool can_run(PoolFixture& pool) {
  if (!pool.ok()) WARN("this machine cannot: " + pool.error().message);
  return pool.ok();
}

struct Wrong {
  const char* language;
  const char* source;
  ErrorKind kind;
  const char* message;  ///< a part of it
};

}  // namespace

TEST_CASE("python: items, results, log and what was used", "[sandbox][python][host]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!can_run(pool)) return;
  const auto program = evaluator("python", R"py(
import json, random, evaluator
count = 0
def run_evaluation(item):
    global count
    count += 1
    print("said", json.dumps(item["sample"]["text"], ensure_ascii=False))
    return {"score": count / 2, "passed": item["ground_truth"]["text"] == "c", "reason": params["why"],
            "metrics": {"random": random.random(), "index": item["index"]}}
)py",
                                 {}, R"({"why":"because é"})");
  const Outcome first = pool.evaluate(program, kItem);
  CAPTURE(first.error.message, first.log);
  REQUIRE(first.verdict == Verdict::scored);
  CHECK((first.score == 0.5 && first.passed == true && first.reason == "because é"));
  CHECK(first.log == "said \"a\\\"b é\"\n");
  CHECK((first.usage.cpu > 0us && first.usage.wall >= first.usage.cpu / 2));
  CHECK((first.usage.memory_bytes > 1'000'000 && !first.usage.method.empty()));
  // A fresh module and the same random numbers, whatever ran before.
  const Outcome second = pool.evaluate(program, kItem);
  CHECK((second.score == 0.5 && second.metrics == first.metrics));
}

TEST_CASE("python: thousands of items, each with its own score, by several interpreters",
          "[sandbox][python]") {
  PoolFixture pool({.hosts = 2});
  const auto program = python("    return item['index'] * 2");
  std::vector<std::string> items;
  for (int i = 0; i < 1'000; i++) items.push_back("{\"id\":\"x\",\"index\":" + std::to_string(i) + "}");
  items[500].insert(1, "\"big\":\"" + std::string(5'000'000, 'x') + "\",");
  const auto outcomes = pool.evaluate_all(program, items);
  for (int i = 0; i < 1'000; i++) {
    CAPTURE(i, outcomes[i].error.message);
    REQUIRE(outcomes[i].verdict == Verdict::scored);
    REQUIRE(outcomes[i].score == 2 * i);
  }
}

TEST_CASE("node: items, results, log and what was used", "[sandbox][node][host]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!can_run(pool)) return;
  const char* const source = R"js(
import { createHash } from "node:crypto";
let count = 0;
export async function run_evaluation(item) {
  count += 1;
  console.log("said", JSON.stringify(item.sample.text));
  await new Promise((resolve) => setTimeout(resolve, 5));
  return { score: count / 2, passed: item.ground_truth.text === "c", reason: params.why,
           metrics: { random: Math.random(), index: item.index, hash: createHash("md5").digest().length } };
})js";
  const auto program = evaluator("node", source, {}, R"({"why":"because é"})");
  const Outcome first = pool.evaluate(program, kItem);
  CAPTURE(first.error.message, first.log);
  REQUIRE(first.verdict == Verdict::scored);
  CHECK((first.score == 0.5 && first.passed == true && first.reason == "because é"));
  CHECK(first.log == "said \"a\\\"b é\"\n");
  CHECK((first.usage.cpu > 0us && first.usage.memory_bytes > 1'000'000));
  const Outcome second = pool.evaluate(program, kItem);
  CHECK((second.score == 0.5 && second.metrics == first.metrics));
  // One process for the whole run, when the evaluator says that it may.
  auto shared = std::make_shared<Program>(*program);
  shared->isolation = "run";
  for (int i = 1; i <= 3; i++) CHECK(pool.evaluate(shared, kItem).score == i / 2.0);
  // And for that run alone, whoever else has the same evaluator.
  auto of_another = std::make_shared<Program>(*shared);
  of_another->run = "run_2";
  CHECK(pool.evaluate(of_another, kItem).score == 0.5);
}

TEST_CASE("shell and command: the item on standard input, the result on standard output",
          "[sandbox][command][host]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns);
  PoolFixture pool({.mode = mode});
  if (!can_run(pool)) return;
  const auto script = evaluator("shell", R"sh(
item=$(cat)
echo "params $ASSAY_PARAMS" >&2
case $item in *'"text":"c"'*) echo '{"score": 0.25, "reason": "found"}' ;; *) echo false ;; esac
)sh",
                                {}, R"({"a":1})");
  const Outcome scored = pool.evaluate(script, kItem);
  CAPTURE(scored.error.message, scored.log);
  REQUIRE(scored.verdict == Verdict::scored);
  CHECK((scored.score == 0.25 && scored.reason == "found" && scored.log == "params {\"a\":1}\n"));
  CHECK((scored.usage.cpu > 0us && scored.usage.memory_bytes > 0));
  const Outcome other = pool.evaluate(script, "{}");
  CHECK((other.score == 0 && other.passed == false));
  // By the first line of the script; found on the path of the sandbox.
  const auto shebang =
      evaluator("shell", "#!/usr/bin/env python3\nimport sys\nprint(len(sys.stdin.read()))\n");
  CHECK(pool.evaluate(shebang, "{}").score == 3);
  const auto shell = evaluator("command", R"js(["sh","-c","echo $((6*7))"])js");
  CHECK(pool.evaluate(shell, kItem).score == 42);
  const auto echo = evaluator("command", R"(["/bin/echo","1e-3"])");
  CHECK(pool.evaluate(echo, kItem).score == 0.001);
  // Nothing of one item is there for the next, and several run at once.
  const auto leaves = evaluator("shell", "ls /tmp | grep -v '^evaluator$' | wc -l; touch /tmp/left");
  const auto outcomes = pool.evaluate_all(leaves, std::vector<std::string>(40, kItem));
  CHECK(std::ranges::all_of(outcomes, [](const Outcome& outcome) {
    return outcome.verdict == Verdict::scored && outcome.score == 0;
  }));
}

TEST_CASE("programs of all kinds share the places, and none starves", "[sandbox][runtimes]") {
  PoolFixture pool({.hosts = GENERATE(size_t{1}, size_t{2})});
  const std::vector<std::shared_ptr<const Program>> programs = {
      evaluator("shell", "echo 1"), evaluator("shell", "echo 2"), python("    return 3"),
      evaluator("lua", "function run_evaluation(item) return 4 end")};
  // Endless work for each; all must go on getting turns.
  std::vector<int> done(programs.size());
  bool stop = false;
  size_t under_way = 0;
  std::function<void(size_t)> again = [&](size_t i) {
    if (stop) return;
    under_way++;
    pool->submit(programs[i], kItem, [&, i](Outcome outcome) {
      under_way--;
      REQUIRE(outcome.score == static_cast<double>(i + 1));
      done[i]++;
      again(i);
    });
  };
  for (size_t i = 0; i < programs.size(); i++)
    for (int n = 0; n < 5; n++) again(i);
  pool.run_until([&] { return std::ranges::all_of(done, [](int count) { return count >= 10; }); });
  stop = true;
  pool.run_until([&] { return under_way == 0; });
}

TEST_CASE("shell: without namespaces it is refused, with the reason", "[sandbox][command]") {
  PoolFixture pool({.mode = Mode::nons});
  if (!can_run(pool)) return;
  const auto prepared = pool.prepare(evaluator("shell", "echo 1"));
  REQUIRE_FALSE(prepared);
  CHECK(prepared.error().kind == ErrorKind::config);
  CHECK_THAT(prepared.error().message, Catch::Contains("need namespaces"));
  CHECK(pool.evaluate(python("    return 1"), "{}").score == 1);
}

TEST_CASE("an evaluator that cannot be loaded is a fault of its configuration", "[sandbox][runtimes]") {
  PoolFixture pool;
  REQUIRE(pool.ok());
  const auto wrong = GENERATE(values<Wrong>({
      {"python", "def run_evaluation(item)\n    return 1\n", ErrorKind::config, "test.py\", line 1"},
      {"python", "x = 1\n", ErrorKind::config, "defines no function run_evaluation"},
      {"python", "run_evaluation = 7\n", ErrorKind::config, "defines no function run_evaluation"},
      {"python", "\nimport no_such_module\n", ErrorKind::config, "No module named 'no_such_module'"},
      {"python", "\n\nraise RuntimeError('at the top')\n", ErrorKind::config, "line 3"},
      {"python", "import sys\nsys.exit(3)\n", ErrorKind::config, "exit"},
      {"python", "import os\nos._exit(3)\n", ErrorKind::config, "loading the evaluator"},
      {"python", "import os\nos.close(3)\n", ErrorKind::config, "loading the evaluator"},
      {"python", "while True: pass\n", ErrorKind::config, "took longer than 2000 ms"},
      {"python", "import time\ntime.sleep(100)\n", ErrorKind::config, "took longer than 2000 ms"},
      {"python", "x = bytearray(1 << 30)\n", ErrorKind::config, "MemoryError"},
      {"python", "import os\nos.abort()\n", ErrorKind::config, "SIGABRT"},
      {"python", "import os\nos.write(4, b'12345678')\nos._exit(0)", ErrorKind::config, "loading"},
      {"node", "export function run_evaluation(item) {\n  return 1 +\n}", ErrorKind::config, "test.mjs:3"},
      {"node", "export const x = 1;", ErrorKind::config, "exports no function run_evaluation"},
      {"node", "import x from 'no-such-package';", ErrorKind::config, "no-such-package"},
      {"node", "\nthrow new Error('at the top');", ErrorKind::config, "test.mjs:2"},
      {"node", "process.exit(3);", ErrorKind::config, "loading the evaluator"},
      {"node", "await new Promise(() => {});", ErrorKind::config, "loading the evaluator"},
      {"node", "for (;;);", ErrorKind::config, "took longer than 2000 ms"},
      {"shell", "#!/usr/bin/no-such\necho 1\n", ErrorKind::config, "no interpreter /usr/bin/no-such"},
      {"command", "echo 1", ErrorKind::config, "JSON array of strings"},
      {"command", "[]", ErrorKind::config, "JSON array of strings"},
      {"command", "[\"a\",7]", ErrorKind::config, "JSON array of strings"},
      {"command", "[\"no-such-program\"]", ErrorKind::config, "no program no-such-program"},
  }));
  Limits limits;
  limits.load = 2s;
  const auto prepared = pool.prepare(evaluator(wrong.language, wrong.source, limits));
  CAPTURE(wrong.language, wrong.source);
  REQUIRE_FALSE(prepared);
  CAPTURE(prepared.error().message);
  CHECK(prepared.error().kind == wrong.kind);
  CHECK_THAT(prepared.error().message, Catch::Contains(wrong.message));
  CHECK_THAT(prepared.error().message, !Catch::Contains("<string>") && !Catch::Contains("runner.py"));
}

TEST_CASE("a Node evaluator may import much", "[sandbox][runtimes]") {
  // V8 collects what is not held: with these the collector runs while the modules are linked.
  PoolFixture pool;
  REQUIRE(pool.ok());
  std::string source;
  for (const char* name :
       {"child_process", "dgram", "fs", "net", "os", "process", "v8", "worker_threads", "zlib"})
    source += std::string("import * as ") + name + " from 'node:" + name + "';\n";
  source +=
      "for (let i = 0; i < 50; i++) new Array(100000).fill(i);\n"
      "export const run_evaluation = async () => typeof (await import('node:util')).inspect === "
      "'function';\n";
  const auto outcome = pool.evaluate(evaluator("node", source, {}), kItem);
  CAPTURE(outcome.error.message);
  CHECK(outcome.score == 1);
}

TEST_CASE("a result that is none ends the item with words that help, and the run goes on",
          "[sandbox][runtimes]") {
  PoolFixture pool;
  REQUIRE(pool.ok());
  const std::string deep = "    x = {}\n    for i in range(2000): x = {'score': x}\n    return x";
  const std::vector<std::tuple<std::string, ErrorKind, std::string>> bodies = {
      {"    return float('nan')", ErrorKind::bad_result, "not finite"},
      {"    return float('inf')", ErrorKind::bad_result, "not finite"},
      {"    return 10 ** 400", ErrorKind::bad_result, "no usable number"},
      {"    return '1'", ErrorKind::bad_result, "the string \"1\""},
      {"    return None", ErrorKind::bad_result, "None"},
      {"    pass", ErrorKind::bad_result, "None"},
      {"    return []", ErrorKind::bad_result, "a list"},
      {"    return {}", ErrorKind::bad_result, "no score"},
      {"    return {'score': '1'}", ErrorKind::bad_result, "the string \"1\""},
      {"    return {'score': 1, 'passed': 'yes'}", ErrorKind::bad_result, "passed is"},
      {"    return {'score': 1, 'reason': 7}", ErrorKind::bad_result, "reason is 7"},
      {"    return {'score': 1, 'metrics': {'a': 'b'}}", ErrorKind::bad_result, "metrics['a']"},
      {"    return {'score': 1, 'metrics': {str(i): i for i in range(2000)}}", ErrorKind::bad_result,
       "1000 metrics"},
      {"    return {'score': 1, 'reason': 'x' * (10 << 20)}", ErrorKind::output_limit, "larger than"},
      {deep, ErrorKind::bad_result, "a dict"},
      {"    yield 1", ErrorKind::bad_result, "a generator"},
      {"    import os; os.write(4, b'\\x01\\0\\0\\x001'); return 2", ErrorKind::bad_result, "no answer"},
      {"    import os; os.write(4, b'score: 1'); os._exit(0)", ErrorKind::bad_result, "no answer"},
      {"    import os; os._exit(0)", ErrorKind::crashed, "without an answer"},
      {"    import os; os._exit(7)", ErrorKind::crashed, "code 7"},
      {"    import os; os.close(4); return 1", ErrorKind::crashed, "without an answer"},
      {"    import sys; sys.exit(0)", ErrorKind::evaluator_error, "exit(0)"},
      {"    return item['nothing']", ErrorKind::evaluator_error, "KeyError: 'nothing'"},
      {"    return 1 / 0", ErrorKind::evaluator_error, "test.py\", line 2, in run_evaluation"},
      {"    raise KeyboardInterrupt", ErrorKind::evaluator_error, "KeyboardInterrupt"},
      {"    return run_evaluation(item)", ErrorKind::evaluator_error, "RecursionError"},
      {"    raise ValueError('\\udc80' * 10)", ErrorKind::evaluator_error, "ValueError"},
      {"    return bytearray(1 << 30)", ErrorKind::memory_limit, "ran out of memory"},
  };
  for (const auto& [body, kind, message] : bodies) {
    CAPTURE(body);
    const Outcome outcome = pool.evaluate(python(body), R"({"id":"1","index":1})");
    CAPTURE(outcome.error.message);
    REQUIRE(outcome.verdict == Verdict::errored);
    CHECK(to_string(outcome.error.kind) == to_string(kind));
    CHECK_THAT(outcome.error.message, Catch::Contains(message));
    CHECK_THAT(outcome.error.message, !Catch::Contains("<string>"));
  }
  const std::vector<std::tuple<std::string, ErrorKind, std::string>> javascript = {
      {"return NaN", ErrorKind::bad_result, "not finite"},
      {"return '1'", ErrorKind::bad_result, "the string \"1\""},
      {"", ErrorKind::bad_result, "returned undefined"},
      {"return []", ErrorKind::bad_result, "an array"},
      {"return 10n", ErrorKind::bad_result, "a bigint"},
      {"return {}", ErrorKind::bad_result, "no score"},
      {"return {score: 1, passed: 'yes'}", ErrorKind::bad_result, "passed is"},
      {"return {score: 1, metrics: {a: 'b'}}", ErrorKind::bad_result, "metrics.a"},
      {"return {score: 1, reason: 'x'.repeat(10 << 20)}", ErrorKind::output_limit, "larger than"},
      {"throw new TypeError('told to')", ErrorKind::evaluator_error, "test.mjs:2:"},
      {"throw 7", ErrorKind::evaluator_error, "threw 7"},
      {"return run_evaluation(item)", ErrorKind::evaluator_error, "Maximum call stack"},
      {"return new Promise(() => {})", ErrorKind::evaluator_error, "settle"},
      {"Promise.reject(new Error('unhandled')); await new Promise((r) => setTimeout(r, 50)); return 1",
       ErrorKind::evaluator_error, "unhandled"},
      {"process.exit(0)", ErrorKind::evaluator_error, "process.exit(0)"},
      {"process.abort()", ErrorKind::crashed, "SIGABRT"},
      {"const a = []; for (;;) a.push(new Array(1000).fill(0.5))", ErrorKind::memory_limit, "memory"},
  };
  for (const auto& [body, kind, message] : javascript) {
    CAPTURE(body);
    const auto program = evaluator("node", "export async function run_evaluation(item) {\n  " + body + "\n}");
    const Outcome outcome = pool.evaluate(program, kItem);
    CAPTURE(outcome.error.message);
    REQUIRE(outcome.verdict == Verdict::errored);
    CHECK(to_string(outcome.error.kind) == to_string(kind));
    CHECK_THAT(outcome.error.message, Catch::Contains(message));
    CHECK_THAT(outcome.error.message, !Catch::Contains("[eval") && !Catch::Contains("node:internal"));
  }
  const std::vector<std::tuple<std::string, ErrorKind, std::string>> scripts = {
      {"echo nan", ErrorKind::bad_result, "nan"},
      {"echo", ErrorKind::bad_result, "is no JSON"},
      {"echo 1; echo 1", ErrorKind::bad_result, "one result only"},
      {"echo hello; echo 1", ErrorKind::bad_result, "hello"},
      {"yes 1", ErrorKind::output_limit, "larger than"},
      {"echo broken >&2; exit 3", ErrorKind::evaluator_error, "exited with code 3:\nbroken"},
      {"no-such-command", ErrorKind::evaluator_error, "not found"},
      {"kill -SEGV $$", ErrorKind::crashed, "SIGSEGV"},
  };
  for (const auto& [script, kind, message] : scripts) {
    CAPTURE(script);
    const Outcome outcome = pool.evaluate(evaluator("shell", script), kItem);
    CAPTURE(outcome.error.message);
    REQUIRE(outcome.verdict == Verdict::errored);
    CHECK(to_string(outcome.error.kind) == to_string(kind));
    CHECK_THAT(outcome.error.message, Catch::Contains(message));
  }
}

TEST_CASE("limits: deadlines are kept, with the log so far", "[sandbox][runtimes][host]") {
  PoolFixture pool;
  REQUIRE(pool.ok());
  // On a busy machine the other limit must not be what runs out.
  Limits brief, busy;
  brief.wall = 2s;
  busy.wall = 60s;
  busy.cpu = 200ms;
  const auto check = [&](const std::shared_ptr<const Program>& program, ErrorKind kind) {
    const auto began = std::chrono::steady_clock::now();
    const Outcome outcome = pool.evaluate(program, kItem);
    const auto took = std::chrono::steady_clock::now() - began;
    CAPTURE(program->source, outcome.error.message);
    CHECK(to_string(outcome.error.kind) == to_string(kind));
    CHECK(outcome.log == "before\n");
    CHECK(took < 15s * slowness());  // a start, the limit, and room for a busy machine
  };
  check(python("    print('before', flush=True)\n    import time\n    time.sleep(60)", brief),
        ErrorKind::timeout);
  check(python("    print('before', flush=True)\n    while True: pass", busy), ErrorKind::cpu_limit);
  check(evaluator("shell", "echo before >&2; sleep 60; echo 1", brief), ErrorKind::timeout);
  check(evaluator("shell", "echo before >&2; while :; do :; done", busy), ErrorKind::cpu_limit);
  // What it left running is ended with it and does not hold up the answer.
  CHECK(pool.evaluate(evaluator("shell", "sleep 60 & echo 1", brief), kItem).score == 1);
}

TEST_CASE("nons: what a jail leaves behind is ended with it", "[sandbox][runtimes][host]") {
  PoolFixture pool({.mode = Mode::nons});
  if (!can_run(pool)) return;
  const auto lingering = [] {
    size_t count = 0;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
      std::ifstream comm(entry.path() / "comm");
      std::string name;
      count += std::getline(comm, name) && name == "assay-lingers" ? 1 : 0;
    }
    return count;
  };
  // Processes of the top level, which may fork, that have undone the signal at their parent's end.
  const auto program = evaluator("python", R"py(
import ctypes, os, time
libc = ctypes.CDLL(None)
if libc.syscall(57) == 0:
    libc.prctl(1, 0)
    libc.prctl(15, b"assay-lingers")
    libc.syscall(57)
    time.sleep(600)
time.sleep(0.2)
def run_evaluation(item): return 1
)py");
  REQUIRE(pool.evaluate(program, kItem).score == 1);
  CHECK(lingering() == 2);
  pool.close();
  CHECK(lingering() == 0);
}

TEST_CASE("control groups: all processes of an evaluator count together", "[sandbox][runtimes][host]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns);
  PoolFixture pool({.mode = mode});
  if (!can_run(pool)) return;
  if (pool->cgroups() == Cgroups::none) {
    WARN("this machine gives no control groups");
    return;
  }
  const std::string eat = "python3 -c 'x = bytearray(50 << 20); import time; time.sleep(1)' & ";
  const Outcome memory = pool.evaluate(evaluator("shell", eat + eat + eat + eat + "wait; echo 1"), kItem);
  CHECK(to_string(memory.error.kind) == to_string(ErrorKind::memory_limit));
  const Outcome processes = pool.evaluate(
      evaluator("shell", "for i in 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9; do sleep 5 & done; echo 1"), kItem);
  CHECK(to_string(processes.error.kind) == to_string(ErrorKind::pids_limit));
  Limits limits;
  limits.wall = 60s;
  limits.cpu = 300ms;
  const auto busy = evaluator("shell", "for i in 1 2 3 4; do while :; do :; done & done; sleep 20", limits);
  const Outcome cpu = pool.evaluate(busy, kItem);
  CHECK(to_string(cpu.error.kind) == to_string(ErrorKind::cpu_limit));
  CHECK(cpu.usage.wall < 15s);
  const auto honest = evaluator("shell", "python3 -c 'x = bytearray(30 << 20)'; echo 1");
  const Outcome scored = pool.evaluate(honest, kItem);
  CHECK(scored.score == 1);
  CHECK((scored.usage.memory_bytes > (30U << 20) && scored.usage.memory_bytes < (60U << 20)));
  CHECK(scored.usage.method == to_string(pool->cgroups()));
}

TEST_CASE("the log keeps head and tail and says how much was dropped", "[sandbox][runtimes]") {
  PoolFixture pool;
  Limits limits;
  limits.log_bytes = 1'000;
  const auto program = python("    print('first'); print('x' * 100000); print('last'); return 1", limits);
  const Outcome outcome = pool.evaluate(program, kItem);
  CHECK(outcome.score == 1);
  CHECK_THAT(outcome.log,
             Catch::StartsWith("first\n") && Catch::EndsWith("last\n") && Catch::Contains("left out"));
  CHECK(outcome.log.size() < 1'100);
}
