// The world of an evaluator, walked from _G and from the registry. Everything found must be named in
// lua_world.txt, so that a new Lua version or a slip in libraries.cpp cannot open a door unseen. Accept
// changes that are meant with
//   ASSAY_ACCEPT=1 assay_sandbox_tests '[world]'
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <lua.hpp>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "sandbox/runtime/lua/assay_module.hpp"
#include "sandbox/runtime/lua/json_module.hpp"
#include "sandbox/runtime/lua/libraries.hpp"
#include "sandbox/runtime/lua/session.hpp"

using namespace assay::sandbox::lua;

namespace {

class Walk {
 public:
  explicit Walk(lua_State* state) : state_(state) {}

  /// Visits the value on top, pops it. Names are those of the first way found; ways are tried in the order of
  /// names.
  void visit(const std::string& path) {
    const int type = lua_type(state_, -1);
    const void* const identity = type == LUA_TSTRING ? nullptr : lua_topointer(state_, -1);
    if (identity != nullptr && !seen_.insert(identity).second) {
      lua_pop(state_, 1);
      return;
    }
    if (lua_iscfunction(state_, -1) != 0)
      functions.insert(reinterpret_cast<void*>(lua_tocfunction(state_, -1)));
    lines.insert(path + " " + lua_typename(state_, type));
    luaL_checkstack(state_, 10, "walk");
    if (lua_getmetatable(state_, -1) != 0) visit(path + "<metatable>");
    if (type == LUA_TFUNCTION) visit_upvalues(path);
    if (type == LUA_TTABLE) visit_fields(path);
    lua_pop(state_, 1);
  }

  std::set<std::string> lines;
  std::set<void*> functions;

 private:
  void visit_upvalues(const std::string& path) {
    for (int i = 1; lua_getupvalue(state_, -1, i) != nullptr; i++)
      visit(path + "<upvalue " + std::to_string(i) + ">");
  }

  void visit_fields(const std::string& path) {
    std::map<std::string, int> names;
    lua_newtable(state_);
    const int keys = lua_gettop(state_);
    int count = 0;
    for (lua_pushnil(state_); lua_next(state_, keys - 1) != 0; lua_pop(state_, 1)) {
      lua_pushvalue(state_, -2);
      lua_rawseti(state_, keys, ++count);
      // Keys that are addresses differ from run to run; their values are still visited.
      const int type = lua_type(state_, -2);
      std::string name = type == LUA_TSTRING         ? lua_tostring(state_, -2)
                         : lua_isinteger(state_, -2) ? "[" + std::to_string(lua_tointeger(state_, -2)) + "]"
                                                     : std::string("<") + lua_typename(state_, type) + ">";
      while (names.contains(name)) name += "'";
      names[name] = count;
    }
    for (const auto& [name, index] : names) {
      lua_rawgeti(state_, keys, index);
      lua_rawget(state_, keys - 1);
      visit(path.empty() ? name : path + "." + name);
    }
    lua_settop(state_, keys - 1);
  }

  lua_State* state_;
  std::set<const void*> seen_;
};

struct State {
  State() : lua(luaL_newstate()) { attach(lua, &session); }
  ~State() { lua_close(lua); }
  Session session;
  lua_State* lua;
};

void open_world(lua_State* lua) {
  open_libraries(lua);
  push_json_module(lua);
  lua_setglobal(lua, "json");
  push_assay_module(lua, "{}");
  lua_setglobal(lua, "assay");
  lua_settop(lua, 0);
}

}  // namespace

TEST_CASE("Lua world: everything reachable from _G is on the list", "[sandbox][lua][world]") {
  State state;
  open_world(state.lua);
  Walk walk(state.lua);
  lua_pushglobaltable(state.lua);
  walk.visit("");
  lua_pushliteral(state.lua, "");
  REQUIRE(lua_getmetatable(state.lua, -1) == 1);
  walk.visit("<string metatable>");
  std::string found;
  for (const std::string& line : walk.lines) found += line + "\n";

  const std::string path = std::string(ASSAY_TEST_DIRECTORY) + "/lua_world.txt";
  if (std::getenv("ASSAY_ACCEPT") != nullptr) std::ofstream(path) << found;
  std::stringstream expected;
  expected << std::ifstream(path).rdbuf();
  REQUIRE(found == expected.str());
}

TEST_CASE("Lua world: not even the registry knows a forbidden function", "[sandbox][lua][world]") {
  State full;
  luaL_openlibs(full.lua);
  std::set<void*> forbidden;
  const auto forbid = [&](const char* library, std::vector<std::string> names = {}) {
    lua_getglobal(full.lua, library);
    REQUIRE(lua_type(full.lua, -1) == LUA_TTABLE);
    for (lua_pushnil(full.lua); lua_next(full.lua, -2) != 0; lua_pop(full.lua, 1)) {
      const std::string name = lua_type(full.lua, -2) == LUA_TSTRING ? lua_tostring(full.lua, -2) : "";
      if (!names.empty() && std::find(names.begin(), names.end(), name) == names.end()) continue;
      if (lua_tocfunction(full.lua, -1) != nullptr)
        forbidden.insert(reinterpret_cast<void*>(lua_tocfunction(full.lua, -1)));
    }
    lua_pop(full.lua, 1);
  };
  forbid("_G", {"load", "loadfile", "dofile", "require", "collectgarbage", "setmetatable", "tostring",
                "print", "warn"});
  forbid("string", {"dump"});
  forbid("coroutine", {"resume", "wrap", "close"});
  for (const char* library : {"io", "os", "debug", "package"}) forbid(library);
  REQUIRE(forbidden.size() > 40);

  State state;
  open_world(state.lua);
  Walk walk(state.lua);
  lua_pushvalue(state.lua, LUA_REGISTRYINDEX);
  walk.visit("");
  REQUIRE(walk.functions.size() > 80);
  for (void* const function : walk.functions) REQUIRE_FALSE(forbidden.contains(function));
}
