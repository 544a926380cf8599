// How a host ends when it cannot answer. Exit codes below 100 are the errno of a lock-down that failed.
#pragma once

#include <chrono>

namespace assay::sandbox::wire {

inline constexpr int kExitProtocol = 100;  ///< a frame was malformed: our own fault
inline constexpr int kExitTimeout =
    101;  ///< the wall deadline passed inside code that nothing else could interrupt
inline constexpr int kExitSpent = 103;     ///< all answered; another is to take its place
inline constexpr int kExitCpuLimit = 102;  ///< the same for the processor time

/// How long after a deadline the evaluation may take to unwind before the host ends itself, and how long
/// before the pool kills the host.
inline constexpr std::chrono::milliseconds kUnwindGrace{100};
inline constexpr std::chrono::milliseconds kKillGrace{250};

}  // namespace assay::sandbox::wire
