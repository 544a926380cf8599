#include "daemon/llm/pace.hpp"

#include <algorithm>

namespace assay::llm {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr double kTau = 2.5;  // seconds; longer when answers, and so the news of what remains, are late
constexpr double kShortestTau = 0.25;
constexpr double kWindow = 60;  // seconds that a limit is of, where providers do not say
/// Where nothing remains somebody must go on asking: this fraction of the limit.
constexpr double kProbe = 0.25;

}  // namespace

void TokenBucket::fill(Instant now) {
  if (now > filled_ && filled_ != Instant{})
    level_ = std::min(std::max(level_, burst()), level_ + rate_ * Seconds(now - filled_).count());
  filled_ = std::max(filled_, now);
}

void TokenBucket::set_rate(double per_second, Instant now) {
  fill(now);
  rate_ = per_second;
  level_ = std::clamp(level_, -most(), burst());
}

Instant TokenBucket::ready(Instant now) {
  if (unlimited()) return now;
  fill(now);
  if (level_ >= 0) return now;
  // A nanosecond too early would be asked for again and again; a day is as good as never.
  const Seconds wait(std::min(-level_ / rate_, 86'400.0));
  return now + std::chrono::duration_cast<std::chrono::nanoseconds>(wait) + std::chrono::microseconds(1);
}

void TokenBucket::take(double amount, Instant now) {
  if (unlimited()) return;
  fill(now);
  level_ = std::max(level_ - amount, -most());
}

void TokenBucket::give_back(double amount) {
  level_ = std::clamp(level_ + amount, -most(), most());
}

Instant Pace::ready(Instant now) {
  return std::max(configured_.ready(now), shared_.ready(now));
}

double Pace::bounded(double amount) const {
  if (!configured_.unlimited()) amount = std::min(amount, configured_.most());
  return known_ && limit_ > 0 ? std::min(amount, limit_) : amount;
}

double Pace::sent(double amount, Instant now) {
  configured_.take(amount, now);
  shared_.take(amount, now);
  sent_ += amount;
  left_ = std::max(0.0, left_ - amount);
  if (known_) share_out(now);
  return sent_;
}

void Pace::give_back(double estimated, Instant now) {
  configured_.give_back(estimated);
  shared_.give_back(estimated);
  left_ = std::min(left_ + estimated, remaining_);
  if (known_) share_out(now);
}

void Pace::learn(const Allowance& allowance, double mark, Seconds latency, Instant now, Time wall) {
  if (!allowance.remaining) return;
  remaining_ = static_cast<double>(*allowance.remaining);
  most_ = std::max(most_, remaining_);
  limit_ = allowance.limit ? static_cast<double>(*allowance.limit) : most_;
  // What was sent after this request may be counted in `remaining` or not: providers differ.
  left_ = std::max(remaining_ - (sent_ - mark), remaining_ / 2);
  tau_ = std::max(kTau, 2 * latency.count());
  // More than half of what can remain must not be needed to use all that is given.
  if (limit_ > 0) tau_ = std::clamp(capacity(allowance, wall) / 2 / (limit_ / kWindow), kShortestTau, tau_);
  known_ = true;
  share_out(now);
}

/// What can remain: now, and what comes until there is no more to come. Where that is not said, the most that
/// ever remained.
double Pace::capacity(const Allowance& allowance, Time wall) const {
  if (!allowance.limit || !allowance.reset) return most_;
  return remaining_ + std::max(0.0, Seconds(*allowance.reset - wall).count()) * limit_ / kWindow;
}

void Pace::share_out(Instant now) {
  const double floor = std::max(limit_ / kWindow * kProbe, 1e-3);
  shared_.set_rate(std::max(left_ / tau_, floor), now);
}

}  // namespace assay::llm
