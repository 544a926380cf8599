// Code evaluators that ask models from inside of their jails.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/json.hpp"
#include "tests/unit/sandbox/fake_models.hpp"
#include "tests/unit/sandbox/pool_fixture.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace std::chrono_literals;

namespace {

// Each does what metadata.how says.
constexpr const char* kLua = R"(
local function ask(item) return assay.llm{model = "small", prompt = item.sample.text, params = {temperature = 0.5}} end
local ways = {}
function ways.ask(item)
  local reply = ask(item)
  return {score = reply.usage.output, reason = reply.text .. "|" .. reply.finish, passed = reply.from_cache}
end
function ways.chat()
  return {score = 1, reason = assay.llm{model = "m", messages = {{role = "system", content = "s"}}, schema = {name = "n"}}.text}
end
function ways.catch(item)
  local good, failure = pcall(ask, item)
  return {score = good and 1 or 0, reason = good and "" or failure.kind .. "|" .. tostring(failure)}
end
function ways.forge(item)
  pcall(ask, item)
  error({kind = "billing", message = "forged"})
end
function ways.again(item)
  local _, failure = pcall(ask, item)
  error({kind = failure.kind, message = "again: " .. failure.message})
end
function ways.many(item)
  local good = 0
  for _ = 1, 40 do good = good + (pcall(ask, item) and 1 or 0) end
  return good
end
function ways.spin(item)
  ask(item)
  while true do end
end
function ways.both() return assay.llm{model = "m", prompt = "a", messages = {}}.text end
function ways.neither() return assay.llm{model = "m"}.text end
function ways.large() return assay.llm{model = "m", prompt = string.rep("x", 5 << 20)}.text end
function run_evaluation(item) return ways[item.metadata.how](item) end
)";

constexpr const char* kPython = R"(
import assay

def ask(item):
    return assay.llm(model="small", prompt=item["sample"]["text"], params={"temperature": 0.5})

def way_ask(item):
    reply = ask(item)
    return {"score": reply["usage"]["output"], "reason": reply["text"] + "|" + reply["finish"], "passed": reply["from_cache"]}

def way_chat(item):
    return {"score": 1, "reason": assay.llm(model="m", messages=[{"role": "system", "content": "s"}], schema={"name": "n"})["text"]}

def way_catch(item):
    try:
        ask(item)
        return 1
    except assay.ModelError as failure:
        return {"score": 0, "reason": failure.kind + "|" + str(failure)}

def way_forge(item):
    try:
        ask(item)
    except assay.ModelError:
        pass
    raise assay.ModelError("billing", "forged")

def way_again(item):
    try:
        ask(item)
    except assay.ModelError as failure:
        raise assay.ModelError(failure.kind, "again: " + str(failure))

def way_many(item):
    good = 0
    for _ in range(40):
        try:
            ask(item)
            good += 1
        except assay.ModelError:
            pass
    return good

def way_spin(item):
    ask(item)
    while True:
        pass

def way_both(item):
    assay.llm(model="m", prompt="a", messages=[])

def way_neither(item):
    assay.llm(model="m")

def way_large(item):
    assay.llm(model="m", prompt="x" * (5 << 20))

def run_evaluation(item):
    return globals()["way_" + item["metadata"]["how"]](item)
)";

constexpr const char* kNode = R"(
const ask = (item) => assay.llm({ model: "small", prompt: item.sample.text, params: { temperature: 0.5 } });
const ways = {
  ask(item) {
    const reply = ask(item);
    return { score: reply.usage.output, reason: `${reply.text}|${reply.finish}`, passed: reply.from_cache };
  },
  async chat() {
    const reply = await assay.llm({ model: "m", messages: [{ role: "system", content: "s" }], schema: { name: "n" } });
    return { score: 1, reason: reply.text };
  },
  catch(item) {
    try {
      ask(item);
      return 1;
    } catch (failure) {
      return { score: failure instanceof assay.ModelError ? 0 : -1, reason: `${failure.kind}|${failure.message}` };
    }
  },
  forge(item) {
    try { ask(item); } catch { }
    throw new assay.ModelError("billing", "forged");
  },
  again(item) {
    try { ask(item); } catch (failure) { throw new assay.ModelError(failure.kind, `again: ${failure.message}`); }
  },
  many(item) {
    let good = 0;
    for (let i = 0; i < 40; i++)
      try { ask(item); good++; } catch { }
    return good;
  },
  spin(item) {
    ask(item);
    for (;;);
  },
  both: () => assay.llm({ model: "m", prompt: "a", messages: [] }),
  neither: () => assay.llm({ model: "m" }),
  large: () => assay.llm({ model: "m", prompt: "x".repeat(5 << 20) }),
};
export const run_evaluation = (item) => ways[item.metadata.how](item);
)";

