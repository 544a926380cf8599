// Plugins in real jails, in every mode that this machine can build: what they answer, what they may not do,
// and what becomes of the others when one of many goes wrong.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/json.hpp"
#include "tests/unit/sandbox/fake_models.hpp"
#include "tests/unit/sandbox/pool_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace std::chrono_literals;

namespace {

/// Copies in a folder that every user may enter: without namespaces the jail's user reads a plugin where it
/// is, and a build's folder may be root's alone (docs/plugins.md).
std::string library(const std::string& name) {
  static const test::TemporaryFolder folder;
  static const bool copied = [] {
    std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
    for (const auto& file : std::filesystem::directory_iterator(ASSAY_TEST_PLUGINS))
      std::filesystem::copy_file(file.path(), folder.path(file.path().filename().string()));
    return true;
  }();
  return copied ? folder.path(name + ".so") : "";
}

std::shared_ptr<const Program> plugin(const std::string& evaluator, Limits limits = {},
                                      std::string params = "{}") {
  auto program = std::make_shared<Program>();
  program->name = evaluator;
  program->language = "plugin";
  program->source = evaluator;
  program->params = std::move(params);
  program->plugin = library(evaluator.substr(0, evaluator.find('/')));
  program->limits = at_this_speed(limits);
  program->limits.memory_bytes = 128U << 20;
  return program;
}

std::string order(const std::string& what, const std::string& rest = "") {
  return R"({"id":"1","do":")" + what + "\"" + (rest.empty() ? "" : "," + rest) + "}";
}

std::string number(int score) {
  return R"({"score":)" + std::to_string(score) + "}";
}

bool can_run(PoolFixture& pool) {
  if (!pool.ok()) WARN("this machine cannot: " + pool.error().message);
  return pool.ok();
}

Limits brief() {
  Limits limits;
  limits.wall = 300ms;
  return limits;
}

}  // namespace

TEST_CASE("Plugin: items, results, log and what was used", "[sandbox][plugin][host]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!can_run(pool)) return;
  const auto program = plugin(GENERATE("obedient/orderly", "obedient/busy"));
  const Outcome read =
      pool.evaluate(program, R"({"do":"read","sample":{"output":"a\"b é"},"metadata":{"tags":["x",2.5]}})");
  CAPTURE(read.error.message, to_string(mode));
  REQUIRE(read.verdict == Verdict::scored);
  CHECK((read.score == 0.5 && read.passed == true && read.reason == "a\"b é"));
  CHECK(read.metrics == std::vector<std::pair<std::string, double>>{{"size", 73}, {"tag", 2.5}});
  CHECK((read.usage.memory_bytes > 1'000'000 && read.usage.method == "rusage"));
  const Outcome logged = pool.evaluate(program, order("log"));
  CHECK((logged.score == 1 && logged.log == "one line\n"));
  const Outcome skipped = pool.evaluate(program, order("skip"));
  CHECK((skipped.verdict == Verdict::skipped && skipped.reason == "not for this one"));
  const Outcome thrown = pool.evaluate(program, order("throw"));
  CHECK((thrown.error.kind == ErrorKind::evaluator_error && thrown.error.message == "told to"));
  CHECK(pool.evaluate(program, order("throw", R"("kind":"judge_parse")")).error.kind ==
        ErrorKind::judge_parse);
  CHECK(pool.evaluate(program, R"({"do":"read"})").error.kind == ErrorKind::config);
}

TEST_CASE("Plugin: the example and one of the first ABI run", "[sandbox][plugin]") {
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto words = plugin("words/short", {}, R"({"limit":3})");
  const Outcome brief_text = pool.evaluate(words, R"({"sample":{"output":"one two three"}})");
  CAPTURE(brief_text.error.message);
  CHECK((brief_text.score == 1 && brief_text.reason == "3 words" && brief_text.metrics.size() == 1));
  const Outcome old = pool.evaluate(plugin("constant/constant", {}, R"({"score":0.25})"), R"({"id":"1"})");
  CAPTURE(old.error.message);
  CHECK((old.score == 0.25 && old.passed == false && old.reason == "constant"));
}

