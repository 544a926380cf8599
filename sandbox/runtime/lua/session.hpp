// What the C functions of a Lua state share, outside of its memory.
#pragma once

#include <cstring>
#include <functional>
#include <lua.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/error.hpp"
#include "sandbox/runtime/lua/watchdog.hpp"
#include "sandbox/runtime/wire/frames.hpp"
#include "sandbox/runtime/wire/log_buffer.hpp"

namespace assay::sandbox::lua {

using wire::LogBuffer;

/// Has the worker do something for the evaluator (wire::kComplete and the like): `request` is a JSON object,
/// the result JSON too. Does not return when the worker has gone.
using Call = std::function<Result<std::string>(std::string_view method, std::string_view request)>;

struct Session {
  Watchdog watchdog;
  LogBuffer log;
  const wire::EvaluatorSource* source = nullptr;
  Call call;
  bool is_at_item = false;  ///< no longer at the top level
  // Of the item.
  std::set<ErrorKind> failures;        ///< what calls have failed with
  std::optional<ErrorKind> ends_with;  ///< that of these which nobody caught
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
