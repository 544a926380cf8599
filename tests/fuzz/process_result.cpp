// What a process of an evaluator may say is its result, and items as processes are given them.
#include "sandbox/runtime/process/result.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

using namespace assay::sandbox;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  wire::Answer answer;
  process::read_result(text, answer);
  if (!answer.error && !std::isfinite(answer.score)) std::abort();
  if (process::with_text(text).size() < text.size() / 2) std::abort();
  return 0;
}
