#include "api/http/rate_limit.hpp"

#include <algorithm>

namespace assay::api {

RateLimit::RateLimit(size_t per_second, size_t burst, size_t most)
    : per_second_(static_cast<double>(per_second)),
      burst_(static_cast<double>(std::max<size_t>(burst, 1))),
      buckets_(most) {}

std::optional<Clock::duration> RateLimit::take(const std::string& name, Clock::time_point now) {
  return wait(name, now, true);
}

std::optional<Clock::duration> RateLimit::look(const std::string& name, Clock::time_point now) {
  return wait(name, now, false);
}

std::optional<Clock::duration> RateLimit::wait(const std::string& name, Clock::time_point now, bool take) {
  if (per_second_ == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  Bucket* bucket = buckets_.find(name);
  if (bucket == nullptr) {
    if (!take) return std::nullopt;
    bucket = &buckets_.put(name, {burst_, now});
  }
  const double passed = std::chrono::duration<double>(now - bucket->at).count();
  bucket->tokens = std::min(burst_, bucket->tokens + std::max(0.0, passed) * per_second_);
  bucket->at = now;
  if (bucket->tokens < 1)
    return std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>((1 - bucket->tokens) / per_second_));
  if (take) bucket->tokens -= 1;
  return std::nullopt;
}

}  // namespace assay::api
