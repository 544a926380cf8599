// What the C functions of a Lua state share, outside of its memory.
#pragma once

#include <lua.hpp>

#include "sandbox/runtime/lua/log_buffer.hpp"
#include "sandbox/runtime/lua/watchdog.hpp"

namespace assay::sandbox::lua {

struct Session {
  Watchdog watchdog;
  LogBuffer log;
};

/// Every coroutine of a state has the pointer: Lua copies it from the main one.
inline void attach(lua_State* state, Session* session) {
  *static_cast<Session**>(lua_getextraspace(state)) = session;
}
inline Session& session_of(lua_State* state) {
  return **static_cast<Session**>(lua_getextraspace(state));
}

}  // namespace assay::sandbox::lua
