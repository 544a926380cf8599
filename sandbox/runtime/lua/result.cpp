// What run_evaluation returned. Raw access only: a __index or __pairs of the evaluator must not run here,
// where an error or a long loop would be taken for ours.
#include <algorithm>
#include <cmath>

#include "sandbox/runtime/lua/evaluator.hpp"

namespace assay::sandbox::lua {
namespace {

constexpr size_t kMetricLimit = 1'000;
constexpr size_t kQuoted = 60;  // of a wrong value, in the message
constexpr const char* kWanted = "return a number, true or false, or a table with a numeric score";

std::string_view text_at(lua_State* state, int index) {
  size_t size = 0;
  const char* const data = lua_tolstring(state, index, &size);
  return {data, size};
}

/// "the string "yes"", "nil", "a table", for messages.
std::string described(lua_State* state, int index) {
  switch (lua_type(state, index)) {
    case LUA_TNIL:
      return "nil";
    case LUA_TBOOLEAN:
      return lua_toboolean(state, index) != 0 ? "true" : "false";
    case LUA_TNUMBER: {
      lua_pushvalue(state, index);  // lua_tolstring changes a number in place
      std::string text(text_at(state, -1));
      lua_pop(state, 1);
      return text;
    }
    case LUA_TSTRING: {
      const std::string_view text = text_at(state, index);
      return "the string \"" + std::string(text.substr(0, kQuoted)) + (text.size() > kQuoted ? "…\"" : "\"");
    }
    default:
      return std::string("a ") + luaL_typename(state, index);
  }
}

class ResultReader {
 public:
  ResultReader(lua_State* state, size_t limit_bytes, Answer& answer)
      : state_(state), limit_bytes_(limit_bytes), answer_(answer) {}

  void read(int index) {
    if (lua_type(state_, index) != LUA_TTABLE) {
      lua_pushvalue(state_, index);
      read_score("run_evaluation returned ");
      lua_pop(state_, 1);
      return;
    }
    table_ = lua_absindex(state_, index);
    push_field("score");
    read_score("score is ");
    push_field("passed");
    read_passed();
    push_field("reason");
    read_reason();
    push_field("metrics");
    read_metrics();
    lua_settop(state_, table_);
  }

 private:
  void push_field(const char* name) {
    lua_settop(state_, table_);
    lua_pushstring(state_, name);
    lua_rawget(state_, table_);
  }

  void fail(ErrorKind kind, std::string message) {
    if (!answer_.error) answer_.error = Error{kind, std::move(message)};
  }

  // true and false are the scores 1 and 0, and say whether the item passed.
  void read_score(const char* what) {
    if (lua_type(state_, -1) == LUA_TBOOLEAN) {
      answer_.passed = lua_toboolean(state_, -1) != 0;
      answer_.score = *answer_.passed ? 1 : 0;
    } else if (lua_type(state_, -1) == LUA_TNUMBER) {
      answer_.score = lua_tonumber(state_, -1);
      if (!std::isfinite(answer_.score))
        fail(ErrorKind::bad_result, what + described(state_, -1) + "; a score is a finite number");
    } else {
      fail(ErrorKind::bad_result, what + described(state_, -1) + "; " + kWanted);
    }
  }

  void read_passed() {
    if (lua_type(state_, -1) == LUA_TBOOLEAN)
      answer_.passed = lua_toboolean(state_, -1) != 0;
    else if (lua_type(state_, -1) != LUA_TNIL)
      fail(ErrorKind::bad_result, "passed is " + described(state_, -1) + "; it must be true, false or nil");
  }

  void read_reason() {
    if (lua_type(state_, -1) == LUA_TNIL) return;
    if (lua_type(state_, -1) != LUA_TSTRING && lua_type(state_, -1) != LUA_TNUMBER)
      return fail(ErrorKind::bad_result, "reason is " + described(state_, -1) + "; it must be a string");
    const std::string_view text = text_at(state_, -1);
    if (take(text.size())) answer_.reason = text;
  }

  void read_metrics() {
    if (lua_type(state_, -1) == LUA_TNIL) return;
    if (lua_type(state_, -1) != LUA_TTABLE)
      return fail(ErrorKind::bad_result,
                  "metrics is " + described(state_, -1) + "; it must be a table of numbers");
    for (lua_pushnil(state_); !answer_.error && lua_next(state_, -2) != 0; lua_pop(state_, 1)) read_metric();
    std::sort(answer_.metrics.begin(), answer_.metrics.end());
  }

  // Its name is below its value on the stack.
  void read_metric() {
    if (lua_type(state_, -2) != LUA_TSTRING)
      return fail(ErrorKind::bad_result,
                  "metrics has the key " + described(state_, -2) + "; names are strings");
    const std::string_view name = text_at(state_, -2);
    const double value = lua_tonumber(state_, -1);
    if (lua_type(state_, -1) != LUA_TNUMBER || !std::isfinite(value))
      return fail(ErrorKind::bad_result, "metrics." + std::string(name.substr(0, kQuoted)) + " is " +
                                             described(state_, -1) + "; it must be a finite number");
    if (answer_.metrics.size() == kMetricLimit)
      return fail(ErrorKind::output_limit, "more than 1000 metrics");
    if (take(name.size() + 24)) answer_.metrics.emplace_back(name, value);
  }

  bool take(size_t bytes) {
    taken_ += bytes;
    if (taken_ > limit_bytes_)
      fail(ErrorKind::output_limit, "the result is longer than " + std::to_string(limit_bytes_) + " bytes");
    return taken_ <= limit_bytes_;
  }

  lua_State* state_;
  size_t limit_bytes_;
  Answer& answer_;
  int table_ = 0;
  size_t taken_ = 0;
};

}  // namespace

void read_result(lua_State* state, int index, size_t limit_bytes, Answer& answer) {
  luaL_checkstack(state, 8, "result");
  ResultReader(state, limit_bytes, answer).read(index);
}

}  // namespace assay::sandbox::lua
