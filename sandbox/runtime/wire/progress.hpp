// What a host of plugins is at: a page that it shares with the pool, which so knows it without a system call
// for each evaluation, also when the host has died.
#pragma once

#include <atomic>
#include <cstdint>

namespace assay::sandbox::wire {

/// Written by the host before an evaluation begins. The pool believes it as far as it could be true.
struct Progress {
  std::atomic<int64_t> began{0};       ///< nanoseconds of CLOCK_MONOTONIC, which jails have in common with us
  std::atomic<int64_t> evaluation{0};  ///< the id of its request; 0: none yet
};
static_assert(std::atomic<int64_t>::is_always_lock_free);

inline constexpr size_t kProgressSize = 4096;

}  // namespace assay::sandbox::wire
