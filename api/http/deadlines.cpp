#include "api/http/deadlines.hpp"

#include <algorithm>

namespace assay::api {

void Deadlines::arm(Clock::duration time) {
  state_->expired = false;
  ++state_->round;
  wait(state_, time);
}

void Deadlines::wait(std::shared_ptr<State> state, Clock::duration time) {
  // An operation of several steps may be between two of them just now, and misses it: hence again and again.
  static constexpr std::chrono::milliseconds kAgain(20);
  state->timer.expires_after(time);
  state->timer.async_wait([state, round = state->round](boost::system::error_code error) {
    if (error || round != state->round) return;  // disarmed, though the timer had fired already
    state->expired = true;
    state->socket.cancel(error);
    wait(state, kAgain);
  });
}

bool Deadlines::disarm() {
  ++state_->round;
  state_->timer.cancel();
  return state_->expired;
}

void Pace::waited(Clock::duration time, size_t bytes) {
  const std::chrono::duration<double> earned(static_cast<double>(bytes) / static_cast<double>(rate_));
  const auto left =
      std::clamp<std::chrono::duration<double>>(left_ - time + earned, Clock::duration::zero(), patience_);
  left_ = std::chrono::duration_cast<Clock::duration>(left);
}

}  // namespace assay::api
