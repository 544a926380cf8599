#include "sandbox/runtime/lua/json_module.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>

#include "sandbox/runtime/lua/stack_buffer.hpp"
#include "sandbox/runtime/wire/json_reader.hpp"

namespace assay::sandbox::lua {

using namespace wire;

namespace {

constexpr size_t kTextLimit = 16U << 20;
const char kArrayMark = 0;  // its address is the registry key of the metatable that marks arrays

void* const kNull = nullptr;  // json.null is this light userdata

class Decoder {
 public:
  Decoder(lua_State* state, std::string_view text, Nulls nulls)
      : state_(state), reader_(text), nulls_(nulls) {}

  void decode() {
    push_value();
    if (!reader_.at_end()) reader_.fail("something follows the value");
    check();
  }

 private:
  void check() {
    if (reader_.failed())
      luaL_error(state_, "not JSON: %s at byte %d", reader_.error(), int(reader_.offset()) + 1);
  }

  void push_value() {
    luaL_checkstack(state_, 6, "JSON");
    const auto kind = reader_.peek();
    check();
    switch (*kind) {
      case JsonReader::Kind::null:
        reader_.read_null();
        lua_pushlightuserdata(state_, kNull);
        break;
      case JsonReader::Kind::boolean:
        lua_pushboolean(state_, reader_.read_boolean().value_or(false));
        break;
      case JsonReader::Kind::number:
        push_number();
        break;
      case JsonReader::Kind::string:
        if (const auto text = reader_.read_string()) lua_pushlstring(state_, text->data(), text->size());
        break;
      case JsonReader::Kind::array:
        push_array();
        break;
      case JsonReader::Kind::object:
        push_object();
        break;
    }
    check();
  }

  void push_number() {
    const auto number = reader_.read_number();
    check();
    if (number->is_integer) return lua_pushinteger(state_, number->integer);
    lua_pushnumber(state_, number->real);
  }

  void push_array() {
    bool first = true;
    lua_Integer index = 0;
    reader_.open('[');
    lua_createtable(state_, 0, 0);
    while (reader_.next(']', first)) {
      push_value();
      lua_rawseti(state_, -2, ++index);
    }
    check();
    if (index > 0) return;  // what an empty table was cannot be seen from its contents
    lua_rawgetp(state_, LUA_REGISTRYINDEX, &kArrayMark);
    lua_setmetatable(state_, -2);
  }

  void push_object() {
    bool first = true;
    reader_.open('{');
    lua_createtable(state_, 0, 0);
    while (reader_.next('}', first)) {
      const auto key = reader_.read_key();
      check();
      lua_pushlstring(state_, key->data(), key->size());
      lua_pushvalue(state_, -1);
      if (lua_rawget(state_, -3) != LUA_TNIL) reader_.fail("duplicate key");
      lua_pop(state_, 1);
      check();
      push_value();
      if (nulls_ == Nulls::drop_in_objects && lua_islightuserdata(state_, -1))
        lua_pop(state_, 2);
      else
        lua_rawset(state_, -3);
    }
    check();
  }

  lua_State* state_;
  JsonReader reader_;
  Nulls nulls_;
};

/// Raw access only: no metamethod runs while a value is written.
class Encoder {
 public:
  explicit Encoder(lua_State* state) : state_(state), out_(state) {}

  void encode(int index) {
    lua_pushvalue(state_, index);
    write_value(0);
    out_.push_result();
  }

 private:
  // Writes the value on top of the stack and pops it.
  void write_value(int depth) {
    luaL_checkstack(state_, 8, "JSON");
    switch (lua_type(state_, -1)) {
      case LUA_TNIL:
        out_.append("null");
        break;
      case LUA_TBOOLEAN:
        out_.append(lua_toboolean(state_, -1) != 0 ? "true" : "false");
        break;
      case LUA_TNUMBER:
        write_number();
        break;
      case LUA_TSTRING:
        write_string(-1);
        break;
      case LUA_TTABLE:
        write_table(depth);
        break;
      case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(state_, -1) == kNull) {
          out_.append("null");
          break;
        }
        [[fallthrough]];
      default:
        luaL_error(state_, "json.encode: a %s has no JSON form", luaL_typename(state_, -1));
    }
    lua_pop(state_, 1);
  }

  void write_number() {
    char buffer[40];
    std::to_chars_result end{};
    if (lua_isinteger(state_, -1) != 0) {
      end = std::to_chars(buffer, buffer + sizeof buffer, static_cast<int64_t>(lua_tointeger(state_, -1)));
    } else {
      const double value = lua_tonumber(state_, -1);
      if (!std::isfinite(value)) luaL_error(state_, "json.encode: %f has no JSON form", value);
      end = std::to_chars(buffer, buffer + sizeof buffer, value);
    }
    out_.append(std::string_view(buffer, end.ptr));
  }

  void write_string(int index) {
    size_t size = 0;
    const char* const data = lua_tolstring(state_, index, &size);
    const std::string_view text(data, size);
    if (!is_utf8(text)) luaL_error(state_, "json.encode: a string is not UTF-8");
    write_quoted(text);
  }

