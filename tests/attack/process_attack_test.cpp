// Hostile evaluators in Python, shell, other programs and plugins against the whole sandbox, in every jail
// mode that this machine can build: the rows of the tables, and what takes more than a row.
//
// Rows of the catalogue's sections 3.1 to 3.3 that are not tried here, and why:
//   9   a program of the attacker's own that the kernel refuses to load: nothing of its own is ever executed
//   (71) 18  below: needs a large item         29  nothing that sleeps uninterruptibly is there (60:
//   userfaultfd) 36  inotify and fanotify are refused (6, 40-70)   39  what an item costs is reported, not
//   judged 51, 81, 82, 88  making the jail: tests/attack/jail_attack_test.cpp,
//   tests/unit/sandbox/jail_test.cpp 53  no control group is mounted (52)  57  with 56     60, 61, 67, 70
//   "40-70" 72  writing to memory and then running it in two steps is possible (58 does it): the filter does
//   not rest on it 76, 78, 79 of collected files: nothing is collected    83, 84, 85  of the processor and
//   the kernel: not tested 87  processes are named by descriptors                 89  nothing is setuid 103
//   tenants: the daemon's business                     106-122  tests/attack/lua_attack_test.cpp
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <functional>

#include "tests/attack/attack_run.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace std::chrono_literals;

namespace {

const std::vector<Attack>& attacks() {
  static const std::vector<Attack> rows = [] {
    Table table;
    add_resource_attacks(table);
    add_escape_attacks(table);
    add_result_attacks(table);
    add_load_attacks(table);
    add_program_attacks(table);
    add_script_attacks(table);
    add_node_attacks(table);
    add_plugin_attacks(table);
    return table.rows();
  }();
  return rows;
}

std::shared_ptr<const Program> program(const std::string& language, std::string source, Limits limits = {},
                                       std::string params = "{}") {
  auto made = std::make_shared<Program>();
  made->name = "attack";
  made->language = language;
  made->source = std::move(source);
  made->params = std::move(params);
  made->limits = limits;
  made->limits.memory_bytes = 128U << 20;
  return made;
}

Task<bool> comes_true(std::function<bool()> condition) {
  const auto deadline = Clock::now() + 10s;
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor);
  while (!condition()) {
    if (Clock::now() > deadline) co_return false;
    timer.expires_after(2ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_return true;
}

bool can_run(PoolFixture& pool, Mode mode) {
  if (!pool.ok()) WARN("not run in mode " << to_string(mode) << ": " << pool.error().message);
  return pool.ok();
}

}  // namespace

TEST_CASE("Process attacks: each ends as it should, and nobody notices", "[attack][process][host]") {
  const char* const language = GENERATE("python", "node", "command", "shell", "plugin");
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  const size_t descriptors = open_descriptors();
  {
    AttackRun run(mode, language);
    if (!run.can_run()) return;
    run.run(attacks());
    run.finish();
  }
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("Process attacks: among hostile items every honest one has its own score", "[attack][process]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 3, .mode = mode});
  if (!can_run(pool, mode)) return;
  Limits limits;
  limits.wall = 3s;
  limits.cpu = 2s;
  const auto mixed = program("python", R"py(
import ctypes, os, struct, time
def frame(text):
    return struct.pack("<I", len(text)) + text
def run_evaluation(item):
    kind = item["index"] % 10
    if kind == 0:
        os.write(4, frame(b'{"score":-1}'))
        os._exit(0)
    if kind == 1:
        os.write(4, frame(b'{"score":-1}') + b"x" * 100000)
        os._exit(0)
    if kind == 2:
        os.write(1, b"x" * 300000)
        os._exit(7)
    if kind == 3 and item["index"] < 20:
        ctypes.string_at(8)
    if kind == 4:
        for descriptor in (1, 2, 4):
            os.set_blocking(descriptor, False)
        raise ValueError(item["index"])
    print(item["index"])
    return {"score": item["index"], "reason": "long" * 50000}
)py",
                             limits);
  std::vector<std::string> items;
  for (int i = 0; i < 150; i++) items.push_back("{\"id\":\"x\",\"index\":" + std::to_string(i) + "}");
  const auto outcomes = pool.evaluate_all(mixed, items);
  for (int i = 0; i < 150; i++) {
    const Outcome& outcome = outcomes[i];
    CAPTURE(to_string(mode), i, outcome.score, to_string(outcome.error.kind), outcome.error.message);
    switch (i % 10) {
      case 0:
        CHECK((outcome.verdict == Verdict::scored && outcome.score == -1));
        break;
      case 1:
        CHECK(outcome.error.kind == ErrorKind::bad_result);
        break;
      case 2:
        CHECK((outcome.error.kind == ErrorKind::crashed && outcome.log.starts_with("xxx")));
        break;
      case 4:
        CHECK((outcome.error.kind == ErrorKind::evaluator_error &&
               outcome.error.message.ends_with("ValueError: " + std::to_string(i))));
        break;
      default:
        if (i % 10 == 3 && i < 20)
          CHECK((outcome.verdict == Verdict::errored && outcome.error.kind == ErrorKind::crashed));
        else
          CHECK((outcome.verdict == Verdict::scored && outcome.score == i &&
                 outcome.log == std::to_string(i) + "\n"));
    }
  }
}

TEST_CASE("Process attacks: an item that ends on its deadline moves no other's result", "[attack][process]") {
  const Mode mode = GENERATE(Mode::full, Mode::nons);
  PoolFixture pool({.hosts = 4, .mode = mode});
  if (!can_run(pool, mode)) return;
  Limits limits;
  limits.wall = 800ms;  // the interpreter has to start within it
  const auto close_call = program("python", R"py(
import time
def run_evaluation(item):
    began = time.monotonic()
    print(item["index"])
    left = 0.792 + item["index"] % 16 / 1000 - (time.monotonic() - began)
    time.sleep(max(0, left) if item["index"] % 2 else 0)
    return item["index"]
)py",
                                  limits);
  std::vector<std::string> items;
  for (int i = 0; i < 48; i++) items.push_back("{\"id\":\"x\",\"index\":" + std::to_string(i) + "}");
  const auto outcomes = pool.evaluate_all(close_call, items);
  for (int i = 0; i < 48; i++) {
    const Outcome& outcome = outcomes[i];
    CAPTURE(to_string(mode), i, outcome.score, to_string(outcome.error.kind), outcome.error.message);
    if (outcome.verdict == Verdict::scored)
      CHECK((outcome.score == i && outcome.log == std::to_string(i) + "\n"));
    else
      CHECK(outcome.error.kind == ErrorKind::timeout);
    if (i % 2 == 0) CHECK(outcome.verdict == Verdict::scored);
  }
}

