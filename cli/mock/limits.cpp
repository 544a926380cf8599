#include "cli/mock/limits.hpp"

#include <algorithm>

namespace assay::cli::mock {
namespace {

using std::chrono::duration;
using Minutes = duration<double, std::ratio<60>>;

/// A request that was under way when another was told to wait is nobody's impatience.
constexpr std::chrono::milliseconds kGrace(10);
constexpr size_t kRefusedLimit = 65'536;

}  // namespace

void Bucket::set(std::optional<int64_t> per_minute, std::chrono::milliseconds burst, Clock::time_point now) {
  const bool was_limited = limited();
  const double left = was_limited ? level(now) : 0;
  per_minute_ = per_minute;
  capacity_ = std::max(1.0, static_cast<double>(this->per_minute()) * Minutes(burst).count());
  level_ = was_limited ? std::min(left, capacity_) : capacity_;
  at_ = now;
}

double Bucket::level(Clock::time_point now) {
  if (now > at_) {
    level_ = std::min(capacity_, level_ + static_cast<double>(per_minute()) * Minutes(now - at_).count());
    at_ = now;
  }
  return level_;
}

Clock::duration Bucket::time_for(double amount) const {
  const Minutes time(amount / static_cast<double>(per_minute()));
  return std::chrono::ceil<std::chrono::microseconds>(time);
}

Clock::duration Bucket::wait_for(double amount, Clock::time_point now) {
  if (!limited() || level(now) >= amount) return Clock::duration::zero();
  return time_for(amount - level_);
}

Clock::duration Bucket::until_full(Clock::time_point now) {
  return limited() ? time_for(capacity_ - level(now)) : Clock::duration::zero();
}

void Account::set(const LimitSettings& settings, Clock::time_point now) {
  requests_.set(settings.requests_per_minute, settings.burst, now);
  tokens_.set(settings.tokens_per_minute, settings.burst, now);
}

void Account::watch_patience(uint64_t fingerprint, Clock::time_point now) {
  if (now < wait_ends_ && now > told_to_wait_ + kGrace) ++counts_.during_wait;
  const auto known = refused_.find(fingerprint);
  if (known == refused_.end()) return;
  if (now < known->second) ++counts_.early_retries;
  refused_.erase(known);
}

void Account::remember(uint64_t fingerprint, Clock::duration wait, Clock::time_point now) {
  told_to_wait_ = now;
  wait_ends_ = std::max(wait_ends_, now + wait);
  if (refused_.size() >= kRefusedLimit)
    std::erase_if(refused_, [now](const auto& entry) { return entry.second <= now; });
  if (refused_.size() < kRefusedLimit) refused_[fingerprint] = now + wait;
}

Ruling Account::ask(uint64_t fingerprint, int64_t tokens, Clock::time_point now) {
  ++counts_.requests;
  watch_patience(fingerprint, now);
  const auto amount = static_cast<double>(tokens);
  Ruling ruling;
  ruling.too_large = tokens_.limited() && amount > tokens_.capacity();
  const auto for_requests = requests_.wait_for(1, now), for_tokens = tokens_.wait_for(amount, now);
  ruling.wait = std::max(for_requests, for_tokens);
  ruling.allowed = !ruling.too_large && ruling.wait == Clock::duration::zero();
  ruling.by_tokens = for_tokens > for_requests;
  if (ruling.allowed) {
    requests_.take(1);
    tokens_.take(amount);
    counts_.tokens += static_cast<uint64_t>(tokens);
  } else {
    ++counts_.rate_limited;
    if (!ruling.too_large) remember(fingerprint, ruling.wait, now);
  }
  return ruling;
}

}  // namespace assay::cli::mock