  void write_quoted(std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    out_.append('"');
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        out_.append('\\');
        out_.append(c);
      } else if (c == '\n') {
        out_.append("\\n");
      } else if (static_cast<unsigned char>(c) < 0x20) {
        const char escape[] = {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
        out_.append(std::string_view(escape, sizeof escape));
      } else {
        out_.append(c);
      }
    }
    out_.append('"');
  }

  void write_table(int depth) {
    if (depth == kJsonDepth) luaL_error(state_, "json.encode: nested deeper than %d", kJsonDepth);
    const void* const self = lua_topointer(state_, -1);
    if (std::find(path_, path_ + depth, self) != path_ + depth)
      luaL_error(state_, "json.encode: a table contains itself");
    path_[depth] = self;

    const lua_Unsigned length = lua_rawlen(state_, -1);
    lua_Unsigned in_list = 0, named = 0;
    for (lua_pushnil(state_); lua_next(state_, -2) != 0; lua_pop(state_, 1)) {
      if (lua_type(state_, -2) == LUA_TSTRING)
        named++;
      else if (lua_isinteger(state_, -2) != 0 && lua_Unsigned(lua_tointeger(state_, -2)) - 1 < length)
        in_list++;
      else
        luaL_error(state_, "json.encode: a table has a key that is neither a string nor part of a list");
    }
    if (named > 0 && in_list > 0) luaL_error(state_, "json.encode: a table is both a list and an object");
    if (in_list > 0 && in_list != length)
      luaL_error(state_, "json.encode: a list has holes (fill them with json.null)");
    if (in_list > 0 || (named == 0 && is_marked_array()))
      write_list(in_list, depth);
    else
      write_object(named, depth);
  }

  bool is_marked_array() {
    if (lua_getmetatable(state_, -1) == 0) return false;
    lua_rawgetp(state_, LUA_REGISTRYINDEX, &kArrayMark);
    const bool marked = lua_rawequal(state_, -1, -2) != 0;
    lua_pop(state_, 2);
    return marked;
  }

  void write_list(lua_Unsigned count, int depth) {
    out_.append('[');
    for (lua_Unsigned i = 1; i <= count; i++) {
      if (i > 1) out_.append(',');
      lua_rawgeti(state_, -1, static_cast<lua_Integer>(i));
      write_value(depth + 1);
    }
    out_.append(']');
  }

  // In the order of the keys, so that equal tables have equal text.
  void write_object(lua_Unsigned count, int depth) {
    auto* const keys =
        static_cast<std::string_view*>(lua_newuserdatauv(state_, count * sizeof(std::string_view), 0));
    size_t i = 0;
    for (lua_pushnil(state_); lua_next(state_, -3) != 0; lua_pop(state_, 1)) {
      size_t size = 0;
      const char* const data = lua_tolstring(state_, -2, &size);
      new (&keys[i++]) std::string_view(data, size);  // the table keeps the string
    }
    std::sort(keys, keys + count);
    out_.append('{');
    for (i = 0; i < count; i++) {
      if (i > 0) out_.append(',');
      lua_pushlstring(state_, keys[i].data(), keys[i].size());
      write_string(-1);
      out_.append(':');
      lua_rawget(state_, -3);
      write_value(depth + 1);
    }
    out_.append('}');
    lua_pop(state_, 1);
  }

  lua_State* state_;
  StackBuffer out_;
  const void* path_[kJsonDepth] = {};
};

int decode(lua_State* state) {
  size_t size = 0;
  const char* const data = luaL_checklstring(state, 1, &size);
  if (size > kTextLimit) return luaL_error(state, "json.decode: the text is longer than 16 MiB");
  push_json(state, {data, size}, Nulls::keep);
  return 1;
}

int encode(lua_State* state) {
  luaL_checkany(state, 1);
  Encoder(state).encode(1);
  return 1;
}

int mark_array(lua_State* state) {
  luaL_checktype(state, 1, LUA_TTABLE);
  lua_settop(state, 1);
  lua_rawgetp(state, LUA_REGISTRYINDEX, &kArrayMark);
  lua_setmetatable(state, 1);
  return 1;
}

}  // namespace

void push_json(lua_State* state, std::string_view text, Nulls nulls) {
  Decoder(state, text, nulls).decode();
}

void push_encoded(lua_State* state, int index) {
  Encoder(state).encode(index);
}

void push_json_module(lua_State* state) {
  lua_createtable(state, 0, 1);
  lua_pushboolean(state, 0);
  lua_setfield(state, -2, "__metatable");
  lua_rawsetp(state, LUA_REGISTRYINDEX, &kArrayMark);

  const luaL_Reg functions[] = {
      {"decode", decode}, {"encode", encode}, {"array", mark_array}, {nullptr, nullptr}};
  luaL_newlib(state, functions);
  lua_pushlightuserdata(state, kNull);
  lua_setfield(state, -2, "null");
}

}  // namespace assay::sandbox::lua
