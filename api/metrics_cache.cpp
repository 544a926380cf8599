#include "api/metrics_cache.hpp"

namespace assay::api {

std::optional<std::string> MetricsCache::fresh(int64_t run) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(run);
  if (it == entries_.end() || it->second.stale_at < Clock::now()) return std::nullopt;
  return it->second.metrics;
}

void MetricsCache::keep(int64_t run, std::string metrics, Clock::duration cost) {
  constexpr size_t kRuns = 256;
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= kRuns) entries_.erase(entries_.begin());
  entries_[run] = {std::move(metrics), Clock::now() + 10 * cost};
}

void MetricsCache::forget(int64_t run) {
  const std::lock_guard lock(mutex_);
  entries_.erase(run);
}

}  // namespace assay::api