std::shared_ptr<Program> asking(const std::string& language) {
  auto program = std::make_shared<Program>();
  program->name = "asks";
  program->language = language;
  program->source = language == "lua" ? kLua : language == "python" ? kPython : kNode;
  program->grants = {"llm"};
  program->limits.memory_bytes = 128U << 20;
  program->limits.wall = 30s;
  program->limits = at_this_speed(program->limits);
  return program;
}

std::string item(const std::string& how) {
  return R"({"id":"1","index":1,"metadata":{"how":")" + how + R"("},"sample":{"output":"Polite? é"}})";
}

constexpr const char* kReply =
    R"({"text":"yés","finish":"stop","model":"small","usage":{"input":9,"output":3},"from_cache":false})";

/// The outcome, when every call is answered so.
Outcome outcome_with(PoolFixture& pool, const std::shared_ptr<Program>& program, const std::string& how,
                     const Result<std::string>& reply, size_t* calls = nullptr) {
  const auto models = std::make_shared<FakeModels>();
  Asking asked(pool, program, item(how), models);
  pool.run_until([&] {
    for (; !models->asked.empty(); models->answer(reply))
      if (calls != nullptr) ++*calls;
    return asked.outcome.has_value();
  });
  return std::move(*asked.outcome);
}

/// The process of that name which is a child's child of this one: nobody else's.
pid_t host_of_ours(const std::string& name) {
  const auto read = [](pid_t pid, const std::string& key) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with(key + ":\t")) return line.substr(key.size() + 2);
    return std::string();
  };
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0 || read(pid, "Name") != name) continue;
    for (pid_t parent = pid; parent > 1; parent = std::atoi(read(parent, "PPid").c_str()))
      if (parent == getpid()) return pid;
  }
  return 0;
}

}  // namespace

TEST_CASE("llm: what is asked goes out, and what is answered comes back", "[sandbox][llm]") {
  const std::string language = GENERATE("lua", "python", "node");
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  PoolFixture pool({.hosts = 1, .mode = mode});
  if (!pool.ok()) {
    WARN("this machine cannot: " + pool.error().message);
    return;
  }
  const auto program = asking(language);
  const auto models = std::make_shared<FakeModels>();
  Asking asked(pool, program, item("ask"), models);
  Asking chat(pool, program, item("chat"), models);
  pool.run_until([&] { return !models->asked.empty(); });
  const auto request = parse_json(models->asked.front().request);
  CAPTURE(language, models->asked.front().request);
  CHECK(*request == Json{{"model", "small"},
                         {"messages", {{{"role", "user"}, {"content", "Polite? é"}}}},
                         {"params", {{"temperature", 0.5}}}});
  CHECK(models->asked.size() == 1);  // one item at a time
  models->answer(kReply);
  pool.run_until([&] { return asked.outcome.has_value(); });
  CAPTURE(asked.outcome->error.message);
  REQUIRE(asked.outcome->verdict == Verdict::scored);
  CHECK((asked.outcome->score == 3 && asked.outcome->reason == "yés|stop" && asked.outcome->passed == false));

  pool.run_until([&] { return !models->asked.empty(); });
  const auto second = parse_json(models->asked.front().request);
  CHECK(*second == Json{{"model", "m"},
                        {"messages", {{{"role", "system"}, {"content", "s"}}}},
                        {"schema", {{"name", "n"}}}});
  models->answer(kReply);
  pool.run_until([&] { return chat.outcome.has_value(); });
  CHECK((chat.outcome->score == 1 && chat.outcome->reason == "yés"));
}

TEST_CASE("llm: an evaluation ends with the kind of the failure that nobody caught", "[sandbox][llm]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking(language);
  for (const ErrorKind kind :
       {ErrorKind::auth, ErrorKind::billing, ErrorKind::rate_limited, ErrorKind::model_not_found,
        ErrorKind::context_too_long, ErrorKind::content_filter, ErrorKind::timeout, ErrorKind::transport,
        ErrorKind::config, ErrorKind::internal}) {
    const auto failure = fail(kind, "no \"answer\"");
    CAPTURE(language, to_string(kind));
    const Outcome uncaught = outcome_with(pool, program, "ask", failure);
    CHECK((uncaught.error.kind == kind && uncaught.error.message == "no \"answer\""));
    const Outcome caught = outcome_with(pool, program, "catch", failure);
    CHECK((caught.verdict == Verdict::scored && caught.score == 0 &&
           caught.reason == std::string(to_string(kind)) + "|no \"answer\""));
  }
  const auto failure = fail(ErrorKind::rate_limited, "later");
  const Outcome again = outcome_with(pool, program, "again", failure);
  CHECK((again.error.kind == ErrorKind::rate_limited && again.error.message == "again: later"));
  // Whose cancellation: of anybody's but this evaluation's, it is tried again.
  CHECK(outcome_with(pool, program, "ask", fail(ErrorKind::cancelled, "")).error.kind == ErrorKind::internal);
  for (const Result<std::string>& reply : {Result<std::string>(kReply), Result<std::string>(failure)}) {
    const Outcome forged = outcome_with(pool, program, "forge", reply);
    CAPTURE(forged.error.message);
    CHECK(forged.error.kind == ErrorKind::evaluator_error);
    CHECK_THAT(forged.error.message, Catch::Contains("forged"));
  }
}

