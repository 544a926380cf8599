#include "sandbox/runtime/lua/evaluator.hpp"

#include <catch2/catch.hpp>

using namespace assay;
using namespace assay::sandbox::lua;
using namespace std::chrono_literals;

namespace {

constexpr const char* kItem = R"({"id":"7","index":7,"sample":{"input":"q","output":"yes"},)"
                              R"("ground_truth":{"output":"no","metadata":null},"list":[1,null,2]})";

std::unique_ptr<Evaluator> load(const std::string& source, EvaluatorLimits limits = {}) {
  static const bool ticking = Watchdog::start_ticking();
  REQUIRE(ticking);
  auto evaluator =
      Evaluator::create({.name = "test", .source = source, .params = R"({"k":3})", .limits = limits});
  if (!evaluator) FAIL(evaluator.error().message);
  return std::move(*evaluator);
}

Answer run(const std::string& body, EvaluatorLimits limits = {}) {
  return load("function run_evaluation(item) " + body + " end", limits)->evaluate(kItem);
}

std::string load_error(const std::string& source) {
  auto evaluator = Evaluator::create({.name = "test", .source = source});
  REQUIRE_FALSE(evaluator);
  REQUIRE(evaluator.error().kind == ErrorKind::config);
  return evaluator.error().message;
}

}  // namespace

TEST_CASE("Evaluator: numbers, booleans and tables are results", "[sandbox][lua]") {
  REQUIRE(run("return 0.25").score == 0.25);
  REQUIRE(run("return 3").score == 3);
  const Answer yes = run("return true");
  REQUIRE((yes.score == 1 && yes.passed == true && !yes.error));
  const Answer table =
      run("return {score = 0.5, passed = false, reason = 'half', metrics = {b = 2, a = 1.5}, extra = 1}");
  REQUIRE_FALSE(table.error);
  REQUIRE((table.score == 0.5 && table.passed == false && table.reason == "half"));
  REQUIRE(table.metrics == std::vector<std::pair<std::string, double>>{{"a", 1.5}, {"b", 2}});
}

TEST_CASE("Evaluator: what is no result is bad_result, and the message names what came", "[sandbox][lua]") {
  const auto [body, text] = GENERATE(table<std::string, std::string>({
      {"return", "nil"},
      {"return 'yes'", "the string \"yes\""},
      {"return {}", "score is nil"},
      {"return {score = '1'}", "score is the string \"1\""},
      {"return 0/0", "nan"},
      {"return math.huge", "inf"},
      {"return {score = -math.huge}", "inf"},
      {"return print", "a function"},
      {"return {score = 1, passed = 'yes'}", "passed is the string"},
      {"return {score = 1, reason = {}}", "reason is a table"},
      {"return {score = 1, metrics = 3}", "metrics is 3"},
      {"return {score = 1, metrics = {a = 'x'}}", "metrics.a is the string"},
      {"return {score = 1, metrics = {5}}", "metrics has the key 1"},
      {"return setmetatable({}, {__index = function() return 1 end})", "score is nil"},
  }));
  CAPTURE(body);
  const Answer answer = run(body);
  REQUIRE(answer.error);
  REQUIRE(answer.error->kind == ErrorKind::bad_result);
  REQUIRE_THAT(answer.error->message, Catch::Contains(text));
}

TEST_CASE("Evaluator: an error comes with its line and a traceback", "[sandbox][lua]") {
  const auto evaluator = load(
      "local function deep()\n  error('broken')\nend\nfunction run_evaluation()\n  deep() return 1\nend");
  const Answer answer = evaluator->evaluate(kItem);
  REQUIRE(answer.error);
  REQUIRE(answer.error->kind == ErrorKind::evaluator_error);
  REQUIRE_THAT(answer.error->message, Catch::StartsWith("test:2: broken\nstack traceback:"));
  REQUIRE_THAT(answer.error->message, Catch::Contains("test:5:"));
}