TEST_CASE("Plugin: it cannot start, open or reach anything", "[sandbox][plugin][host]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!can_run(pool)) return;
  const auto program = plugin("obedient/orderly");
  const Outcome walls = pool.evaluate(program, order("walls"));
  CAPTURE(to_string(mode), walls.error.message, walls.reason);
  CHECK((walls.verdict == Verdict::scored && walls.score == 1));
  CHECK(pool.evaluate(program, order("trace")).error.kind == ErrorKind::policy_violation);
  CHECK(pool.evaluate(program, order("forge")).error.kind == ErrorKind::bad_result);
  const Outcome eaten = pool.evaluate(program, order("eat"));
  CAPTURE(eaten.error.message);
  CHECK((eaten.verdict == Verdict::errored && eaten.error.kind != ErrorKind::internal));
  CHECK(pool.evaluate(program, number(3)).score == 3);
}

TEST_CASE("Plugin: what is no good plugin is refused with words", "[sandbox][plugin][host]") {
  struct Broken {
    const char* evaluator;
    const char* message;
  };
  static constexpr Broken kBroken[] = {
      {"wrong_major/b", "version 9 of the plugin ABI"},
      {"no_symbol/b", "does not export assay_plugin"},
      {"no_json/b", "no JSON object"},
      {"too_small/b", "smaller than that of ABI 1.0"},
      {"crashes/b", "SIGSEGV"},
      {"forbidden/b", "forbidden system call"},
      {"hangs/b", "took longer than 700 ms"},
      {"nowhere/b", "cannot read the plugin"},
      {"obedient/nobody", "no evaluator \"nobody\""},
      {"obedient/", "no evaluator \"\""},
      {"obedient/demanding", "needs the service assay.crystal-ball/9"},
  };
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!can_run(pool)) return;
  Limits limits;
  limits.load = 700ms;
  for (const Broken& broken : kBroken) {
    auto program = std::make_shared<Program>(*plugin(broken.evaluator, limits));
    program->limits.load = limits.load;
    const auto prepared = pool.prepare(program);
    CAPTURE(broken.evaluator, to_string(mode));
    REQUIRE_FALSE(prepared);
    CAPTURE(prepared.error().message);
    CHECK(prepared.error().kind == ErrorKind::config);
    CHECK_THAT(prepared.error().message, Catch::Contains(broken.message));
  }
  const auto refused = pool.prepare(plugin("obedient/orderly", {}, R"({"refuse":1})"));
  REQUIRE_FALSE(refused);
  CHECK((refused.error().kind == ErrorKind::config && refused.error().message == "refuse: told to"));
  auto misnamed = std::make_shared<Program>(*plugin("obedient/orderly"));
  misnamed->source = "words/orderly";
  CHECK_THAT(pool.prepare(misnamed).error().message, Catch::Contains("calls itself \"obedient\""));
  misnamed->plugin = "obedient.so";
  misnamed->name = "another";  // another key
  CHECK_THAT(pool.prepare(misnamed).error().message, Catch::Contains("must be absolute"));
}

TEST_CASE("Plugin: it is described from inside a jail", "[sandbox][plugin]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!can_run(pool)) return;
  const auto described = pool.run(pool->describe_plugin(library("words")));
  REQUIRE(described);
  CHECK((described->name == "words" && described->version == "1.0.0" && described->evaluators.size() == 2));
  CHECK(described->evaluator("polite")->services == std::vector<std::string>{"assay.llm/1"});
  const auto crashed = pool.run(pool->describe_plugin(library("crashes")));
  REQUIRE_FALSE(crashed);
  CHECK_THAT(crashed.error().message, Catch::Contains("crashes.so") && Catch::Contains("SIGSEGV"));
  CHECK(crashed.error().kind == ErrorKind::config);
  CHECK_FALSE(pool.run(pool->describe_plugin("words.so")));
}

