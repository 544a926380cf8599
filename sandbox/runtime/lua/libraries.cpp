#include "sandbox/runtime/lua/libraries.hpp"

#include <initializer_list>
#include <string_view>

#include "sandbox/runtime/lua/session.hpp"

namespace assay::sandbox::lua {
namespace {

// Addresses are registry keys.
const char kObjectIds = 0;
const char kRandomSeed = 0;

// ---- replaced base functions

int to_text(lua_State* state) {
  luaL_checkany(state, 1);
  push_text_of(state, 1);
  return 1;
}

int print(lua_State* state) {
  write_log_line(state);
  return 0;
}

// A finaliser would run at arbitrary points, with half-dead objects, and after the deadline.
int set_metatable(lua_State* state) {
  const int type = lua_type(state, 2);
  luaL_checktype(state, 1, LUA_TTABLE);
  luaL_argexpected(state, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  if (luaL_getmetafield(state, 1, "__metatable") != LUA_TNIL)
    return luaL_error(state, "cannot change a protected metatable");
  if (type == LUA_TTABLE) {
    lua_pushliteral(state, "__gc");
    if (lua_rawget(state, 2) != LUA_TNIL) return luaL_error(state, "__gc is not available to evaluators");
  }
  lua_settop(state, 2);
  lua_setmetatable(state, 1);
  return 1;
}

int collect_garbage(lua_State* state) {
  const std::string_view what = luaL_optstring(state, 1, "collect");
  if (what != "count") return luaL_error(state, "collectgarbage: only \"count\" is available to evaluators");
  lua_pushnumber(state, lua_gc(state, LUA_GCCOUNT) + lua_gc(state, LUA_GCCOUNTB) / 1024.0);
  return 1;
}

// ---- replaced string functions; the original is the first upvalue

int call_original(lua_State* state) {
  lua_pushvalue(state, lua_upvalueindex(1));
  lua_insert(state, 1);
  lua_call(state, lua_gettop(state) - 1, LUA_MULTRET);
  return lua_gettop(state);
}

// Repeating nothing takes as many steps as it is told and no memory, so no limit would end it.
int repeat(lua_State* state) {
  size_t size = 0, separator_size = 0;
  luaL_checklstring(state, 1, &size);
  luaL_optlstring(state, 3, "", &separator_size);
  luaL_checkinteger(state, 2);
  if (size + separator_size > 0) return call_original(state);
  lua_pushliteral(state, "");
  return 1;
}

bool has_pointer_conversion(std::string_view format) {
  for (size_t at = format.find('%'); at != std::string_view::npos; at = format.find('%', at + 1)) {
    at = format.find_first_not_of("-+ #.0123456789", at + 1);
    if (at == std::string_view::npos) return false;
    if (format[at] == 'p') return true;
  }
  return false;
}

// string.format prints addresses with %p, and with %s of a table.
int format(lua_State* state) {
  size_t size = 0;
  const char* const text = luaL_checklstring(state, 1, &size);
  if (has_pointer_conversion({text, size})) return luaL_error(state, "invalid conversion '%%p' to 'format'");
  for (int i = 2, count = lua_gettop(state); i <= count; i++) {
    const int type = lua_type(state, i);
    if (type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER || type == LUA_TSTRING) continue;
    push_text_of(state, i);
    lua_replace(state, i);
  }
  return call_original(state);
}

// The original without arguments takes a seed from addresses and the time, and always returns it.
int random_seed(lua_State* state) {
  luaL_checknumber(state, 1);
  call_original(state);
  return 0;
}

// ---- the allow-list

using Names = std::initializer_list<const char*>;

/// Pushes a new table with the named fields of the table on top, and removes that.
void keep_fields(lua_State* state, Names names) {
  lua_newtable(state);
  for (const char* name : names) {
    if (lua_getfield(state, -2, name) == LUA_TNIL) luaL_error(state, "Lua has no %s", name);
    lua_setfield(state, -2, name);
  }
  lua_remove(state, -2);
}

/// Replaces a function of the table on top by one that knows the original.
void wrap_field(lua_State* state, const char* name, lua_CFunction wrapper) {
  lua_getfield(state, -1, name);
  lua_pushcclosure(state, wrapper, 1);
  lua_setfield(state, -2, name);
}

void push_library(lua_State* state, lua_CFunction open, Names names) {
  lua_pushcfunction(state, open);
  lua_call(state, 0, 1);
  keep_fields(state, names);
}

void push_base_library(lua_State* state) {
  push_library(state, luaopen_base,
               {"_VERSION", "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal",
                "rawget", "rawlen", "rawset", "select", "tonumber", "type", "xpcall"});
  const luaL_Reg ours[] = {{"collectgarbage", collect_garbage},
                           {"print", print},
                           {"setmetatable", set_metatable},
                           {"tostring", to_text},
                           {nullptr, nullptr}};
  luaL_setfuncs(state, ours, 0);
}

void push_string_library(lua_State* state) {
  push_library(state, luaopen_string,
               {"byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack",
                "packsize", "rep", "reverse", "sub", "unpack", "upper"});
  wrap_field(state, "rep", repeat);
  wrap_field(state, "format", format);
  // ("").x looks names up in our table; nothing can change what strings do for others.
  lua_pushliteral(state, "");
  lua_getmetatable(state, -1);
  lua_pushvalue(state, -3);
  lua_setfield(state, -2, "__index");
  lua_pushboolean(state, 0);
  lua_setfield(state, -2, "__metatable");
  lua_pop(state, 2);
}

void push_math_library(lua_State* state) {
  push_library(state, luaopen_math,
               {"abs",  "acos",   "asin",       "atan", "ceil",       "cos", "deg",        "exp",  "floor",
                "fmod", "huge",   "log",        "max",  "maxinteger", "min", "mininteger", "modf", "pi",
                "rad",  "random", "randomseed", "sin",  "sqrt",       "tan", "tointeger",  "type", "ult"});
  lua_getfield(state, -1, "randomseed");
  lua_rawsetp(state, LUA_REGISTRYINDEX, &kRandomSeed);
  wrap_field(state, "randomseed", random_seed);
}

}  // namespace

void open_libraries(lua_State* state) {
  lua_newtable(state);  // weak keys: an id keeps nothing alive
  lua_createtable(state, 0, 1);
  lua_pushliteral(state, "k");
  lua_setfield(state, -2, "__mode");
  lua_setmetatable(state, -2);
  lua_rawsetp(state, LUA_REGISTRYINDEX, &kObjectIds);

  push_base_library(state);
  lua_newtable(state);
  lua_pushvalue(state, -2);
  lua_setfield(state, -2, "_G");
  const auto add = [&](const char* name) {
    lua_pushvalue(state, -1);
    lua_setfield(state, -3, name);  // for messages: tracebacks look up the names of functions here
    lua_setfield(state, -3, name);
  };
  push_string_library(state);
  add("string");
  push_math_library(state);
  add("math");
  push_library(state, luaopen_table, {"concat", "insert", "move", "pack", "remove", "sort", "unpack"});
  add("table");
  push_library(state, luaopen_utf8, {"char", "charpattern", "codepoint", "codes", "len", "offset"});
  add("utf8");
  push_coroutine_library(state);
  add("coroutine");
  push_os_library(state);
  add("os");
  lua_setfield(state, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(state, -1);
  lua_setfield(state, -2, "_G");
  // luaopen_base filled the globals that it found; nothing keeps those from here on.
  lua_rawseti(state, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

void seed_random(lua_State* state, lua_Integer seed) {
  lua_rawgetp(state, LUA_REGISTRYINDEX, &kRandomSeed);
  lua_pushinteger(state, seed);
  lua_call(state, 1, 0);
}

void push_text_of(lua_State* state, int index) {
  index = lua_absindex(state, index);
  const int type = lua_type(state, index);
  const bool has_identity =
      type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TTHREAD || type == LUA_TUSERDATA;
  if (luaL_getmetafield(state, index, "__tostring") != LUA_TNIL) {
    lua_pop(state, 1);
    luaL_tolstring(state, index, nullptr);
    return;
  }
  if (type == LUA_TLIGHTUSERDATA) {  // json.null is the only one
    lua_pushliteral(state, "null");
    return;
  }
  if (!has_identity) {
    luaL_tolstring(state, index, nullptr);
    return;
  }
  lua_rawgetp(state, LUA_REGISTRYINDEX, &kObjectIds);
  lua_pushvalue(state, index);
  if (lua_rawget(state, -2) == LUA_TNIL) {
    lua_rawgeti(state, -2, 0);  // how many there are
    const lua_Integer id = lua_tointeger(state, -1) + 1;
    lua_pop(state, 2);
    lua_pushinteger(state, id);
    lua_rawseti(state, -2, 0);
    lua_pushvalue(state, index);
    lua_pushinteger(state, id);
    lua_rawset(state, -3);
    lua_pushinteger(state, id);
  }
  lua_pushfstring(state, "%s: #%I", lua_typename(state, type), lua_tointeger(state, -1));
  lua_replace(state, -3);
  lua_pop(state, 1);
}

void write_log_line(lua_State* state) {
  LogBuffer& log = session_of(state).log;
  for (int i = 1, count = lua_gettop(state); i <= count; i++) {
    push_text_of(state, i);
    size_t size = 0;
    const char* const data = lua_tolstring(state, -1, &size);
    if (i > 1) log.append("\t");
    log.append({data, size});
    lua_pop(state, 1);
  }
  log.append("\n");
}

}  // namespace assay::sandbox::lua
