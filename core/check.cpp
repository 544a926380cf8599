#include "core/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace assay {

void check_failed(const char* condition, const char* why, const char* file, int line) {
  std::fprintf(stderr, "assay: bug at %s:%d: %s (%s)\n", file, line, why, condition);
  std::abort();
}

}  // namespace assay
