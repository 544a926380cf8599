// assay-bench-sandbox: what a fresh jail and a fresh process for every item cost (bench/sandbox.py runs it).
//
//   pool [PART…]                  Assay's own figures, as JSON: jail, true, echo, python, open, timeout
//   spawn COUNT WORKERS COMMAND…  COUNT launches of any command, by WORKERS threads, as JSON. {n} in an
//                                 argument becomes the number of the launch, {w} that of the worker.
//   idle                          has a Python evaluator wait for work until standard input ends
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>

#include "bench/load.hpp"
#include "core/fd.hpp"
#include "core/json.hpp"
#include "sandbox/jail/helper.hpp"
#include "sandbox/runtime/host.hpp"

namespace {

using namespace assay;
using namespace assay::bench;
using namespace assay::sandbox;
using namespace std::chrono_literals;

// What a small scorer does: two texts brought to one form and compared, the rest of the score by a pattern.
constexpr const char* kScorer = R"py(
import re, unicodedata

ARTICLE, PUNCTUATION, NUMBER = re.compile(r"\b(a|an|the)\b"), re.compile(r"[^\w\s]"), re.compile(r"A:\s*(-?[\d,.]+)")

def normal(text):
    text = unicodedata.normalize("NFKC", text).casefold()
    return PUNCTUATION.sub("", ARTICLE.sub(" ", text)).split()

def run_evaluation(item):
    got, wanted = item["sample"]["text"], item["ground_truth"]["text"]
    number = NUMBER.search(got)
    return {"score": float(normal(got) == normal(wanted)), "passed": number is not None}
)py";

// Writes no result: the item ends as bad_result, after all that a good one goes through.
constexpr const char* kTrue = R"(["/bin/true"])";
constexpr const char* kEcho = R"(["/bin/echo","1"])";

constexpr size_t kJails = 300;        // one at a time
constexpr size_t kJailsBusy = 1'500;  // with all processors
constexpr size_t kItems = 1'500;
constexpr size_t kItemsBusy = 4'000;
constexpr size_t kOpens = 30;
constexpr size_t kTimeouts = 20;
constexpr auto kStandBy = 6ms;  // in which the next jail is made and the last is gone
constexpr auto kDeadline = 100ms;

std::shared_ptr<const Program> program(std::string language, std::string source, Limits limits = {}) {
  auto made = std::make_shared<Program>();
  made->name = "bench";
  made->language = std::move(language);
  made->source = std::move(source);
  made->limits = limits;
  return made;
}

std::string make_item(size_t index) {
  const std::string number = std::to_string(index);
  return R"({"id":")" + number + R"(","index":)" + number +
         R"(,"sample":{"input":"How many eggs?","output":"She sells the rest, an egg for $2. A: 18"},)" +
         R"("ground_truth":{"output":"she sells rest egg for 2 a 18"},"metadata":{}})";
}

Json latency(Latencies& latencies) {
  return {{"p50_us", latencies.p50()}, {"p99_us", latencies.p99()}, {"max_us", latencies.max()}};
}

size_t processors() {
  return std::max(1U, std::thread::hardware_concurrency());
}

void expect(const Outcome& outcome, std::optional<ErrorKind> error) {
  const bool right = error ? outcome.verdict == Verdict::errored && outcome.error.kind == *error
                           : outcome.verdict == Verdict::scored && outcome.score == 1;
  if (right) return;
  std::fprintf(stderr, "an item did not end as it should: %s %s\n",
               std::string(to_string(outcome.error.kind)).c_str(), outcome.error.message.c_str());
  std::exit(1);
}

Task<std::unique_ptr<Pool>> start_pool(asio::any_io_executor executor, size_t hosts) {
  co_return need(co_await Pool::start(executor, {.hosts = hosts}));
}

/// Items one at a time, each after a moment in which a jail or interpreter gets ready for it.
Task<Latencies> paced(Pool& pool, std::shared_ptr<const Program> runs, size_t count,
                      std::optional<ErrorKind> error, Clock::duration rest) {
  Latencies latencies;
  for (size_t i = 0; i < count; i++) {
    need(co_await pool.prepare(runs));
    co_await sleep_until(Clock::now() + rest);
    const auto sent = Clock::now();
    const Outcome outcome = co_await pool.evaluate(runs, make_item(i));
    latencies.add(Clock::now() - sent);
    expect(outcome, error);
  }
  co_return latencies;
}

