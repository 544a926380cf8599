// JSON and Lua values: the `json` module of evaluators, and the way items come in.
#pragma once

#include <lua.hpp>
#include <string_view>

namespace assay::sandbox::lua {

enum class Nulls {
  keep,            ///< null is json.null everywhere
  drop_in_objects  ///< a member that is null is left out, so that `if item.x then` means what it says
};

/// Pushes the value that `text` is; raises a Lua error that says what is wrong with it and where.
void push_json(lua_State* state, std::string_view text, Nulls nulls);

/// Pushes the JSON text of the value at `index`; raises a Lua error for what has none.
void push_encoded(lua_State* state, int index);

/// Pushes the table `json`.
void push_json_module(lua_State* state);

}  // namespace assay::sandbox::lua
