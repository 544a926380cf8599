// The os library: the clock, in UTC. Lua's own would read the time zone from a file, and strftime crashes or
// worse on conversions that it does not know.
#include <chrono>
#include <ctime>
#include <string_view>

#include "sandbox/runtime/lua/libraries.hpp"
#include "sandbox/runtime/lua/session.hpp"
#include "sandbox/runtime/lua/stack_buffer.hpp"

namespace assay::sandbox::lua {
namespace {

constexpr std::string_view kConversions = "aAbBcdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%";
constexpr lua_Integer kLastTime = 253'402'300'799;   // 9999-12-31T23:59:59Z
constexpr lua_Integer kFirstTime = -62'167'219'200;  // 0000-01-01T00:00:00Z

lua_Integer now() {
  return static_cast<lua_Integer>(std::time(nullptr));
}

lua_Integer field(lua_State* state, const char* name, lua_Integer fallback, bool required = false) {
  lua_pushstring(state, name);
  const int type = lua_rawget(state, 1);
  int is_integer = 0;
  const lua_Integer value = lua_tointegerx(state, -1, &is_integer);
  lua_pop(state, 1);
  if (type == LUA_TNIL) {
    if (required) luaL_error(state, "field '%s' missing in date table", name);
    return fallback;
  }
  if (is_integer == 0 || value < -1'000'000 || value > 1'000'000)
    luaL_error(state, "field '%s' is not a whole number in range", name);
  return value;
}

int os_time(lua_State* state) {
  if (lua_isnoneornil(state, 1)) {
    lua_pushinteger(state, now());
    return 1;
  }
  luaL_checktype(state, 1, LUA_TTABLE);
  std::tm parts{};
  parts.tm_year = static_cast<int>(field(state, "year", 0, true)) - 1900;
  parts.tm_mon = static_cast<int>(field(state, "month", 0, true)) - 1;
  parts.tm_mday = static_cast<int>(field(state, "day", 0, true));
  parts.tm_hour = static_cast<int>(field(state, "hour", 12));
  parts.tm_min = static_cast<int>(field(state, "min", 0));
  parts.tm_sec = static_cast<int>(field(state, "sec", 0));
  lua_pushinteger(state, static_cast<lua_Integer>(timegm(&parts)));
  return 1;
}

int os_clock(lua_State* state) {
  lua_pushnumber(state, std::chrono::duration<double>(session_of(state).watchdog.cpu_used()).count());
  return 1;
}

int os_difftime(lua_State* state) {
  lua_pushnumber(state, luaL_checknumber(state, 1) - luaL_checknumber(state, 2));
  return 1;
}

void push_parts(lua_State* state, const std::tm& parts) {
  const std::pair<const char*, int> fields[] = {{"year", parts.tm_year + 1900}, {"month", parts.tm_mon + 1},
                                                {"day", parts.tm_mday},         {"hour", parts.tm_hour},
                                                {"min", parts.tm_min},          {"sec", parts.tm_sec},
                                                {"yday", parts.tm_yday + 1},    {"wday", parts.tm_wday + 1}};
  lua_createtable(state, 0, 9);
  for (const auto& [name, value] : fields) {
    lua_pushinteger(state, value);
    lua_setfield(state, -2, name);
  }
  lua_pushboolean(state, 0);
  lua_setfield(state, -2, "isdst");
}

int os_date(lua_State* state) {
  std::string_view format = luaL_optstring(state, 1, "%c");
  const lua_Integer when = luaL_opt(state, luaL_checkinteger, 2, now());
  luaL_argcheck(state, when >= kFirstTime && when <= kLastTime, 2, "time out of range");
  const auto seconds = static_cast<time_t>(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  if (format.starts_with('!')) format.remove_prefix(1);  // always UTC
  if (format == "*t") {
    push_parts(state, parts);
    return 1;
  }
  StackBuffer out(state);
  for (size_t i = 0; i < format.size(); i++) {
    if (format[i] != '%') {
      out.append(format[i]);
      continue;
    }
    i++;
    if (i == format.size() || kConversions.find(format[i]) == std::string_view::npos)
      return luaL_argerror(state, 1, "invalid conversion specifier");
    const char conversion[] = {'%', format[i], '\0'};
    char text[64];
    out.append(std::string_view(text, std::strftime(text, sizeof text, conversion, &parts)));
  }
  out.push_result();
  return 1;
}

}  // namespace

void push_os_library(lua_State* state) {
  const luaL_Reg functions[] = {{"time", os_time},
                                {"clock", os_clock},
                                {"date", os_date},
                                {"difftime", os_difftime},
                                {nullptr, nullptr}};
  luaL_newlib(state, functions);
}

}  // namespace assay::sandbox::lua