Task<double> busy(asio::any_io_executor executor, std::shared_ptr<const Program> runs, size_t hosts,
                  size_t count, std::optional<ErrorKind> error) {
  const auto pool = co_await start_pool(executor, hosts);
  Load load(executor, *pool, runs, make_item,
            [&](size_t, const Outcome& outcome) { expect(outcome, error); });
  const double per_second = co_await load.run(count, 8 * hosts);
  co_await pool->close();
  co_return per_second;
}

/// A command without the pool around it: when its outcome is there, by when the program is dead and reaped,
/// and when the jail with everything in it is gone too.
Task<Json> jail_alone(asio::any_io_executor executor) {
  const UniqueFd probed = need(open_cloexec(need(helper_path("assay-lua-host")), O_PATH));
  const UniqueFd host_program = need(open_cloexec(need(helper_path("assay-process-host")), O_PATH));
  const auto spawner = need(co_await SpawnerClient::start(executor, std::nullopt, probed.get()));
  const auto runs = program("command", kTrue);
  Standstill standstill(executor);
  Latencies made, outcomes, gone;
  for (size_t i = 0; i < kJails; i++) {
    const auto host = std::make_shared<Host>(executor, runs, language_named("command"), nullptr,
                                             standstill);  // no candidates
    const auto began = Clock::now();
    need(co_await host->start(spawner.get(), host_program.get(), {}));
    made.add(Clock::now() - began);
    const auto sent = Clock::now();
    host->send({make_item(i), [&](Outcome outcome) {
                  outcomes.add(Clock::now() - sent);
                  expect(outcome, ErrorKind::bad_result);
                }});
    host->flush();
    co_await host->serve([] {});
    co_await host->end(spawner.get());
    gone.add(Clock::now() - sent);
  }
  co_await spawner->close();
  co_return Json{{"made", latency(made)}, {"outcome", latency(outcomes)}, {"gone", latency(gone)}};
}

Task<Json> command(asio::any_io_executor executor, const char* source, std::optional<ErrorKind> error) {
  const auto pool = co_await start_pool(executor, 1);
  Latencies ready = co_await paced(*pool, program("command", source), kJails, error, kStandBy);
  co_await pool->close();
  Json figures = latency(ready);
  figures["per_second"] =
      co_await busy(executor, program("command", source), processors(), kJailsBusy, error);
  co_return figures;
}

Task<Json> python(asio::any_io_executor executor) {
  const auto pool = co_await start_pool(executor, 1);
  Latencies one_by_one = co_await paced(*pool, program("python", kScorer), kItems, std::nullopt, 0ms);
  co_await pool->close();
  Json figures = latency(one_by_one);
  figures["per_second_one_host"] =
      co_await busy(executor, program("python", kScorer), 1, kItemsBusy, std::nullopt);
  figures["per_second"] =
      co_await busy(executor, program("python", kScorer), processors(), kItemsBusy, std::nullopt);
  co_return figures;
}

/// Jail, interpreter and the evaluator's own top level, for an evaluator that no host has.
Task<Json> open(asio::any_io_executor executor) {
  const auto pool = co_await start_pool(executor, kOpens + 1);
  Latencies opened;
  for (size_t i = 0; i < kOpens; i++) {
    const auto fresh = program("python", kScorer + ("# " + std::to_string(i)));
    const auto began = Clock::now();
    need(co_await pool->prepare(fresh));
    opened.add(Clock::now() - began);
  }
  co_await pool->close();
  co_return latency(opened);
}

Task<Json> timeouts(asio::any_io_executor executor, std::string language, std::string source) {
  const auto pool = co_await start_pool(executor, 1);
  Limits limits;
  limits.wall = kDeadline;
  const auto runs = program(std::move(language), std::move(source), limits);
  Latencies late;
  for (size_t i = 0; i < kTimeouts; i++) {
    need(co_await pool->prepare(runs));
    co_await sleep_until(Clock::now() + kStandBy);
    const auto due = Clock::now() + kDeadline;
    const Outcome outcome = co_await pool->evaluate(runs, make_item(i));
    late.add(Clock::now() - due);
    expect(outcome, ErrorKind::timeout);
  }
  co_await pool->close();
  co_return latency(late);
}