TEST_CASE("Evaluator: error objects of every type are told apart", "[sandbox][lua]") {
  const auto [body, text] = GENERATE(table<std::string, std::string>({
      {"error()", "the error object is a nil value"},
      {"error({})", "the error object is a table value"},
      {"error({message = 'inside'})", "inside"},
      {"error(setmetatable({}, {__tostring = function() while true do end end}))", "a table value"},
      {"error(42)", "42"},
      {"error('a\\0b')", "a"},
      {"local x = nil; x.y = 1", "attempt to index a nil value"},
      {"return item.sample.nothing.more", "attempt to index a nil value"},
      {"local t = setmetatable({}, {}) getmetatable(t).__index = function(u, k) return u[k] end return t.x",
       "overflow"},
  }));
  CAPTURE(body);
  const Answer answer = run(body);
  REQUIRE(answer.error);
  REQUIRE(answer.error->kind == ErrorKind::evaluator_error);
  REQUIRE_THAT(answer.error->message, Catch::Contains(text));
}

TEST_CASE("Evaluator: the item has text on both sides and no member that is null", "[sandbox][lua]") {
  REQUIRE(run("assert(item.sample.text == 'yes' and item.ground_truth.text == 'no') return 1").score == 1);
  REQUIRE(run("assert(item.ground_truth.metadata == nil and item.index == 7 and item.id == '7') return 1")
              .score == 1);
  REQUIRE(run("assert(item.list[2] == json.null and #item.list == 3) return 1").score == 1);
  REQUIRE(run("return assay.params.k").score == 3);
  const auto evaluator =
      load("function run_evaluation(item) return {score = 1, reason = item.sample.text} end");
  // A chat answer: output is an object, and the wire says what its text is.
  REQUIRE(evaluator->evaluate(R"({"sample":{"output":{"choices":[]},"text":"said"}})").reason == "said");
}

