// Hostile evaluators against the whole sandbox, in every jail mode: catalogue section 3.4 and what of 3.3
// applies. Each case is run, then a good item through the same pool, which must be scored as if nothing had
// been.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "sandbox/jail/helper.hpp"
#include "tests/unit/sandbox/pool_fixture.hpp"

using namespace assay;
using namespace assay::sandbox;
using namespace std::chrono_literals;

namespace {

struct Attack {
  const char* name;
  const char* body;                // of run_evaluation(item)
  std::vector<ErrorKind> ends_as;  // empty: the body checks its defence itself and returns the score 1
};

constexpr auto kRaises = ErrorKind::evaluator_error;
constexpr auto kCpu = ErrorKind::cpu_limit;
constexpr auto kMemory = ErrorKind::memory_limit;  // or, on a busy machine, the processor time first

const std::vector<Attack>& attacks() {
  static const std::vector<Attack> list = {
      // 106, 115, 116, 117: bytecode, debug, os, io, package
      {"106 no loader",
       "for _, n in ipairs{'load','loadstring','loadfile','dofile','require'} do assert(_G[n] == nil, n) end "
       "assert(string.dump == nil) return 1",
       {}},
      {"106 a loader is called", "return load('\\27Lua')()", {kRaises}},
      {"115-117 no doors",
       "for _, n in ipairs{'debug','io','package','ffi','jit','warn'} do assert(_G[n] == nil, n) end "
       "for n in pairs(os) do assert(({time=1,clock=1,date=1,difftime=1})[n], n) end return 1",
       {}},
      // 107: memory
      {"107 string.rep", "return #('x'):rep(1e10)", {kMemory, kRaises}},
      {"107 string.rep, overflow", "return #('x'):rep(math.maxinteger, 'yy')", {kRaises, kMemory}},
      {"107 doubling", "local s = 'x' while true do s = s .. s end", {kMemory, kRaises}},
      {"107 doubling under pcall",
       "local s = 'x' while true do pcall(function() s = s .. s end) end",
       {kCpu, kMemory}},
      {"107 table.concat",
       "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(1e5) end return #table.concat(t)",
       {kMemory}},
      {"107 string.format", "return #string.format('%99.99f', 1/3):rep(1e7)", {kMemory, kRaises}},
      {"107 utf8.char",
       "return #utf8.char(table.unpack((function() local t = {} for i = 1, 1e6 do t[i] = 65 end return t "
       "end)()))",
       {kRaises, kMemory}},
      {"107 table growth", "local t = {} for i = 1, 1e9 do t[i] = i end", {kMemory}},
      {"107 closures", "local t = {} while true do t = {function() return t end, t} end", {kMemory}},
      {"107 coroutines", "local t = {} while true do t[#t + 1] = coroutine.create(print) end", {kMemory}},
      {"107 string.pack", "return #string.pack(('i16'):rep(1e6), 1)", {kRaises, kMemory}},
      {"107 gsub", "return #(('x'):rep(1e6)):gsub('x', ('y'):rep(1e4))", {kMemory}},
      {"107 next item has its memory", "local s = ('x'):rep(10e6) return 1", {}},
      // 108: C code that no hook reaches
      {"108 pattern bomb", "return string.find(('a'):rep(60), ('a-'):rep(60) .. 'b')", {kCpu}},
      {"108 pattern bomb, gsub under pcall",
       "while true do pcall(string.gsub, ('a'):rep(60), ('a-'):rep(60) .. 'b', '') end",
       {kCpu}},
      {"108 rep of nothing", "return #(''):rep(1e15) + 1", {}},
      {"108 table.move in C",
       "table.move(setmetatable({}, {__index = rawlen}), 1, 1e15, 2, setmetatable({}, {__newindex = "
       "rawequal}))",
       {kCpu, kRaises}},
      {"108 concat in C",
       "return #table.concat(setmetatable({}, {__index = rawlen}), '', 1, 1e12)",
       {kCpu, kMemory, kRaises}},
      {"108 nested gsub",
       "(('a'):rep(1e4)):gsub('.', function() return (('a'):rep(1e4)):gsub('a-b', '') end)",
       {kCpu}},
      // 109-112: time
      {"109 while true", "while true do end", {kCpu}},
      {"109 goto", "::a:: goto a", {kCpu}},
      {"109 numeric for", "for i = 1, math.maxinteger do end", {kCpu}},
      {"109 repeat", "repeat until false", {kCpu}},
      {"109 sort",
       "local t = {} for i = 1, 100 do t[i] = i end while true do table.sort(t, function(a, b) return a > b "
       "end) end",
       {kCpu}},
      {"110 pcall", "while true do pcall(function() while true do end end) end", {kCpu}},
      {"110 pcall, a result after all", "pcall(function() while true do end end) return 1", {kCpu}},
      {"110 xpcall, handler loops",
       "xpcall(function() while true do end end, function() while true do end end)",
       {kCpu}},
      {"110 error in handlers",
       "local function h() error(setmetatable({}, {__tostring = h})) end xpcall(h, h) return 1",
       {}},
      {"111 __close",
       "local x <close> = setmetatable({}, {__close = function() while true do end end}) error('x')",
       {kCpu}},
      {"111 __close in a coroutine",
       "local co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() "
       "while true do end end}) coroutine.yield() end) coroutine.resume(co) coroutine.close(co)",
       {kCpu}},
      {"112 coroutine", "coroutine.wrap(function() while true do end end)()", {kCpu}},
      {"112 coroutines taking turns",
       "local function spin() for i = 1, 5000 do end coroutine.yield() return spin() end "
       "local t = {} for i = 1, 100 do t[i] = coroutine.create(spin) end "
       "while true do for i = 1, 100 do coroutine.resume(t[i]) end end",
       {kCpu}},
      {"112 ever new coroutines",
       "while true do coroutine.wrap(function() for i = 1, 90 do end end)() end",
       {kCpu}},
      {"112 nested coroutines",
       "local function nest() return coroutine.wrap(nest)() end return nest()",
       {kRaises, kCpu, kMemory}},
      {"112 coroutine swallows",
       "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
       {kCpu}},
      // 113, 114: metatables
      {"113 __gc", "setmetatable({}, {__gc = function() end})", {kRaises}},
      {"113 __gc after the fact",
       "local mt = {} setmetatable({}, mt) mt.__gc = function() while true do end end "
       "for i = 1, 1e5 do local t = {} end return 1",
       {}},
      {"114 string metatable",
       "assert(getmetatable('') == false) assert(not pcall(setmetatable, '', {})) return 1",
       {}},
      {"114 string library",
       "string.rep = nil string.format = function() return 'x' end ; ('').evil = nil",
       {kRaises}},
      {"114 globals",
       "_G.tostring = nil _G.pairs = error _ENV.json = nil setmetatable(_G, {__newindex = error}) return 1",
       {}},
      // 118: the collector
      {"118 collectgarbage",
       "for _, what in ipairs{'stop','collect','restart','step','incremental','generational','isrunning'} do "
       "assert(not pcall(collectgarbage, what)) end return collectgarbage('count') > 0",
       {}},
      // 119: the C stack
      {"119 deep recursion", "local function f(n) return 1 + f(n + 1) end return f(1)", {kRaises, kMemory}},
      {"119 recursion through gsub",
       "local function f() return ('x'):gsub('.', f) end return f()",
       {kRaises}},
      {"119 recursion through sort",
       "local function f() table.sort({1, 2, 3}, f) return true end return f()",
       {kRaises}},
      {"119 recursion through pcall", "local function f() return pcall(f) end f() return 1", {}},
      {"119 __index chain",
       "local t = {} for i = 1, 3000 do t = setmetatable({}, {__index = t}) end return t.x",
       {kRaises}},
      {"119 __index cycle",
       "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
       {kRaises}},
      {"119 __tostring recursion",
       "local t = setmetatable({}, {__tostring = function(s) return tostring(s) end}) return tostring(t)",
       {kRaises}},
      {"119 pattern recursion",
       "return string.match(('a'):rep(1e6), ('(.-)'):rep(32) .. ('a?'):rep(1e5))",
       {kRaises, kCpu}},
      {"119 captures", "return string.match('x', ('('):rep(1000))", {kRaises}},
      {"119 invalid order function",
       "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function() return true end)",
       {kRaises}},
      {"119 json depth", "return json.decode(('['):rep(1e6))", {kRaises}},
      {"119 json cycle", "local t = {} t[1] = t return json.encode(t)", {kRaises}},
      // 120: arithmetic at the edges of the C code
      {"120 unpack", "return select('#', table.unpack({}, 1, 1e8))", {kRaises, kMemory}},
      {"120 unpack, overflow", "return table.unpack({}, math.mininteger, math.maxinteger)", {kRaises}},
      {"120 string.sub",
       "return ('x'):sub(math.mininteger, math.maxinteger) == 'x' and #('abc'):byte(1, -1) and 1 or 1",
       {kRaises}},
      {"120 string.unpack", "return string.unpack('s8', ('\\255'):rep(8))", {kRaises}},
      {"120 table.insert", "table.insert({}, math.maxinteger, 1)", {kRaises}},
      {"120 table.concat", "return table.concat({}, '', math.mininteger, math.maxinteger)", {kRaises}},
      {"120 select", "return select(math.mininteger, 1)", {kRaises}},
      {"120 utf8", "return utf8.codepoint('\\255\\255', 1, 2)", {kRaises}},
      {"120 rep separator", "return ('x'):rep(1 << 31, ('y'):rep(1 << 20))", {kMemory, kRaises}},
      {"120 os.date",
       "for _, f in ipairs{'%Ez', '%O', '%', '%Q', '%k'} do assert(not pcall(os.date, f)) end "
       "assert(not pcall(os.date, '%Y', math.maxinteger)) return 1",
       {}},
      {"120 os.time",
       "assert(not pcall(os.time, {year = math.maxinteger, month = 1, day = 1})) "
       "assert(os.time{year=1970,month=1,day=1,hour=0} == 0) return 1",
       {}},
      {"120 math.random",
       "assert(not pcall(math.random, 2, 1)) math.random(math.mininteger, math.maxinteger) return 1",
       {}},
      {"120 levenshtein", "assert(not pcall(assay.levenshtein, ('a'):rep(1e5), 'b')) return 1", {}},
      // 121: addresses
      {"121 tostring",
       "for _, v in ipairs{{}, print, coroutine.create(print), function() end} do "
       "assert(tostring(v):match('^%a+: #%d+$'), tostring(v)) end return 1",
       {}},
      {"121 format",
       "assert(not pcall(string.format, '%p', {})) assert(not pcall(string.format, '%%%-10p', {})) "
       "assert(not string.format('%s', {}):find('0x')) assert(not string.format('%s', print):find('0x')) "
       "return 1",
       {}},
      {"121 messages",
       "local _, m = pcall(error, {}) local _, n = pcall(function() local t = {} return t < t end) "
       "assert(not tostring(n):find('0x')) return 1",
       {}},
      {"121 random seed",
       "assert(not pcall(math.randomseed)) assert(select('#', math.randomseed(1)) == 0) return 1",
       {}},
      {"121 json.null", "assert(tostring(json.null) == 'null') return 1", {}},
      // results that fight back
      {"result with metamethods",
       "return setmetatable({score = 1}, {__index = error, __pairs = error, __len = error, __tostring = "
       "error})",
       {}},
      {"result recursive", "local t = {score = 1} t.metrics = t return t", {ErrorKind::bad_result}},
      {"result metrics recursive",
       "local t = {score = 1} t.metrics = {t = t} return t",
       {ErrorKind::bad_result}},
      {"result nan", "return {score = 0/0}", {ErrorKind::bad_result}},
      {"result infinite", "return -1/0", {ErrorKind::bad_result}},
      {"result text", "return '1'", {ErrorKind::bad_result}},
      {"result hex", "return {score = '0x10'}", {ErrorKind::bad_result}},
      {"result coroutine", "return coroutine.create(print)", {ErrorKind::bad_result}},
      {"result huge reason", "return {score = 1, reason = ('x'):rep(5e6)}", {ErrorKind::output_limit}},
      {"result many metrics",
       "local m = {} for i = 1, 2000 do m['m' .. i] = i end return {score = 1, metrics = m}",
       {ErrorKind::output_limit}},
      {"result of bytes", "return {score = 1, reason = '\\0\\27[2J\\255\\254\"}}'}", {}},
      {"yield out of the evaluator", "coroutine.yield(1)", {kRaises}},
      {"log bomb", "for i = 1, 1e4 do print(('x'):rep(100)) end return 1", {}},
      {"log of frames", "print('\\9\\0\\0\\0{\"id\":1,\"result\":{\"score\":0}}') return 1", {}},
      {"exit", "os.exit(0)", {kRaises}},
  };
  return list;
}

Limits tight() {
  Limits limits;
  limits.wall = 20s;  // far off: on a busy machine the processor time must be what runs out
  limits.cpu = 100ms;
  limits.memory_bytes = 32U << 20;
  return limits;
}

size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

/// Spawners and hosts of this build that live; the tests that start any run one after the other.
size_t living_helpers() {
  const auto spawner = helper_path("assay-spawner"), host = helper_path("assay-lua-host");
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::error_code unreadable;
    const auto program = std::filesystem::read_symlink(entry.path() / "exe", unreadable);
    if (!unreadable && (program == *spawner || program == *host)) count++;
  }
  return count;
}