TEST_CASE("Plugin: thousands of items come back, each with its own score", "[sandbox][plugin]") {
  PoolFixture pool;
  std::vector<std::string> items;
  for (int i = 0; i < 5'000; i++) items.push_back(number(i));
  items[77].insert(1, "\"big\":\"" + std::string(3'000'000, 'x') + "\",");
  const auto outcomes = pool.evaluate_all(plugin(GENERATE("obedient/orderly", "obedient/busy")), items);
  for (int i = 0; i < 5'000; i++) REQUIRE(outcomes[i].score == i);
}

TEST_CASE("Plugin: answers come in any order, from any thread", "[sandbox][plugin]") {
  PoolFixture pool({.hosts = 1});
  const auto program = plugin("obedient/busy");
  REQUIRE(pool.prepare(program));
  std::vector<int> came;
  for (int i = 0; i < 8; i++)
    pool->submit(
        program,
        order("later", R"("score":)" + std::to_string(i) + R"(,"after":)" + std::to_string(700 - i * 100)),
        [&](Outcome outcome) { came.push_back(static_cast<int>(outcome.score)); });
  pool.run_until([&] { return came.size() == 8; });
  CHECK(std::set<int>(came.begin(), came.end()).size() == 8);
  CHECK((came.front() > came.back()));  // eight sleeps on two cores: the order of all is not ours to say
}

TEST_CASE("Plugin: a crash costs the item that crashed, however many were under way", "[sandbox][plugin]") {
  const auto evaluator = GENERATE("obedient/orderly", "obedient/busy");
  PoolFixture pool({.hosts = GENERATE(size_t{1}, size_t{2})});
  std::vector<std::string> items;
  for (int i = 0; i < 100; i++)
    items.push_back(i % 23 == 9    ? order("crash")
                    : i % 23 == 17 ? order("abort")
                    : i % 3 == 0   ? order("later", R"("after":3,"score":)" + std::to_string(i))
                                   : number(i));
  const auto outcomes = pool.evaluate_all(plugin(evaluator), items);
  for (int i = 0; i < 100; i++) {
    CAPTURE(i, outcomes[i].error.message, to_string(outcomes[i].error.kind));
    if (i % 23 == 9 || i % 23 == 17)
      CHECK((outcomes[i].verdict == Verdict::errored && outcomes[i].error.kind == ErrorKind::crashed));
    else
      CHECK((outcomes[i].verdict == Verdict::scored && outcomes[i].score == i));
  }
}

TEST_CASE("Plugin: what is late costs nobody else", "[sandbox][plugin]") {
  PoolFixture pool({.hosts = 1});
  const auto evaluator = GENERATE("obedient/orderly", "obedient/busy");
  // The last three leave a thread of the plugin, one that never answers, and the host thread itself.
  const auto late = GENERATE("wait", "keep", "hang");
  std::vector<std::string> items;
  for (int i = 0; i < 40; i++) items.push_back(i % 20 == 10 ? order(late) : number(i));
  const auto began = std::chrono::steady_clock::now();
  const auto outcomes = pool.evaluate_all(plugin(evaluator, brief()), items);
  CAPTURE(evaluator, late);
  for (int i = 0; i < 40; i++) {
    CAPTURE(i, outcomes[i].error.message, to_string(outcomes[i].error.kind));
    if (i % 20 == 10)
      CHECK((outcomes[i].verdict == Verdict::errored && outcomes[i].error.kind == ErrorKind::timeout));
    else
      CHECK((outcomes[i].verdict == Verdict::scored && outcomes[i].score == i));
  }
  CHECK(std::chrono::steady_clock::now() - began < 10s * slowness());
}

TEST_CASE("Plugin: the time of each is its own, though answers are written together", "[sandbox][plugin]") {
  PoolFixture pool({.hosts = 1});
  // Together they take far longer than one may; the last never ends, and has quick ones right before it.
  std::vector<std::string> items;
  for (int i = 0; i < 30; i++)
    items.push_back(i == 29      ? order("hang")
                    : i % 6 == 2 ? order("nap", R"("after":200,"score":)" + std::to_string(i))
                                 : number(i));
  const auto program = plugin("obedient/orderly", brief());
  REQUIRE(pool.prepare(program));
  const auto outcomes = pool.evaluate_all(program, items);
  for (int i = 0; i < 29; i++) {
    CAPTURE(i, outcomes[i].error.message);
    CHECK((outcomes[i].verdict == Verdict::scored && outcomes[i].score == i));
  }
  CHECK(outcomes[29].error.kind == ErrorKind::timeout);
}

TEST_CASE("Plugin: processor time has a limit, alone and among others", "[sandbox][plugin]") {
  PoolFixture pool({.hosts = 1});
  Limits limits;
  limits.cpu = 200ms;
  limits.wall = 30s;
  std::vector<std::string> items;
  for (int i = 0; i < 12; i++) items.push_back(i == 5 ? order("spin") : number(i));
  const auto outcomes =
      pool.evaluate_all(plugin(GENERATE("obedient/orderly", "obedient/busy"), limits), items);
  for (int i = 0; i < 12; i++) {
    CAPTURE(i, outcomes[i].error.message);
    if (i == 5)
      CHECK(outcomes[i].error.kind == ErrorKind::cpu_limit);
    else
      CHECK(outcomes[i].score == i);
  }
}

TEST_CASE("Plugin: what it writes past its host is bounded", "[sandbox][plugin]") {
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const Outcome outsized = pool.evaluate(plugin("obedient/orderly"), order("outsize"));
  CAPTURE(outsized.error.message, outsized.score, outsized.reason.size());
  CHECK((outsized.verdict == Verdict::errored && outsized.error.kind == ErrorKind::output_limit));
  // Every call is answered, and it reads none of the answers.
  Limits patient;
  patient.wall = patient.cpu = 120s;
  const Outcome flood = pool.evaluate(plugin("obedient/busy", patient), order("flood"));
  CAPTURE(flood.error.message);
  CHECK((flood.verdict == Verdict::errored && flood.error.kind == ErrorKind::bad_result));
}

TEST_CASE("Plugin: what nobody wants any more is cancelled, and nothing else", "[sandbox][plugin]") {
  PoolFixture pool({.hosts = 2});
  const auto program = plugin(GENERATE("obedient/orderly", "obedient/busy"));
  REQUIRE(pool.prepare(program));
  const auto unwanted = std::make_shared<bool>(false);
  std::optional<Outcome> dropped, kept_item;
  pool->submit(
      program, order(GENERATE("wait", "keep", "hang")), [&](Outcome ended) { dropped = std::move(ended); },
      unwanted);
  pool->submit(program, order("later", R"("after":100,"score":4)"),
               [&](Outcome ended) { kept_item = std::move(ended); });
  pool.evaluate(plugin("obedient/busy", {}, R"({"another":1})"), number(1));  // a while
  *unwanted = true;
  pool->sweep();
  pool.run_until([&] { return dropped && kept_item; });
  CHECK(dropped->error.kind == ErrorKind::cancelled);
  CHECK((kept_item->verdict == Verdict::scored && kept_item->score == 4));
}

TEST_CASE("Plugin: models are asked through the pool", "[sandbox][plugin][llm]") {
  PoolFixture pool({.hosts = 1});
  const auto models = std::make_shared<FakeModels>();
  const auto program = plugin(GENERATE("obedient/orderly", "obedient/busy"));
  Asking asking(pool, program, order("ask", R"("model":"a/b","times":3)"), models);
  pool.run_until([&] { return models->asked.size() == 3; });
  const auto request = parse_json(models->asked.front().request);
  REQUIRE(request);
  CHECK((*request == Json{{"model", "a/b"}, {"messages", Json::array()}}));
  CHECK_FALSE(*models->asked.front().unwanted);
  for (const char* text : {"x", "y", "z"})
    models->answer(R"({"text":")" + std::string(text) + R"(","finish":"stop"})");
  pool.run_until([&] { return asking.outcome.has_value(); });
  CHECK((asking.outcome->score == 1 && asking.outcome->reason == "x/stop y/stop z/stop "));

  Asking failing(pool, program, order("ask"), models);
  pool.run_until([&] { return models->asked.size() == 1; });
  models->answer(fail(ErrorKind::billing, "no money"));
  pool.run_until([&] { return failing.outcome.has_value(); });
  CHECK((failing.outcome->error.kind == ErrorKind::billing && failing.outcome->error.message == "no money"));

  const Outcome alone = pool.evaluate(program, order("ask"));
  CHECK((alone.error.kind == ErrorKind::config && alone.error.message == "this worker has no models"));

  Asking greedy(pool, program, order("ask", R"("times":65)"), models);
  pool.run_until([&] { return greedy.outcome.has_value(); });
  CHECK(greedy.outcome->error.kind == ErrorKind::config);
  REQUIRE(models->asked.size() == 64);
  CHECK(*models->asked.front().unwanted);
  while (!models->asked.empty()) models->answer(fail(ErrorKind::cancelled, "as told"));
  CHECK(pool.evaluate(program, number(2)).score == 2);
}

TEST_CASE("Plugin: a deadline stands still while a model is asked", "[sandbox][plugin][llm]") {
  PoolFixture pool({.hosts = 2});
  const auto models = std::make_shared<FakeModels>();
  const auto program = plugin(GENERATE("obedient/orderly", "obedient/busy"), brief());
  Asking asking(pool, program, order("ask"), models);
  pool.run_until([&] { return models->asked.size() == 1; });
  const Outcome late = pool.evaluate(plugin("obedient/busy", brief(), R"({"another":1})"), order("wait"));
  CHECK(late.error.kind == ErrorKind::timeout);
  CHECK_FALSE(asking.outcome);
  models->answer(R"({"text":"t","finish":"stop"})");
  pool.run_until([&] { return asking.outcome.has_value(); });
  CAPTURE(asking.outcome->error.message);
  CHECK(asking.outcome->score == 1);
}

TEST_CASE("Plugin: a model that is asked for what nobody wants hears of it", "[sandbox][plugin][llm]") {
  PoolFixture pool({.hosts = 1});
  const auto models = std::make_shared<FakeModels>();
  const auto unwanted = std::make_shared<bool>(false);
  const auto program = plugin(GENERATE("obedient/orderly", "obedient/busy"));
  Asking asking(pool, program, order("ask"), models, unwanted);
  pool.run_until([&] { return models->asked.size() == 1; });
  *unwanted = true;
  pool->sweep();
  pool.run_until([&] { return asking.outcome.has_value(); });
  CHECK(asking.outcome->error.kind == ErrorKind::cancelled);
  CHECK(*models->asked.front().unwanted);
  models->answer(fail(ErrorKind::cancelled, "as told"));
  CHECK(pool.evaluate(program, number(2)).score == 2);
}

TEST_CASE("Plugin: a crash while models are asked, and closing meanwhile", "[sandbox][plugin][llm]") {
  PoolFixture pool({.hosts = 2});  // each may come to be alone
  const auto models = std::make_shared<FakeModels>();
  const auto program = plugin("obedient/busy");
  Asking asking(pool, program, order("ask"), models);
  pool.run_until([&] { return models->asked.size() == 1; });
  CHECK(pool.evaluate(program, order("crash")).error.kind == ErrorKind::crashed);
  CHECK(*models->asked.front().unwanted);
  models->answer(fail(ErrorKind::cancelled, "as told"));
  pool.run_until([&] { return models->asked.size() == 1; });  // it is evaluated again
  models->answer(R"({"text":"t","finish":"stop"})");
  pool.run_until([&] { return asking.outcome.has_value(); });
  CHECK(asking.outcome->score == 1);

  Asking last(pool, program, order("ask"), models);
  pool.run_until([&] { return models->asked.size() == 1; });
  pool.close();
  REQUIRE(last.outcome.has_value());
  CHECK(last.outcome->error.kind == ErrorKind::cancelled);
  CHECK(*models->asked.front().unwanted);
  models->answer(fail(ErrorKind::cancelled, "as told"));
}
