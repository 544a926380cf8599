// assay-bench-soak LUA PYTHON SHELL: that many items through one pool, one in a hundred of them hostile,
// every outcome checked (bench/soak.py runs it and watches the processes from outside).
//
// Runs twice: a twentieth of the items to warm up, then all. Before and after each it prints a line of JSON
// and waits for a line on standard input. Exit 1 when an outcome was not what it has to be.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <thread>

#include "bench/load.hpp"
#include "core/json.hpp"

namespace {

using namespace assay;
using namespace assay::bench;
using namespace assay::sandbox;
using namespace std::chrono_literals;

// An honest item is scored by the number in its text, which goes through a state that the one before must not
// have touched.
constexpr const char* kLua = R"lua(
local hostile = {}
function hostile.loop() while true do end end
function hostile.pattern() return #(("a"):rep(3000) .. "b"):match((".-"):rep(40) .. "c") end
function hostile.memory() local t = {} for i = 1, math.huge do t[i] = ("x"):rep(1000) .. i end end
function hostile.deep() local function f() return 1 + f() end return f() end
function hostile.raise() error("on purpose") end
function hostile.nothing() end
function hostile.flood() for i = 1, 3000 do print(("x"):rep(100)) end return 1 end
function hostile.huge() return { score = 1, reason = ("x"):rep(4e6) } end
function hostile.coroutines() local f = function() while true do end end coroutine.wrap(f)() end
function run_evaluation(item)
  count = (count or 0) + 1
  local attack = hostile[item.sample.text]
  if attack then return attack() end
  return tonumber(item.sample.text:match("value (%d+)")) * count
end
)lua";

constexpr const char* kPython = R"py(
import ctypes, os, re, sys, time
count = 0

def loop():
    while True: pass

def sleep():
    time.sleep(60)

def memory():
    return len([bytearray(1 << 20) for _ in range(1 << 20)])

def raising():
    raise ValueError("on purpose")

def leave():
    sys.exit(0)

def vanish():
    os._exit(0)

def abort():
    os.abort()

def segfault():
    ctypes.string_at(1)

def flood():
    for _ in range(3000): print("x" * 100)
    return 1

def huge():
    return {"score": 1, "reason": "x" * (8 << 20)}

def fork():
    while True: os.fork()

def start():
    os.posix_spawn("/bin/true", ["true"], {})

def files():
    for i in range(100000): open("/tmp/%d" % i, "w").write("x" * 4096)

def run_evaluation(item):
    global count
    count += 1
    text = item["sample"]["text"]
    honest = re.match(r"value (\d+)", text)
    return int(honest[1]) * count if honest else globals()[text]()
)py";

constexpr const char* kShell = R"sh(
read -r item
case $item in
  *'"text":"loop"'*) while :; do :; done ;;
  *'"text":"sleep"'*) sleep 60 ;;
  *'"text":"fail"'*) exit 3 ;;
  *'"text":"kill"'*) kill -9 $$ ;;
  *'"text":"flood"'*) yes >&2 & yes ;;
  *'"text":"leftovers"'*) for i in 1 2 3 4 5; do sleep 60 & done; echo 1 ;;
  *'"text":"processes"'*) for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 60 & done; echo 1 ;;
  *) [ -e /tmp/left ] && exit 4; : >/tmp/left; item=${item#*value }; echo ${item%%\"*} ;;
esac
)sh";

struct Hostile {
  const char* name;
  std::vector<std::string_view> endings;  ///< any of them: "scored", or a kind of error
  bool rare = false;                      ///< it takes its whole wall time
};

const std::vector<Hostile> kLuaHostile = {
    {"loop", {"cpu_limit"}},
    {"pattern", {"cpu_limit"}},
    {"memory", {"memory_limit", "cpu_limit"}},  // on a busy machine the processor time is up first
    {"deep", {"evaluator_error", "memory_limit", "cpu_limit"}},
    {"raise", {"evaluator_error"}},
    {"nothing", {"bad_result"}},
    {"flood", {"scored"}},
    {"huge", {"output_limit", "cpu_limit"}},
    {"coroutines", {"cpu_limit"}},
};
const std::vector<Hostile> kPythonHostile = {
    {"loop", {"cpu_limit"}},        {"memory", {"memory_limit"}},   {"raising", {"evaluator_error"}},
    {"leave", {"evaluator_error"}}, {"vanish", {"crashed"}},        {"abort", {"crashed"}},
    {"segfault", {"crashed"}},      {"flood", {"scored"}},          {"huge", {"output_limit"}},
    {"fork", {"evaluator_error"}},  {"start", {"evaluator_error"}}, {"files", {"evaluator_error"}},
    {"sleep", {"timeout"}, true},
};
const std::vector<Hostile> kShellHostile = {
    {"loop", {"cpu_limit"}},      {"fail", {"evaluator_error"}},
    {"kill", {"memory_limit"}},   {"flood", {"output_limit"}},
    {"leftovers", {"scored"}},    {"processes", {"pids_limit", "evaluator_error"}},
    {"sleep", {"timeout"}, true},
};