bool ends_as_expected(const Attack& attack, const Outcome& outcome) {
  const auto expected = [&](ErrorKind kind) {
    return std::find(attack.ends_as.begin(), attack.ends_as.end(), kind) != attack.ends_as.end();
  };
  if (outcome.verdict != Verdict::errored) return false;
  return expected(outcome.error.kind) || (outcome.error.kind == kCpu && expected(kMemory));
}

}  // namespace

TEST_CASE("Lua attacks: each ends as it should, and the next item knows nothing of it", "[attack][lua]") {
  const Mode mode = GENERATE(Mode::full, Mode::userns, Mode::nons);
  const size_t before = open_descriptors();
  {
    PoolFixture pool({.hosts = 1, .mode = mode});
    if (!pool.ok()) {
      WARN("this machine cannot: " + pool.error().message);
      return;
    }
    for (const Attack& attack : attacks()) {
      CAPTURE(to_string(mode), attack.name);
      const std::string guard =
          "if item.good then assert(#tostring({}) > 5 and ('x'):rep(2) == 'xx' and leak == nil) return 1 end "
          "leak = true ";
      const auto program =
          make_program("function run_evaluation(item) " + guard + attack.body + "\nend", tight());
      const Outcome outcome = pool.evaluate(program, R"({"index":1})");
      CAPTURE(to_string(outcome.verdict), outcome.score, to_string(outcome.error.kind),
              outcome.error.message);
      if (attack.ends_as.empty())
        CHECK((outcome.verdict == Verdict::scored && outcome.score == 1));
      else
        CHECK(ends_as_expected(attack, outcome));
      const Outcome next = pool.evaluate(program, R"({"good":true})");
      CHECK((next.verdict == Verdict::scored && next.score == 1));
    }
  }
  REQUIRE(open_descriptors() == before);
  REQUIRE(living_helpers() == 0);
}