TEST_CASE("llm: misuse is the evaluator's error, and says what is wrong", "[sandbox][llm]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  auto program = asking(language);
  for (const auto& [how, message] : {std::pair("both", "either prompt or messages"),
                                     {"neither", "either prompt or messages"},
                                     {"large", "4 MiB"}}) {
    const Outcome outcome = outcome_with(pool, program, how, kReply);
    CAPTURE(language, how, outcome.error.message);
    CHECK(outcome.error.kind == ErrorKind::evaluator_error);
    CHECK_THAT(outcome.error.message, Catch::Contains(message));
  }
  const Outcome alone = pool.evaluate(program, item("ask"));
  CHECK((alone.error.kind == ErrorKind::config && alone.error.message == "this worker has no models"));

  program = asking(language);
  program->grants.clear();
  const Outcome refused = outcome_with(pool, program, "ask", kReply);
  CHECK(refused.error.kind == ErrorKind::evaluator_error);
  CHECK_THAT(refused.error.message, Catch::Contains(R"(not granted: add grants = ["llm"])"));

  program = asking(language);
  program->source = language == "lua"      ? "assay.llm{model = 'm', prompt = 'p'}"
                    : language == "python" ? "import assay\nassay.llm(model='m', prompt='p')"
                                           : "assay.llm({ model: 'm', prompt: 'p' })";
  const auto prepared = pool.prepare(program);
  REQUIRE_FALSE(prepared);
  CHECK(prepared.error().kind == ErrorKind::config);
  CHECK_THAT(prepared.error().message, Catch::Contains("while the file is loaded"));
}

TEST_CASE("llm: the worker checks grant and kinds itself, past the runner", "[sandbox][llm]") {
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking("python");
  const std::string by_hand = R"(
import json, os
def say(value):
    text = json.dumps(value, separators=(",", ":")).encode()
    os.write(4, len(text).to_bytes(4, "little") + text)
def run_evaluation(item):
    if item["metadata"]["how"] == "kind":
        say({"error": {"kind": "billing", "message": "m"}})
        os._exit(0)
    say({"call": "llm.complete", "params": {"model": "m"}})
    return {"score": 1, "reason": os.read(4, 1000)[4:].decode()}
)";
  program->source = by_hand;
  CHECK(outcome_with(pool, program, "kind", kReply).error.kind == ErrorKind::evaluator_error);
  const auto ungranted = asking("python");
  ungranted->source = by_hand;
  ungranted->grants.clear();
  const Outcome outcome = outcome_with(pool, ungranted, "call", kReply);
  CAPTURE(outcome.error.message);
  CHECK(outcome.score == 1);
  CHECK_THAT(outcome.reason, Catch::Contains("was not granted llm"));
}

TEST_CASE("llm: no more calls for an item than its limits have", "[sandbox][llm]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking(language);
  size_t calls = 0;
  CHECK(outcome_with(pool, program, "many", kReply, &calls).score == 16);
  CHECK(calls == 16);
  const auto fewer = asking(language);
  fewer->limits.llm_calls = 0;
  const Outcome none = outcome_with(pool, fewer, "ask", kReply, &calls);
  CHECK(none.error.kind == ErrorKind::config);
  CHECK_THAT(none.error.message, Catch::Contains("more than 0 model calls"));
  CHECK(calls == 16);
  CHECK(outcome_with(pool, program, "many", fail(ErrorKind::transport, "t"), &calls).score == 0);
  CHECK(calls == 32);  // of each item
}

TEST_CASE("llm: a flood of calls without reading ends in time, and costs no more than the limit",
          "[sandbox][llm]") {
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking("python");
  program->limits.wall = 3s * slowness();
  program->source = R"(
import os
def run_evaluation(item):
    text = b'{"call":"llm.complete","params":{"model":"m"}}'
    for _ in range(100000):
        os.write(4, len(text).to_bytes(4, "little") + text)
)";
  size_t calls = 0;
  const Outcome outcome = outcome_with(pool, program, "flood", kReply, &calls);
  CAPTURE(outcome.error.message);
  CHECK(outcome.verdict == Verdict::errored);
  CHECK(calls <= 16);
  CHECK(outcome_with(pool, asking("python"), "ask", kReply).score == 3);
}

