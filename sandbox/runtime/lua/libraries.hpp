// The world an evaluator sees: an allow-list of Lua's libraries, some of it replaced.
//
// What is not named in libraries.cpp does not exist for an evaluator: no load (bytecode corrupts memory), no
// debug, io, package or os beyond the clock. tests/unit/sandbox/lua_world_test.cpp walks everything reachable
// and compares it with a golden list.
#pragma once

#include <lua.hpp>

namespace assay::sandbox::lua {

/// Fills the globals of a new state, without `json` and `assay`.
void open_libraries(lua_State* state);

/// Gives math.random its seed: the same for the same item, wherever and whenever it runs.
void seed_random(lua_State* state, lua_Integer seed);

/// tostring without addresses, which would tell where memory lies: "table: #1". Pushes the text.
void push_text_of(lua_State* state, int index);

/// print: the arguments as text with tabs between, one line of the log.
void write_log_line(lua_State* state);

// One file each, for libraries of ours.
void push_coroutine_library(lua_State* state);
void push_os_library(lua_State* state);

}  // namespace assay::sandbox::lua