Task<Json> all_timeouts(asio::any_io_executor executor) {
  Json figures;
  figures["python"] =
      co_await timeouts(executor, "python", "def run_evaluation(item):\n    while True: pass\n");
  figures["command"] = co_await timeouts(executor, "command", R"(["/bin/sleep","60"])");
  co_return figures;
}

struct Part {
  const char* name;
  std::function<Task<Json>(asio::any_io_executor)> measure;
};

Task<> measure_pool(asio::any_io_executor executor, std::vector<std::string> wanted) {
  const std::array parts = {
      Part{"jail", jail_alone},
      Part{"true", [](auto on) { return command(on, kTrue, ErrorKind::bad_result); }},
      Part{"echo", [](auto on) { return command(on, kEcho, std::nullopt); }},
      Part{"python", python},
      Part{"open", open},
      Part{"timeout", all_timeouts},
  };
  const auto pool = co_await start_pool(executor, 1);
  Json figures{{"mode", to_string(pool->mode())}, {"processors", processors()}};
  co_await pool->close();
  for (const Part& part : parts)
    if (wanted.empty() || std::ranges::count(wanted, part.name) > 0)
      figures[part.name] = co_await part.measure(executor);
  std::printf("%s\n", dump_json(figures).c_str());
}

Task<> idle(asio::any_io_executor executor) {
  const auto pool = co_await start_pool(executor, 1);
  const auto runs = program("python", kScorer);
  expect(co_await pool->evaluate(runs, make_item(0)), std::nullopt);
  std::printf("ready\n");
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
  co_await pool->close();
}

/// One launch, its output read to the end; false when it failed.
bool launch(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  Pipe output = need(make_pipe());
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.write.get(), STDOUT_FILENO);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  output.write.reset();
  if (error != 0) return false;
  std::array<char, 4096> buffer;
  while (read(output.read.get(), buffer.data(), buffer.size()) > 0) {
  }
  int status = 0;
  return waitpid(pid, &status, 0) == pid && status == 0;
}

std::string replaced(std::string word, std::string_view what, size_t number) {
  if (const size_t at = word.find(what); at != std::string::npos)
    word.replace(at, what.size(), std::to_string(number));
  return word;
}

int spawn(size_t count, size_t workers, const std::vector<std::string>& command) {
  std::vector<Latencies> taken(workers);
  std::atomic<size_t> next = 0;
  std::atomic<bool> good = true;
  const auto work = [&](size_t worker) {
    for (size_t n = next++; n < count && good; n = next++) {
      std::vector<std::string> words;
      for (const std::string& word : command)
        words.push_back(replaced(replaced(word, "{n}", n), "{w}", worker));
      const auto began = Clock::now();
      if (!launch(words)) good = false;
      taken[worker].add(Clock::now() - began);
    }
  };
  const auto began = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (size_t worker = 0; worker < workers; worker++) threads.emplace_back(work, worker);
  }
  const std::chrono::duration<double> took = Clock::now() - began;
  if (!good) return 1;
  Latencies all;
  for (Latencies& part : taken) all.add(part);
  Json figures = latency(all);
  figures["per_second"] = static_cast<double>(count) / took.count();
  std::printf("%s\n", dump_json(figures).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "spawn" && argc > 4)
    return spawn(std::strtoul(argv[2], nullptr, 10), std::max(1UL, std::strtoul(argv[3], nullptr, 10)),
                 {argv + 4, argv + argc});
  if (what == "pool")
    return run_to_end([&](auto executor) { return measure_pool(executor, {argv + 2, argv + argc}); }), 0;
  if (what == "idle") return run_to_end(idle), 0;
  std::fprintf(stderr, "usage: assay-bench-sandbox pool [PART…] | idle | spawn COUNT WORKERS COMMAND…\n");
  return 2;
}
