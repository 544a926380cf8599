// Invariants. A broken one is our own bug: the program says where and stops, so that no wrong number leaves
// it.
#pragma once

namespace assay {
[[noreturn]] void check_failed(const char* condition, const char* why, const char* file, int line);
}

#define ASSAY_CHECK(condition, why)                                               \
  do {                                                                            \
    if (!(condition)) ::assay::check_failed(#condition, why, __FILE__, __LINE__); \
  } while (false)
