// Ends a host whose plugin takes too long to load, or uses more processor time than it may.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "sandbox/runtime/wire/frames.hpp"

namespace assay::sandbox::plugin {

/// A thread of its own, for the plugin's code can be interrupted by nothing else. What several evaluations
/// use cannot be told apart: together they may use the limit of each between two answers. Only when it is
/// exceeded is one of them certainly over it, and they are then evaluated again apart (runtime/pool.hpp).
class Watch {
 public:
  /// The plugin is being loaded from now on; when that takes too long the host answers the request `id`
  /// itself and ends. Lives as long as the process.
  Watch(const wire::EvaluatorLimits& limits, int64_t id, int fd);

  /// Loading is over; returns only if it was in time.
  void loaded();

  /// An evaluation began or was answered: how many are under way, and the processor time used by then.
  void note(size_t under_way, std::chrono::microseconds used);

 private:
  static void* run(void* self);
  void watch_loading();
  [[noreturn]] void watch_evaluations();

  wire::EvaluatorLimits limits_;
  int64_t id_;
  int fd_;
  std::atomic<bool> is_loading_ = true;
  std::atomic<size_t> under_way_ = 0;
  std::atomic<int64_t> used_us_ = 0;
};

/// Of this process, and its largest resident set so far.
struct Used {
  std::chrono::microseconds cpu{0};
  uint64_t memory_bytes = 0;
};
Used used_so_far();

}  // namespace assay::sandbox::plugin
