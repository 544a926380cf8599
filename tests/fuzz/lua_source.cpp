// Any bytes as a Lua evaluator: loading and running it ends in an answer that can be written, whatever it is.
// The VM runs instrumented here only where it calls us; what is hunted is our side: libraries, JSON, results,
// arena.
#include <cstddef>
#include <cstdint>
#include <string>

#include "sandbox/runtime/lua/evaluator.hpp"
#include "sandbox/runtime/wire/frames.hpp"

using namespace assay::sandbox::lua;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool ticking = Watchdog::start_ticking();
  EvaluatorSource source{.name = "fuzz"};
  // Half of the inputs are whole sources, half the body of run_evaluation, which gets further.
  source.source.assign(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] % 2 == 0)
    source.source = "function run_evaluation(item) " + source.source.substr(1) + "\nend";
  source.limits.memory_bytes = 2U << 20;
  source.limits.cpu = std::chrono::milliseconds(50);
  auto evaluator = Evaluator::create(std::move(source));
  if (!ticking || !evaluator) return 0;
  for (int i = 0; i < 2; i++) {
    const Answer answer =
        (*evaluator)->evaluate(R"({"index":1,"sample":{"output":"A: 1"},"ground_truth":{"output":"2"}})");
    std::string out;
    append_answer(out, 1, answer);
  }
  return 0;
}
