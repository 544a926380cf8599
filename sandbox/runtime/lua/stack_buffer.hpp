// A growing string in the memory of a Lua state, so that the state's limit holds for it too.
#pragma once

#include <cstring>
#include <lua.hpp>
#include <string_view>

namespace assay::sandbox::lua {

/// Lives in one stack slot, taken where it is made; other values may be pushed above it meanwhile
/// (luaL_Buffer forbids that). Raises a Lua error when the memory is full.
class StackBuffer {
 public:
  explicit StackBuffer(lua_State* state) : state_(state) {
    lua_pushnil(state);
    slot_ = lua_gettop(state);
  }

  void append(char c) { *grow(1) = c; }
  void append(std::string_view text) {
    if (!text.empty()) memcpy(grow(text.size()), text.data(), text.size());
  }
  std::string_view view() const { return {data_, size_}; }
  void shrink(size_t size) { size_ = size; }
  /// The text becomes the Lua string on top of the stack; nothing above the slot is kept.
  void push_result() {
    lua_pushlstring(state_, data_, size_);
    lua_replace(state_, slot_);
    lua_settop(state_, slot_);
  }

 private:
  char* grow(size_t by) {
    if (capacity_ - size_ < by) {
      const size_t wanted = capacity_ + capacity_ / 2 + by + 64;
      char* const bigger = static_cast<char*>(lua_newuserdatauv(state_, wanted, 0));
      if (size_ > 0) memcpy(bigger, data_, size_);
      lua_replace(state_, slot_);
      data_ = bigger;
      capacity_ = wanted;
    }
    size_ += by;
    return data_ + size_ - by;
  }

  lua_State* state_;
  int slot_;
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace assay::sandbox::lua
