// The `assay` module of evaluators: log, params and helpers for comparing answers (sdk/lua/assay.lua).
#pragma once

#include <lua.hpp>
#include <string_view>

namespace assay::sandbox::lua {

/// Pushes the table `assay`; `params` is a JSON object and becomes assay.params.
void push_assay_module(lua_State* state, std::string_view params);

}  // namespace assay::sandbox::lua
