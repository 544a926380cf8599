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

const char* const kCallError = "assay.ModelError";  // the name of its metatable
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

/// error{kind = …, message = …}, which prints as the message.
int raise_call_error(lua_State* state, const Error& error) {
  const std::string_view kind = to_string(error.kind);
  lua_createtable(state, 0, 2);
  lua_pushlstring(state, kind.data(), kind.size());
  lua_setfield(state, -2, "kind");
  lua_pushlstring(state, error.message.data(), error.message.size());
  lua_setfield(state, -2, "message");
  luaL_setmetatable(state, kCallError);
  return lua_error(state);
}

int call_error_text(lua_State* state) {
  lua_getfield(state, 1, "message");
  return 1;
}

void check_granted(lua_State* state, const char* function, const char* grant) {
  if (!session_of(state).source->is_granted(grant))
    luaL_error(state, "assay.%s was not granted: add grants = [\"%s\"] to the evaluator's definition",
               function, grant);
  if (!session_of(state).is_at_item)
    luaL_error(state, "assay.%s can be called by run_evaluation, not while the file is loaded", function);
}

/// Has the worker do it; the table at `index` as JSON by way of json.encode: only what can be said in JSON
/// crosses.
int call_worker(lua_State* state, int index, std::string_view method) {
  Session& session = session_of(state);
  push_encoded(state, index);
  const std::string_view request = check_text(state, -1);
  if (request.size() > kCallLimit) luaL_error(state, "what the worker is asked is larger than 4 MiB");
  const bool waits_for_model = method == kComplete;
  if (waits_for_model) session.watchdog.stand_still();
  const Result<std::string> result = session.call(method, request);
  if (waits_for_model) session.watchdog.go_on();
  if (!result) {
    session.failures.insert(result.error().kind);
    return raise_call_error(state, result.error());
  }
  push_json(state, *result, Nulls::drop_in_objects);
  return 1;
}

int run_candidate(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  lua_settop(state, 1);
  check_granted(state, "run_candidate", "candidate");
  for (const char* name : {"language", "source"}) {
    if (lua_getfield(state, 1, name) != LUA_TSTRING)
      return luaL_error(state, "run_candidate: %s must be a string", name);
    lua_pop(state, 1);
  }
  return call_worker(state, 1, kRunCandidate);
}

/// Makes request.prompt, of the table on top of the stack, the one message of a user.
void prompt_to_messages(lua_State* state) {
  const int request = lua_gettop(state);
  const bool has_prompt = lua_getfield(state, request, "prompt") != LUA_TNIL;
  const bool has_messages = lua_getfield(state, request, "messages") != LUA_TNIL;
  if (has_prompt == has_messages) luaL_error(state, "llm: give either prompt or messages");
  lua_pop(state, 1);
  if (has_prompt) {
    lua_createtable(state, 1, 0);
    lua_createtable(state, 0, 2);
    lua_pushliteral(state, "user");
    lua_setfield(state, -2, "role");
    lua_pushvalue(state, -3);
    lua_setfield(state, -2, "content");
    lua_rawseti(state, -2, 1);
    lua_setfield(state, request, "messages");
    lua_pushnil(state);
    lua_setfield(state, request, "prompt");
  }
  lua_settop(state, request);
}

int llm(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  lua_settop(state, 1);
  check_granted(state, "llm", "llm");
  lua_newtable(state);  // a copy: theirs stays as it is
  lua_pushnil(state);
  while (lua_next(state, 1) != 0) {
    lua_pushvalue(state, -2);
    lua_insert(state, -2);
    lua_rawset(state, 2);
  }
  if (lua_getfield(state, 2, "model") != LUA_TSTRING) return luaL_error(state, "llm: model must be a string");
  lua_settop(state, 2);
  prompt_to_messages(state);
  return call_worker(state, 2, kComplete);
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
                                {"llm", llm},
                                {"run_candidate", run_candidate},
                                {nullptr, nullptr}};
  luaL_newmetatable(state, kCallError);
  lua_pushcfunction(state, call_error_text);
  lua_setfield(state, -2, "__tostring");
  lua_pop(state, 1);
  luaL_newlib(state, functions);
  push_json(state, params, Nulls::drop_in_objects);
  lua_setfield(state, -2, "params");
}

}  // namespace assay::sandbox::lua
