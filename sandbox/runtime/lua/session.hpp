// What the C functions of a Lua state share, outside of its memory.
#pragma once

#include <cstring>
#include <functional>
#include <lua.hpp>
#include <string>
#include <string_view>

#include "sandbox/runtime/lua/watchdog.hpp"
#include "sandbox/runtime/wire/log_buffer.hpp"

namespace assay::sandbox::lua {

using wire::LogBuffer;

/// Has the pool do something for the evaluator: `params` is a JSON object, the answer JSON too. Does not
/// return when the pool has gone.
using Call = std::function<std::string(std::string_view method, std::string_view params)>;

struct Session {
  Watchdog watchdog;
  LogBuffer log;
  Call run_candidate;  ///< empty: not granted
};

/// What a state's extra space holds. Every coroutine of a state has it: Lua copies it from the main one.
struct ExtraSpace {
  Session* session;
};
static_assert(sizeof(ExtraSpace) <= LUA_EXTRASPACE);

inline void attach(lua_State* state, Session* session) {
  const ExtraSpace space{session};
  std::memcpy(lua_getextraspace(state), &space, sizeof space);
}
inline Session& session_of(lua_State* state) {
  ExtraSpace space;
  std::memcpy(&space, lua_getextraspace(state), sizeof space);
  return *space.session;
}

}  // namespace assay::sandbox::lua
