#include "daemon/llm/in_flight.hpp"

#include <algorithm>
#include <cmath>

namespace assay::llm {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kLatencyWeight = 0.1;  // of the newest answer
constexpr double kBestDrift = 0.01;     // a second: what was best once need not be possible any more
constexpr double kLess = 0.7;           // after an overload
constexpr double kSlow = 3;             // times the best latency
constexpr double kLongestStep = 0.25;   // seconds of growth at once

}  // namespace

InFlightLimit::InFlightLimit(int start, int most) : limit_(start), most_(most) {}

double InFlightLimit::growth(Instant now) const {
  const double quiet = Seconds(now - last_overload_).count();
  return 2 * std::exp2(std::clamp(quiet - 2, 0.0, 10.0));
}

void InFlightLimit::good(Instant sent, Instant now, bool full) {
  const Seconds took = now - sent;
  const double step = std::clamp(Seconds(now - last_growth_).count(), 0.0, kLongestStep);
  last_growth_ = now;
  latency_ = latency_.count() == 0 ? took : latency_ + (took - latency_) * kLatencyWeight;
  if (best_latency_.count() == 0 || latency_ < best_latency_) best_latency_ = latency_;
  best_latency_ += (latency_ - best_latency_) * (kBestDrift * step);
  if (!full || sent < last_overload_ || latency_ > best_latency_ * kSlow) return;
  limit_ = std::min<double>(most_, limit_ + (starting_ ? 1 : growth(now) * step));
}

void InFlightLimit::overload(Instant sent, Instant now, int in_flight) {
  starting_ = false;
  if (sent < last_overload_) return;  // of the same overload as an earlier one
  last_overload_ = now;
  limit_ = std::max(1.0, std::min<double>(limit_, in_flight) * kLess);
}

}  // namespace assay::llm
