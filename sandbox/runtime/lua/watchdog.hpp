// Ends an evaluation that runs too long, from inside; the pool's kill is the backstop.
//
// Theory of operation. A profiling timer interrupts the host after every few milliseconds of processor time.
// The signal handler compares the clocks with the deadlines of the running evaluation; while there is time
// left it does nothing, so an evaluation pays nothing. After a deadline it arms a hook on the coroutine that
// runs, which raises an error at the next instruction and stays armed: pcall can catch the error but not
// outrun it, and every coroutine entered or returned to is armed too (sandbox/runtime/lua/coroutine.cpp). C
// code never meets the hook (string.find with a hostile pattern): when the deadline is long past, the handler
// ends the whole process with an exit code that says why.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <lua.hpp>
#include <optional>

#include "core/error.hpp"

namespace assay::sandbox::lua {

class Watchdog {
 public:
  Watchdog() = default;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// Starts the timer of this process; false with errno when the kernel refuses.
  static bool start_ticking();

  /// An evaluation starts on `state`. One Watchdog at a time may be between begin() and end().
  void begin(lua_State* state, std::chrono::nanoseconds wall, std::chrono::nanoseconds cpu);
  void end();

  /// The wall deadline stands still from stand_still() to go_on().
  void stand_still();
  void go_on();

  /// Says that `state` runs from now on, and gives the one that ran before. Arms it when the deadline has
  /// passed.
  lua_State* enter(lua_State* state);

  /// timeout or cpu_limit once a deadline has passed.
  std::optional<ErrorKind> expired() const;
  /// Raises a Lua error when it has.
  void check(lua_State* state) const;

  /// Of the evaluation that runs or ended last.
  std::chrono::nanoseconds wall_used() const;
  std::chrono::nanoseconds cpu_used() const;

 private:
  static void on_signal(int);
  void tick();

  std::atomic<lua_State*> running_ = nullptr;  // atomics: shared with the signal handler, on the same thread
  std::atomic<int> expired_ = 0;               // 0, or an ErrorKind + 1
  std::chrono::nanoseconds wall_start_{0}, cpu_start_{0};
  std::chrono::nanoseconds wall_deadline_{0}, cpu_deadline_{0};
  std::chrono::nanoseconds wall_left_{0};  // while it stands still
};

}  // namespace assay::sandbox::lua
