#include "sandbox/runtime/lua/assay_module.hpp"

#include <cmath>

#include "sandbox/runtime/lua/json_module.hpp"
#include "sandbox/runtime/lua/libraries.hpp"
#include "sandbox/runtime/lua/session.hpp"
#include "sandbox/runtime/lua/text.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::lua {

using namespace wire;

namespace {

constexpr size_t kEditLimit =
    10'000;  // code points: a tenth of a second at most, which no hook could interrupt

std::string_view check_text(lua_State* state, int index) {
  size_t size = 0;
  const char* const data = luaL_checklstring(state, index, &size);
  return {data, size};
}

void push_number(lua_State* state, double value) {
  // A whole number prints as "42", not "42.0".
  if (std::abs(value) < 1e15 && std::floor(value) == value)
    lua_pushinteger(state, static_cast<lua_Integer>(value));
  else
    lua_pushnumber(state, value);
}

int log_line(lua_State* state) {
  write_log_line(state);
  return 0;
}

int normalise_text(lua_State* state) {
  const std::string_view text = check_text(state, 1);
  luaL_Buffer buffer;
  char* const out = luaL_buffinitsize(state, &buffer, text.size() + 1);
  luaL_pushresultsize(&buffer, normalise(text, out));
  return 1;
}

int words(lua_State* state) {
  WordScanner scanner(check_text(state, 1));
  lua_newtable(state);
  lua_Integer count = 0;
  while (const auto word = scanner.next()) {
    lua_pushlstring(state, word->data(), word->size());
    lua_rawseti(state, -2, ++count);
  }
  return 1;
}

int numbers(lua_State* state) {
  NumberScanner scanner(check_text(state, 1));
  lua_newtable(state);
  lua_Integer count = 0;
  while (const auto value = scanner.next()) {
    push_number(state, *value);
    lua_rawseti(state, -2, ++count);
  }
  return 1;
}

int last_number(lua_State* state) {
  NumberScanner scanner(check_text(state, 1));
  std::optional<double> last;
  while (const auto value = scanner.next()) last = value;
  if (last)
    push_number(state, *last);
  else
    lua_pushnil(state);
  return 1;
}

int number(lua_State* state) {
  if (lua_type(state, 1) == LUA_TNUMBER) {
    lua_settop(state, 1);
    return 1;
  }
  if (const auto value = whole_number_text(check_text(state, 1)))
    push_number(state, *value);
  else
    lua_pushnil(state);
  return 1;
}

struct CodePoints {
  uint32_t* data;
  size_t size;
};

// Into a userdata that is left on the stack. A byte that is not UTF-8 counts as a character of its own.
CodePoints push_code_points(lua_State* state, int index) {
  const std::string_view text = check_text(state, index);
  if (text.size() > 4 * kEditLimit) luaL_argerror(state, index, "longer than 10000 characters");
  auto* const points =
      static_cast<uint32_t*>(lua_newuserdatauv(state, (text.size() + 1) * sizeof(uint32_t), 0));
  size_t count = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = std::max<size_t>(1, utf8_length(text.substr(i)));
    uint32_t point = 0;
    for (size_t j = 0; j < length; j++) point = point << 8 | static_cast<unsigned char>(text[i + j]);
    points[count++] = point;
    i += length;
  }
  if (count > kEditLimit) luaL_argerror(state, index, "longer than 10000 characters");
  return {points, count};
}

int edit_distance(lua_State* state) {
  const CodePoints a = push_code_points(state, 1);
  const CodePoints b = push_code_points(state, 2);
  auto* const row = static_cast<uint32_t*>(lua_newuserdatauv(state, (b.size + 1) * sizeof(uint32_t), 0));
  lua_pushinteger(state, static_cast<lua_Integer>(levenshtein(a.data, a.size, b.data, b.size, row)));
  return 1;
}

/// What run_candidate is given, as JSON by way of json.encode: only what can be said in JSON crosses.
int run_candidate(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  lua_settop(state, 1);
  const Call& call = session_of(state).run_candidate;
  if (!call)
    return luaL_error(
        state, "run_candidate is not granted: the evaluator's definition needs grants = [\"candidate\"]");
  for (const char* name : {"language", "source"}) {
    if (lua_getfield(state, 1, name) != LUA_TSTRING)
      return luaL_error(state, "run_candidate: %s must be a string", name);
    lua_pop(state, 1);
  }
  push_encoded(state, 1);
  const std::string answer = call("run_candidate", check_text(state, -1));
  push_json(state, answer, Nulls::drop_in_objects);
  return 1;
}

}  // namespace

void push_assay_module(lua_State* state, std::string_view params) {
  const luaL_Reg functions[] = {{"log", log_line},
                                {"normalise", normalise_text},
                                {"words", words},
                                {"numbers", numbers},
                                {"last_number", last_number},
                                {"number", number},
                                {"levenshtein", edit_distance},
                                {"run_candidate", run_candidate},
                                {nullptr, nullptr}};
  luaL_newlib(state, functions);
  push_json(state, params, Nulls::drop_in_objects);
  lua_setfield(state, -2, "params");
}

}  // namespace assay::sandbox::lua
