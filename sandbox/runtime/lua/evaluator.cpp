#include "sandbox/runtime/lua/evaluator.hpp"

#include <algorithm>

#include "sandbox/runtime/lua/assay_module.hpp"
#include "sandbox/runtime/lua/json_module.hpp"
#include "sandbox/runtime/lua/libraries.hpp"

namespace assay::sandbox::lua {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;

const char kRunEvaluation = 0;  // its address is the registry key of the function

// A collection before an item has allocated a few times the size of a fresh state would cost more than it
// frees: the restore frees it all.
constexpr int kGcPause = 400;

std::string_view text_at(lua_State* state, int index) {
  size_t size = 0;
  const char* const data = lua_tolstring(state, index, &size);
  return data == nullptr ? std::string_view() : std::string_view(data, size);
}

/// What a call of this item has failed with, when the error object says that it is that (raise_call_error).
std::optional<ErrorKind> failure_of(lua_State* state, int index) {
  const auto& failures = session_of(state).failures;
  if (failures.empty() || lua_type(state, index) != LUA_TTABLE) return std::nullopt;
  lua_pushliteral(state, "kind");
  std::optional<ErrorKind> kind;
  if (lua_rawget(state, index) == LUA_TSTRING) kind = error_kind_from(text_at(state, -1));
  const bool is_one = kind && to_string(*kind) == text_at(state, -1) && failures.contains(*kind);
  lua_pop(state, 1);
  return is_one ? kind : std::nullopt;
}

/// The message handler: text of the error object, and where it came from unless that is a model.
int add_traceback(lua_State* state) {
  session_of(state).ends_with = failure_of(state, 1);
  if (lua_type(state, 1) ==
      LUA_TTABLE) {  // error{message = …} is common; raw, so that nothing of theirs runs here
    lua_pushliteral(state, "message");
    if (lua_rawget(state, 1) == LUA_TSTRING) lua_replace(state, 1);
  }
  if (lua_type(state, 1) != LUA_TSTRING && lua_type(state, 1) != LUA_TNUMBER) {
    lua_pushfstring(state, "the error object is a %s value", luaL_typename(state, 1));
    lua_replace(state, 1);
  }
  if (!session_of(state).ends_with) luaL_traceback(state, state, lua_tostring(state, 1), 1);
  return 1;
}

/// item.index, which also makes math.random the same for the same item.
lua_Integer index_of_item(lua_State* state, int item) {
  if (lua_type(state, item) != LUA_TTABLE) return 0;
  lua_pushliteral(state, "index");
  lua_rawget(state, item < 0 ? item - 1 : item);
  const lua_Integer index = lua_tointeger(state, -1);
  lua_pop(state, 1);
  return index;
}

/// The wire leaves `text` out where it would repeat `output`.
void fill_text(lua_State* state, int side) {
  lua_pushliteral(state, "text");
  if (lua_rawget(state, side) != LUA_TNIL) return;
  lua_pushliteral(state, "text");
  lua_pushliteral(state, "output");
  if (lua_rawget(state, side) == LUA_TSTRING) lua_rawset(state, side);
}

}  // namespace

Result<std::unique_ptr<Evaluator>> Evaluator::create(EvaluatorSource source, Call call) {
  std::unique_ptr<Evaluator> evaluator(new Evaluator(std::move(source), std::move(call)));
  ASSAY_OK(evaluator->load());
  return evaluator;
}

Evaluator::Evaluator(EvaluatorSource source, Call call)
    : source_(std::move(source)), arena_(source_.limits.memory_bytes) {
  session_.source = &source_;
  session_.call = std::move(call);
}

Result<void> Evaluator::load() {
  if (source_.source.size() > kSourceLimit)
    return fail(ErrorKind::config, source_.name + ": the source is too long");
  if (!arena_.ok()) return fail(ErrorKind::memory_limit, "cannot reserve the memory limit");
  state_ = lua_newstate(&Arena::allocate, &arena_);
  const auto too_small = [&] {
    return fail(ErrorKind::config, source_.name + ": the memory limit is too small");
  };
  if (state_ == nullptr) return too_small();
  attach(state_, &session_);
  session_.log.start(source_.limits.log_bytes);
  session_.watchdog.begin(state_, source_.limits.wall, source_.limits.cpu);
  lua_pushcfunction(state_, load_protected);
  lua_pushlightuserdata(state_, this);
  const int status = lua_pcall(state_, 1, 0, 0);
  session_.watchdog.end();
  if (status == LUA_ERRMEM) return too_small();
  if (status != LUA_OK) {
    const Error error = error_of(state_, status);
    return fail(ErrorKind::config, source_.name + ": " + error.message);
  }
  lua_sethook(state_, nullptr, 0, 0);
  lua_settop(state_, 0);
  lua_gc(state_, LUA_GCCOLLECT);
  lua_gc(state_, LUA_GCINC, kGcPause, 0, 0);
  lua_gc(state_, LUA_GCSTEP, 0);
  if (!arena_.take_snapshot())
    return fail(ErrorKind::config, source_.name + ": the top level keeps more than 16 MiB");
  session_.is_at_item = true;
  return {};
}