TEST_CASE("Process attacks: nothing outlives the sandbox, however it ends", "[attack][process][host]") {
  struct Leaver {
    const char* language;
    const char* source;
    bool by_item;  ///< else the top level has started it, and can have kept it from ending with its parent
  };
  // Each calls itself "leaver" once it runs.
  static constexpr Leaver kLeavers[] = {
      {"python", R"py(
import ctypes
def run_evaluation(item):
    ctypes.CDLL(None).prctl(15, b"leaver", 0, 0, 0)
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG: none
    while True: pass
)py",
       true},
      {"python", R"py(
import ctypes, threading, time
def run_evaluation(item):
    for _ in range(5): threading.Thread(target=time.sleep, args=(1000,)).start()
    ctypes.CDLL(None).prctl(15, b"leaver", 0, 0, 0)
    time.sleep(1000)
)py",
       true},
      {"python", R"py(
import ctypes, os, signal, threading, time
libc = ctypes.CDLL(None)
def leave():
    for _ in range(3):
        if libc.syscall(56 if os.uname().machine == "x86_64" else 220, 17, 0, 0, 0, 0) == 0:
            libc.prctl(1, 0, 0, 0, 0)
            libc.prctl(15, b"leaver", 0, 0, 0)
            libc.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
            os.closerange(0, 64)
            time.sleep(1000)
        time.sleep(0.002)
threading.Thread(target=leave, daemon=True).start()
def run_evaluation(item):
    time.sleep(1000)
)py",
       false},
      {"shell",
       "(setsid python3 -c '\nimport ctypes, time\nctypes.CDLL(None).prctl(15, b\"leaver\", 0, 0, 0)\n"
       "time.sleep(1000)' &)\nsleep 1000",
       true},
  };
  enum class End { close, spawner_is_killed };
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  const End end = GENERATE(End::close, End::spawner_is_killed);
  const Victim victim;  // with which orphans come to us
  for (const Leaver& leaver : kLeavers) {
    if (mode == Mode::nons && std::string_view(leaver.language) == "shell") continue;  // is refused
    // Without a process namespace only the spawner can end these: docs/sandbox.md, what is not defended.
    if (mode == Mode::nons && !leaver.by_item && end == End::spawner_is_killed) continue;
    CAPTURE(to_string(mode), leaver.source, end == End::close);
    {
      Outcome outcome;  // outlives the pool, which answers what is under way when it ends
      PoolFixture pool({.hosts = 1, .mode = mode});
      if (!can_run(pool, mode)) return;
      pool->submit(program(leaver.language, leaver.source), "{\"id\":\"1\",\"index\":1}",
                   [&](Outcome ended) { outcome = std::move(ended); });
      REQUIRE(pool.run(comes_true([] { return !processes_named("leaver").empty(); })));
      if (end == End::spawner_is_killed) {
        for (const pid_t pid : spawners()) kill(pid, SIGKILL);
        CHECK(pool.run(comes_true([] { return processes_named("leaver").empty(); })));
      }
    }
    CHECK(orphans_left() == std::vector<std::string>());
    CHECK(processes_named("leaver").empty());
  }
}