constexpr size_t kOneIn = 100;
constexpr size_t kRareOneIn = 20;  // of the hostile
constexpr size_t kInFlight = 256;

const Hostile* hostile_at(const std::vector<Hostile>& all, size_t index) {
  if (index % kOneIn != kOneIn / 2) return nullptr;
  const size_t turn = index / kOneIn;
  const size_t rare = std::ranges::count_if(all, [](const Hostile& one) { return one.rare; });
  if (rare > 0 && turn % kRareOneIn == kRareOneIn - 1) return &all.back();
  return &all[turn % (all.size() - rare)];
}

std::string item_for(const Hostile* attack, size_t index) {
  const std::string number = std::to_string(index);
  const std::string text = attack != nullptr ? attack->name : "value " + std::to_string(index % 1000);
  return R"({"id":")" + number + R"(","index":)" + number + R"(,"sample":{"output":")" + text +
         R"("},"ground_truth":{},"metadata":{}})";
}

/// How items of one language ended.
class Ledger {
 public:
  explicit Ledger(const std::vector<Hostile>& hostile) : hostile_(hostile) {}

  void check(size_t index, const Outcome& outcome) {
    const Hostile* const attack = hostile_at(hostile_, index);
    const std::string ending(outcome.verdict == Verdict::scored ? to_string(outcome.verdict)
                                                                : to_string(outcome.error.kind));
    endings_[attack != nullptr ? attack->name : "honest"][ending]++;
    const bool right = attack != nullptr ? std::ranges::count(attack->endings, ending) > 0
                                         : outcome.verdict == Verdict::scored &&
                                               outcome.score == static_cast<double>(index % 1000);
    if (right) return;
    wrong_++;
    if (wrong_ <= 5)
      std::fprintf(stderr, "item %zu (%s): %s %g %s\n", index, attack != nullptr ? attack->name : "honest",
                   ending.c_str(), outcome.score, outcome.error.message.c_str());
  }

  size_t wrong() const { return wrong_; }
  Json endings() const { return endings_; }

 private:
  const std::vector<Hostile>& hostile_;
  std::map<std::string, std::map<std::string, size_t>> endings_;
  size_t wrong_ = 0;
};

struct Language {
  const char* name;
  const char* source;
  const std::vector<Hostile>& hostile;
  size_t count;
  Limits limits;
};

std::shared_ptr<const Program> program_of(const Language& language) {
  auto program = std::make_shared<Program>();
  program->name = program->language = language.name;
  program->source = language.source;
  program->limits = language.limits;
  return program;
}

/// Says where we are and waits to be told to go on.
void report(Json line) {
  std::printf("%s\n", dump_json(line).c_str());
  std::fflush(stdout);
  char byte = 0;
  while (read(STDIN_FILENO, &byte, 1) > 0 && byte != '\n') {
  }
}

Task<> soak(asio::any_io_executor executor, std::span<const Language> languages, size_t& wrong) {
  const size_t hosts = std::max(1U, std::thread::hardware_concurrency());
  const auto pool = need(co_await Pool::start(executor, {.hosts = hosts}));
  for (const size_t part : {20, 1}) {
    Json ran;
    for (const Language& language : languages) {
      const size_t count = language.count / part;
      if (count == 0) continue;
      Ledger ledger(language.hostile);
      Load load(
          executor, *pool, program_of(language),
          [&](size_t index) { return item_for(hostile_at(language.hostile, index), index); },
          [&](size_t index, const Outcome& outcome) { ledger.check(index, outcome); });
      const double per_second = co_await load.run(count, kInFlight);
      ran[language.name] = {{"items", count},
                            {"per_second", per_second},
                            {"endings", ledger.endings()},
                            {"wrong", ledger.wrong()}};
      wrong += ledger.wrong();
    }
    report({{"mode", to_string(pool->mode())}, {"ran", ran}});
  }
  co_await pool->close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: assay-bench-soak LUA PYTHON SHELL\n");
    return 2;
  }
  const auto count = [&](int at) { return static_cast<size_t>(std::strtoull(argv[at], nullptr, 10)); };
  constexpr auto kMiB = 1ULL << 20;
  const Language languages[] = {
      {"lua", kLua, kLuaHostile, count(1), {.cpu = 20ms, .memory_bytes = 16 * kMiB}},
      {"python", kPython, kPythonHostile, count(2), {.wall = 1000ms, .cpu = 250ms}},
      {"shell", kShell, kShellHostile, count(3), {.wall = 1000ms, .cpu = 50ms}},
  };
  size_t wrong = 0;
  run_to_end([&](asio::any_io_executor executor) { return soak(executor, languages, wrong); });
  return wrong == 0 ? 0 : 1;
}