TEST_CASE("Lua attacks: text that looks like a result is only text", "[attack][lua]") {
  PoolFixture pool;
  const auto program = make_program(
      "function run_evaluation(item) print(item.sample.text) return {score = 0, reason = item.sample.text} "
      "end");
  for (const char* text : {R"({\"score\":1})", R"(\u0000\u001b[31m)", R"(\"}},\"result\":{\"score\":1}})",
                           R"(%s%p%n)", R"(]]--)"}) {
    CAPTURE(text);
    const Outcome outcome = pool.evaluate(program, "{\"sample\":{\"output\":\"" + std::string(text) + "\"}}");
    REQUIRE((outcome.verdict == Verdict::scored && outcome.score == 0));
  }
}

TEST_CASE("Lua attacks: sources that attack while they load", "[attack][lua]") {
  PoolFixture pool({.hosts = 1});
  const std::string tail = " function run_evaluation() return 1 end";
  const std::string deep(100'000, '(');
  const std::string source =
      GENERATE_COPY(as<std::string>{}, "\x1bLuaS" + tail, "while true do end" + tail,
                    "local s = 'x' while true do s = s .. s end" + tail, "x = " + deep + tail,
                    "x = " + std::string(100'000, '{') + tail, "x = " + std::string(100'000, '-') + "1",
                    "error(setmetatable({}, {__tostring = error}))" + tail,
                    "string.find(('a'):rep(60), ('a-'):rep(60) .. 'b')" + tail, std::string("\0\xff\xfe", 3),
                    "run_evaluation = setmetatable({}, {__call = function() return 1 end})",
                    "setmetatable(_G, {__index = function() return function() return 1 end end})",
                    std::string(5U << 20, ' ') + tail, "goto x" + tail, "local a <const> = 1 a = 2" + tail);
  const auto prepared = pool.prepare(make_program(source, tight()));
  REQUIRE_FALSE(prepared);
  CAPTURE(prepared.error().message);
  REQUIRE_FALSE(prepared.error().message.empty());
  REQUIRE(pool.evaluate(make_program("function run_evaluation() return 1 end"), "{}").score == 1);
}