TEST_CASE("Process attacks: input that nobody reads holds nobody up", "[attack][process]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns);
  PoolFixture pool({.hosts = 2, .mode = mode});
  if (!can_run(pool, mode)) return;
  const std::string large = R"({"id":"1","index":1,"text":")" + std::string(12 << 20, 'x') + "\"}";
  Limits limits;
  limits.wall = 1s;
  CHECK(pool.evaluate(program("shell", "echo 1"), large).score == 1);
  CHECK(pool.evaluate(program("shell", "exec <&-; sleep 0.1; echo 1"), large).score == 1);
  CHECK(pool.evaluate(program("shell", "head -c 100 >/dev/null; sleep 0.1; echo 1"), large).score == 1);
  CHECK(pool.evaluate(program("shell", "sleep 1000", limits), large).error.kind == ErrorKind::timeout);
  CHECK(pool.evaluate(program("command", R"(["wc","-c"])"), large).score == double(large.size() + 1));
  CHECK(pool.evaluate(program("python", "def run_evaluation(item):\n    return len(item['text'])"), large)
            .score == 12 << 20);
}

TEST_CASE("Process attacks: what comes in is data, and no word of a command or variable",
          "[attack][process]") {
  PoolFixture pool({.hosts = 2});
  REQUIRE(pool.ok());
  const std::string hostile =
      R"js({"LD_PRELOAD":"/tmp/x.so","PYTHONPATH":"/tmp","BASH_ENV":"/tmp/evaluator",)js"
      R"js("a":"$(echo 0 >&2; exit 1) `exit 1` ; exit 1 #","b":"'\"\\\n\u0000"})js";
  const std::string item =
      R"js({"id":"$(exit 1)","index":1,"sample":{"input":"`exit 1`","output":"\"}; exit 1"}})js";
  if (pool->mode() != Mode::nons) {
    const char* const script =
        R"sh([ -z "$LD_PRELOAD$PYTHONPATH$BASH_ENV$a" ] && [ "$ASSAY_PARAMS" ] && cat >/dev/null && echo 1)sh";
    const Outcome shell = pool.evaluate(program("shell", script, {}, hostile), item);
    CAPTURE(shell.error.message);
    CHECK(shell.score == 1);
    const auto words = program("command", R"js(["echo","1","","$(exit 1)"])js");
    CHECK(pool.evaluate(words, item).error.kind == ErrorKind::bad_result);
  }
  const char* const source = R"py(
import os
def run_evaluation(item):
    assert not {"LD_PRELOAD", "PYTHONPATH", "BASH_ENV"} & set(os.environ), os.environ
    assert params["b"] == "'\"\\\n\0" and item["sample"]["text"] == '"}; exit 1'
    return 1
)py";
  const Outcome python = pool.evaluate(program("python", source, {}, hostile), item);
  CAPTURE(python.error.message);
  CHECK(python.score == 1);
}