TEST_CASE("Evaluator: nothing that an item does is seen by the next", "[sandbox][lua]") {
  const auto evaluator = load(R"lua(
    local calls, shared = 0, {list = {1, 2}}
    seen = 'top'
    function run_evaluation(item)
      calls = calls + 1
      assert(calls == 1 and seen == 'top' and #shared.list == 2 and leaked == nil)
      assert(("x").rep == string.rep and string.evil == nil and json.evil == nil and math.pi > 3)
      seen, leaked = 'changed', true
      table.insert(shared.list, 3)
      string.evil, json.evil, math.pi, assay.log = true, true, 0, nil
      string.rep = function() return 'poisoned' end
      _G.tostring = nil
      setmetatable(_G, {__index = function() return 'anything' end})
      return {score = 1, reason = tostring_first or 'r'}
    end)lua");
  for (int i = 0; i < 5; i++) {
    const Answer answer = evaluator->evaluate(kItem);
    if (answer.error) FAIL(answer.error->message);
  }
}

TEST_CASE("Evaluator: random numbers depend on the item and on nothing else", "[sandbox][lua]") {
  const std::string source =
      "local top = math.random() function run_evaluation(item) return {score = math.random(), "
      "metrics = {top = top}} end";
  const auto one = load(source), other = load(source);
  const Answer first = one->evaluate(R"({"index":1})");
  REQUIRE(one->evaluate(R"({"index":2})").score != first.score);
  REQUIRE(one->evaluate(R"({"index":1})").score == first.score);
  REQUIRE(other->evaluate(R"({"index":1})").score == first.score);
  REQUIRE(other->evaluate(R"({"index":1})").metrics == first.metrics);
  REQUIRE(run("return math.randomseed(1)")
              .error);  // gives nothing back: Lua's own would give a seed made of addresses
  REQUIRE(run("return math.randomseed()").error->kind == ErrorKind::evaluator_error);
}

TEST_CASE("Evaluator: a source that cannot be used is refused with its line", "[sandbox][lua]") {
  REQUIRE_THAT(load_error("function run_evaluation(\n  = 1"), Catch::Contains("test:2:"));
  REQUIRE_THAT(load_error("x = 1"), Catch::Contains("must define a global function run_evaluation"));
  REQUIRE_THAT(load_error("run_evaluation = 3"), Catch::Contains("must define a global function"));
  REQUIRE_THAT(load_error("\n\nerror('at the top')"), Catch::Contains("test:3: at the top"));
  REQUIRE_THAT(load_error("\x1bLuaQ"), Catch::Contains("attempt to load a binary chunk"));
  REQUIRE_THAT(load_error("big = ('x'):rep(20e6) function run_evaluation() end"), Catch::Contains("16 MiB"));
}

TEST_CASE("Evaluator: what it logs keeps its head and its tail", "[sandbox][lua]") {
  EvaluatorLimits limits;
  limits.log_bytes = 100;
  REQUIRE(run("print('a', 1, nil, true) assay.log('b') return 1", limits).log == "a\t1\tnil\ttrue\nb\n");
  const Answer answer = run("for i = 1, 1000 do print(i) end return 1", limits);
  REQUIRE_THAT(answer.log, Catch::StartsWith("1\n2\n3\n"));
  REQUIRE_THAT(answer.log, Catch::EndsWith("999\n1000\n"));
  REQUIRE_THAT(answer.log, Catch::Contains("bytes left out]"));
  REQUIRE(answer.log.size() < 150);
  REQUIRE(run("print(('x'):rep(1000)) return 1", limits).log.size() < 150);
}

TEST_CASE("Evaluator: limits of memory and of the result hold", "[sandbox][lua]") {
  EvaluatorLimits limits;
  limits.memory_bytes = 4U << 20;
  limits.result_bytes = 1000;
  REQUIRE(run("return #('x'):rep(1e9)", limits).error->kind == ErrorKind::memory_limit);
  REQUIRE(run("local t = {} while true do t[#t+1] = {} end", limits).error->kind == ErrorKind::memory_limit);
  REQUIRE(run("local function f() return 1 + f() end return f()", limits).error->kind ==
          ErrorKind::memory_limit);
  REQUIRE(run("return {score = 1, reason = ('x'):rep(1001)}", limits).error->kind == ErrorKind::output_limit);
  const Answer answer = run("local s = ('x'):rep(1e6) return 1", limits);
  REQUIRE((answer.memory_bytes > 1'000'000 && answer.memory_bytes < 4U << 20));
  // The next item has all of the memory again.
  const auto evaluator = load("function run_evaluation(item) return #('x'):rep(15e5) end", limits);
  for (int i = 0; i < 20; i++) REQUIRE(evaluator->evaluate(kItem).score == 15e5);
}

// TSan holds asynchronous signals back until the program makes a system call, which these loops never do: the
// deadlines of the real, uninstrumented host are tested in its build too (pool_test.cpp, tests/attack).
#if !__has_feature(thread_sanitizer)

TEST_CASE("Evaluator: nothing written in Lua outlives its deadline", "[sandbox][lua]") {
  const std::string body =
      GENERATE(as<std::string>{},  //
               "while true do end", "while true do pcall(function() while true do end end) end",
               "while true do xpcall(function() while true do end end, function() end) end",
               "local co = coroutine.wrap(function() while true do end end) co()",
               "while true do coroutine.wrap(function() for i = 1, 1000 do end end)() end",
               "local function nest(n) return coroutine.wrap(function() if n > 0 then nest(n - 1)() "
               "end while true do end end) end while true do pcall(nest(50)) end",
               "local t <close> = setmetatable({}, {__close = function() while true do end end}) "
               "while true do end",
               "for i = 1, math.maxinteger do end", "::again:: goto again", "repeat until false",
               "table.sort({3, 2, 1}, function() while true do end end)",
               "(('x'):rep(100)):gsub('.', function() while true do end end)",
               "return setmetatable({}, {__index = function(t, k) while true do end end}).x");
  CAPTURE(body);
  EvaluatorLimits limits;
  limits.cpu = 30ms;
  const auto evaluator =
      load("function run_evaluation(item) if item.good then return 1 end " + body + " end", limits);
  const Answer answer = evaluator->evaluate(kItem);
  REQUIRE(answer.error);
  REQUIRE(answer.error->kind == ErrorKind::cpu_limit);
  REQUIRE(evaluator->evaluate(R"({"good":true})").score == 1);
}

TEST_CASE("Evaluator: the wall deadline is a timeout", "[sandbox][lua]") {
  EvaluatorLimits limits;
  limits.wall = 30ms;
  REQUIRE(run("while true do end", limits).error->kind == ErrorKind::timeout);
}

#endif