int Evaluator::load_protected(lua_State* state) {
  auto& self = *static_cast<Evaluator*>(lua_touserdata(state, 1));
  open_libraries(state);
  seed_random(state, 0);
  push_json_module(state);
  lua_setglobal(state, "json");
  push_assay_module(state, self.source_.params);
  lua_setglobal(state, "assay");

  lua_settop(state, 0);
  lua_pushcfunction(state, add_traceback);
  const std::string chunk = "=" + self.source_.name;
  // Text only: bytecode is not verified by Lua and corrupts memory at will.
  if (luaL_loadbufferx(state, self.source_.source.data(), self.source_.source.size(), chunk.c_str(), "t") !=
      LUA_OK)
    return lua_error(state);
  if (lua_pcall(state, 0, 0, 1) != LUA_OK) return lua_error(state);
  lua_pushglobaltable(state);
  lua_pushliteral(state, "run_evaluation");
  if (lua_rawget(state, -2) != LUA_TFUNCTION)
    return luaL_error(state, "the source must define a global function run_evaluation(item)");
  lua_rawsetp(state, LUA_REGISTRYINDEX, &kRunEvaluation);
  return 0;
}

Answer Evaluator::evaluate(std::string_view item) {
  Answer answer;
  answer_ = &answer;
  item_ = item;
  arena_.restore();
  session_.failures.clear();
  session_.ends_with.reset();
  session_.log.start(source_.limits.log_bytes);
  session_.watchdog.begin(state_, source_.limits.wall, source_.limits.cpu);
  lua_pushcfunction(state_, evaluate_protected);
  lua_pushlightuserdata(state_, this);
  const int status = lua_pcall(state_, 1, 0, 0);
  if (status != LUA_OK) answer.error = error_of(state_, status);
  session_.watchdog.end();
  answer.wall = duration_cast<microseconds>(session_.watchdog.wall_used());
  answer.cpu = duration_cast<microseconds>(session_.watchdog.cpu_used());
  // First cause wins: whatever came of it, it came too late.
  if (session_.watchdog.expired()) answer.error = error_of(state_, LUA_ERRRUN);
  answer.memory_bytes = arena_.peak_bytes();
  if (!session_.log.empty()) answer.log = session_.log.text();
  return answer;
}

int Evaluator::evaluate_protected(lua_State* state) {
  auto& self = *static_cast<Evaluator*>(lua_touserdata(state, 1));
  lua_settop(state, 0);
  lua_pushcfunction(state, add_traceback);
  lua_rawgetp(state, LUA_REGISTRYINDEX, &kRunEvaluation);
  push_item(state, self.item_);
  seed_random(state, index_of_item(state, 3));
  const int status = lua_pcall(state, 1, 1, 1);
  if (status == LUA_OK)
    read_result(state, 2, self.source_.limits.result_bytes, *self.answer_);
  else
    self.answer_->error = self.error_of(state, status);
  return 0;
}

Error Evaluator::error_of(lua_State* state, int status) const {
  const auto seconds = [](std::chrono::milliseconds limit) {
    return std::to_string(limit.count() / 1000) + '.' + std::to_string(limit.count() % 1000 / 100) + " s";
  };
  if (const auto kind = session_.watchdog.expired(); kind == ErrorKind::timeout)
    return {ErrorKind::timeout, "took longer than " + seconds(source_.limits.wall)};
  else if (kind)
    return {ErrorKind::cpu_limit, "used more processor time than " + seconds(source_.limits.cpu)};
  // -1 is what Lua makes of a foreign exception: memory outside of the arena ran out.
  if (status == LUA_ERRMEM || status < 0)
    return {ErrorKind::memory_limit,
            "needs more memory than " + std::to_string(source_.limits.memory_bytes >> 20) + " MiB"};
  std::string message(text_at(state, -1).substr(0, kMessageLimit));
  if (message.empty()) message = "failed without a message";
  return {session_.ends_with.value_or(ErrorKind::evaluator_error), std::move(message)};
}

void push_item(lua_State* state, std::string_view text) {
  push_json(state, text, Nulls::drop_in_objects);
  if (lua_type(state, -1) != LUA_TTABLE) return;
  const int item = lua_gettop(state);
  for (const char* name : {"sample", "ground_truth"}) {
    lua_pushstring(state, name);
    if (lua_rawget(state, item) == LUA_TTABLE) fill_text(state, item + 1);
    lua_settop(state, item);
  }
}

}  // namespace assay::sandbox::lua
