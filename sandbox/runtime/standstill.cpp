#include "sandbox/runtime/standstill.hpp"

namespace assay::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 250ms;

}  // namespace

Standstill::Standstill(asio::any_io_executor executor) : tick_(executor) {
  wait();
}

void Standstill::stop() {
  *watching_ = false;
  tick_.cancel();
}

void Standstill::wait() {
  tick_.expires_after(kTick);
  tick_.async_wait([this, watching = watching_](boost::system::error_code) {
    if (!*watching) return;
    look();
    wait();
  });
}

Clock::time_point Standstill::mark() {
  look();
  return looked_;
}

bool Standstill::any_since(Clock::time_point mark) {
  look();  // what came meanwhile may be handled before the tick
  return ended_ > mark;
}

void Standstill::look() {
  const auto now = Clock::now();
  if (now - looked_ >= kTick + kLate) ended_ = now;
  looked_ = now;
}

}  // namespace assay::sandbox
