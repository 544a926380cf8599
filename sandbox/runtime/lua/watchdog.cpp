#include "sandbox/runtime/lua/watchdog.hpp"

#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "sandbox/runtime/wire/exit_code.hpp"

namespace assay::sandbox::lua {

using namespace wire;

namespace {

using std::chrono::nanoseconds;

constexpr suseconds_t kTickUs = 5'000;

std::atomic<Watchdog*> on_duty = nullptr;

nanoseconds now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

const char* message_for(ErrorKind kind) {
  return kind == ErrorKind::timeout ? "the evaluation took too long"
                                    : "the evaluation used too much processor time";
}

void raise_expired(lua_State* state, lua_Debug*) {
  luaL_error(state, "the evaluation was stopped at its deadline");
}

void arm(lua_State* state) {
  lua_sethook(state, raise_expired, LUA_MASKCOUNT, 1);
}

}  // namespace

Watchdog::~Watchdog() {
  end();
}

bool Watchdog::start_ticking() {
  struct sigaction action{};
  action.sa_handler = &Watchdog::on_signal;
  action.sa_flags = SA_RESTART;
  if (sigaction(SIGPROF, &action, nullptr) != 0) return false;
  const itimerval interval{{0, kTickUs}, {0, kTickUs}};
  return setitimer(ITIMER_PROF, &interval, nullptr) == 0;
}

void Watchdog::on_signal(int) {
  const int saved = errno;
  if (Watchdog* const watchdog = on_duty.load(); watchdog != nullptr) watchdog->tick();
  errno = saved;
}

void Watchdog::begin(lua_State* state, nanoseconds wall, nanoseconds cpu) {
  wall_start_ = now(CLOCK_MONOTONIC);
  cpu_start_ = now(CLOCK_PROCESS_CPUTIME_ID);
  wall_deadline_ = wall_start_ + wall;
  cpu_deadline_ = cpu_start_ + cpu;
  expired_ = 0;
  running_ = state;
  on_duty = this;
}

void Watchdog::end() {
  Watchdog* self = this;
  on_duty.compare_exchange_strong(self, nullptr);
}

void Watchdog::stand_still() {
  wall_left_ = wall_deadline_ - now(CLOCK_MONOTONIC);
  wall_deadline_ = nanoseconds::max();
}

void Watchdog::go_on() {
  wall_deadline_ = now(CLOCK_MONOTONIC) + wall_left_;
}

lua_State* Watchdog::enter(lua_State* state) {
  lua_State* const before = running_.exchange(state);
  if (expired_ != 0) arm(state);
  return before;
}

std::optional<ErrorKind> Watchdog::expired() const {
  const int value = expired_;
  if (value == 0) return std::nullopt;
  return static_cast<ErrorKind>(value - 1);
}

void Watchdog::check(lua_State* state) const {
  if (const auto kind = expired()) luaL_error(state, "%s", message_for(*kind));
}

nanoseconds Watchdog::wall_used() const {
  return now(CLOCK_MONOTONIC) - wall_start_;
}
nanoseconds Watchdog::cpu_used() const {
  return now(CLOCK_PROCESS_CPUTIME_ID) - cpu_start_;
}

// Runs in the signal handler.
void Watchdog::tick() {
  const nanoseconds cpu_over = now(CLOCK_PROCESS_CPUTIME_ID) - cpu_deadline_;
  const nanoseconds wall_over = now(CLOCK_MONOTONIC) - wall_deadline_;
  if (cpu_over < nanoseconds(0) && wall_over < nanoseconds(0)) return;
  if (expired_ == 0)
    expired_ = static_cast<int>(cpu_over >= nanoseconds(0) ? ErrorKind::cpu_limit : ErrorKind::timeout) + 1;
  const nanoseconds over = expired() == ErrorKind::cpu_limit ? cpu_over : wall_over;
  if (over > kUnwindGrace) _exit(expired() == ErrorKind::cpu_limit ? kExitCpuLimit : kExitTimeout);
  arm(running_);
}

}  // namespace assay::sandbox::lua