TEST_CASE("llm: the wall deadline stands still while a model is asked, and goes on then", "[sandbox][llm]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking(language);
  const auto wall = 500ms * slowness();
  REQUIRE(outcome_with(pool, program, "ask", kReply).score == 3);
  program->limits.wall = wall;
  REQUIRE(pool.prepare(program));
  const auto models = std::make_shared<FakeModels>();
  const auto answered_after = [&](const std::string& how) {
    Asking asked(pool, program, item(how), models);
    pool.run_until([&] { return !models->asked.empty() || asked.outcome.has_value(); });
    REQUIRE_FALSE(asked.outcome);
    pool.run_until([&, begin = Clock::now()] { return Clock::now() - begin > 2 * wall; });
    REQUIRE_FALSE(asked.outcome);
    models->answer(kReply);
    pool.run_until([&] { return asked.outcome.has_value(); });
    return std::move(*asked.outcome);
  };
  const Outcome outcome = answered_after("ask");
  CAPTURE(language, outcome.error.message);
  CHECK(outcome.score == 3);
  CHECK(outcome.usage.wall > 2 * wall);
  const auto begin = Clock::now();
  CHECK(answered_after("spin").error.kind == ErrorKind::timeout);
  CHECK(Clock::now() - begin < 2 * wall + 5s * slowness());
}

TEST_CASE("llm: a model that is asked for what nobody wants any more hears of it", "[sandbox][llm]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking(language);
  const auto models = std::make_shared<FakeModels>();
  const auto unwanted = std::make_shared<bool>(false);
  Asking asked(pool, program, item("ask"), models, unwanted);
  pool.run_until([&] { return !models->asked.empty(); });
  CHECK_FALSE(*models->asked.front().unwanted);
  *unwanted = true;
  pool->sweep();
  pool.run_until([&] { return asked.outcome.has_value(); });
  CHECK(asked.outcome->error.kind == ErrorKind::cancelled);
  CHECK(*models->asked.front().unwanted);
  models->answer(fail(ErrorKind::cancelled, "as told"));
  CHECK(outcome_with(pool, program, "ask", kReply).score == 3);

  Asking last(pool, program, item("ask"), models);
  pool.run_until([&] { return !models->asked.empty(); });
  pool.close();
  REQUIRE(last.outcome.has_value());
  CHECK(last.outcome->error.kind == ErrorKind::cancelled);
  CHECK(*models->asked.front().unwanted);
  models->answer(kReply);
}

TEST_CASE("llm: a host that dies while it waits costs the item it was at", "[sandbox][llm]") {
  const std::string language = GENERATE("lua", "python", "node");
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking(language);
  const auto models = std::make_shared<FakeModels>();
  Asking asked(pool, program, item("ask"), models);
  Asking next(pool, program, item("ask"), models);
  pool.run_until([&] { return !models->asked.empty(); });
  const pid_t host = host_of_ours(language == "lua" ? "assay-lua-host" : "assay-host");
  REQUIRE(host > 0);
  REQUIRE(kill(host, SIGKILL) == 0);
  pool.run_until([&] { return asked.outcome.has_value(); });
  CHECK(asked.outcome->verdict == Verdict::errored);
  CHECK(*models->asked.front().unwanted);
  models->answer(kReply);  // to nobody
  pool.run_until([&] { return !models->asked.empty(); });
  models->answer(kReply);
  pool.run_until([&] { return next.outcome.has_value(); });
  CHECK(next.outcome->score == 3);
}

TEST_CASE("llm: an answer that an item does not wait for is not the next one's", "[sandbox][llm]") {
  PoolFixture pool({.hosts = 1});
  REQUIRE(pool.ok());
  const auto program = asking("python");
  program->source = R"(
import os, threading, assay
def run_evaluation(item):
    if item["metadata"]["how"] == "leave":
        text = b'{"call":"llm.complete","params":{"model":"m"}}'
        os.write(4, len(text).to_bytes(4, "little") + text)
        os._exit(0)
    return {"score": 1, "reason": assay.llm(model="m", prompt="p")["text"]}
)";
  const auto models = std::make_shared<FakeModels>();
  Asking leaving(pool, program, item("leave"), models);
  Asking next(pool, program, item("ask"), models);
  pool.run_until([&] { return leaving.outcome.has_value(); });
  CHECK(leaving.outcome->error.kind == ErrorKind::crashed);
  REQUIRE_FALSE(models->asked.empty());
  CHECK(*models->asked.front().unwanted);
  models->answer(R"({"text":"of another","finish":"stop"})");
  pool.run_until([&] { return !models->asked.empty(); });
  models->answer(kReply);
  pool.run_until([&] { return next.outcome.has_value(); });
  CHECK((next.outcome->score == 1 && next.outcome->reason == "yés"));
}
