// The coroutine library. Lua's own would let a coroutine escape the watchdog, which arms the coroutine that
// it knows to be running: these tell it, and look at the deadline whenever one is entered or left, so that
// nesting or taking turns gains nothing. After the original, lcorolib.c of Lua 5.4.
#include "sandbox/runtime/lua/libraries.hpp"
#include "sandbox/runtime/lua/session.hpp"

namespace assay::sandbox::lua {
namespace {

/// `state` runs while this lives. Leaving raises nothing; call Watchdog::check() behind it.
class Running {
 public:
  Running(lua_State* from, lua_State* state)
      : watchdog_(session_of(from).watchdog), before_(watchdog_.enter(state)) {}
  ~Running() { watchdog_.enter(before_); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  Watchdog& watchdog_;
  lua_State* before_;
};

lua_State* check_coroutine(lua_State* state) {
  lua_State* const coroutine = lua_tothread(state, 1);
  luaL_argexpected(state, coroutine != nullptr, 1, "coroutine");
  return coroutine;
}

/// The number of results, moved to `from`; -1 with an error message there.
int resume(lua_State* from, lua_State* coroutine, int arguments) {
  if (lua_checkstack(coroutine, arguments) == 0) {
    lua_pushliteral(from, "too many arguments to resume");
    return -1;
  }
  lua_xmove(from, coroutine, arguments);
  int results = 0;
  int status = 0;
  {
    const Running running(from, coroutine);
    status = lua_resume(coroutine, from, arguments, &results);
  }
  session_of(from).watchdog.check(from);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(coroutine, from, 1);
    return -1;
  }
  if (lua_checkstack(from, results + 1) == 0) {
    lua_pop(coroutine, results);
    lua_pushliteral(from, "too many results to resume");
    return -1;
  }
  lua_xmove(coroutine, from, results);
  return results;
}

int coroutine_resume(lua_State* state) {
  lua_State* const coroutine = check_coroutine(state);
  session_of(state).watchdog.check(state);
  const int results = resume(state, coroutine, lua_gettop(state) - 1);
  lua_pushboolean(state, results >= 0 ? 1 : 0);
  const int returned = results >= 0 ? results + 1 : 2;
  lua_insert(state, -returned);
  return returned;
}

int close_coroutine(lua_State* state, lua_State* coroutine) {
  const Running running(state, coroutine);  // variables to be closed run code
  return lua_resetthread(coroutine);
}

int call_wrapped(lua_State* state) {
  lua_State* const coroutine = lua_tothread(state, lua_upvalueindex(1));
  session_of(state).watchdog.check(state);
  const int results = resume(state, coroutine, lua_gettop(state));
  if (results >= 0) return results;
  const int status = lua_status(coroutine);
  if (status != LUA_OK && status != LUA_YIELD) {
    close_coroutine(state, coroutine);
    session_of(state).watchdog.check(state);
    lua_xmove(coroutine, state, 1);  // the error, perhaps changed by closing
  }
  if (status != LUA_ERRMEM && lua_type(state, -1) == LUA_TSTRING) {
    luaL_where(state, 1);
    lua_insert(state, -2);
    lua_concat(state, 2);
  }
  return lua_error(state);
}

int coroutine_create(lua_State* state) {
  luaL_checktype(state, 1, LUA_TFUNCTION);
  lua_State* const coroutine = lua_newthread(state);
  lua_pushvalue(state, 1);
  lua_xmove(state, coroutine, 1);
  return 1;
}

int coroutine_wrap(lua_State* state) {
  coroutine_create(state);
  lua_pushcclosure(state, call_wrapped, 1);
  return 1;
}

int coroutine_close(lua_State* state) {
  lua_State* const coroutine = check_coroutine(state);
  const int status = lua_status(coroutine);
  lua_Debug frame;
  const bool suspended = status == LUA_YIELD || status > LUA_YIELD || lua_getstack(coroutine, 0, &frame) == 0;
  if (!suspended || coroutine == state) return luaL_error(state, "cannot close a running coroutine");
  const int closed = close_coroutine(state, coroutine);
  session_of(state).watchdog.check(state);
  lua_pushboolean(state, closed == LUA_OK ? 1 : 0);
  if (closed == LUA_OK) return 1;
  lua_xmove(coroutine, state, 1);
  return 2;
}

}  // namespace

void push_coroutine_library(lua_State* state) {
  lua_newtable(state);
  lua_pushcfunction(state, luaopen_coroutine);
  lua_call(state, 0, 1);
  for (const char* name : {"isyieldable", "running", "status", "yield"}) {
    lua_getfield(state, -1, name);
    lua_setfield(state, -3, name);
  }
  lua_pop(state, 1);
  const luaL_Reg ours[] = {{"close", coroutine_close},
                           {"create", coroutine_create},
                           {"resume", coroutine_resume},
                           {"wrap", coroutine_wrap},
                           {nullptr, nullptr}};
  luaL_setfuncs(state, ours, 0);
}

}  // namespace assay::sandbox::lua
