// Formulas of multi evaluators: whatever parses has a value, and the same one each time.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/formula.hpp"

using namespace assay;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::string> names = {"a", "b", "log"};
  static constexpr std::array<double, 3> values = {0.25, -3, 1e300};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto formula = Formula::parse(text, names);
  if (!formula) {
    if (formula.error().kind != ErrorKind::config || formula.error().message.empty()) std::abort();
    return 0;
  }
  const double once = formula->evaluate(values);
  const double again = formula->evaluate(values);
  if (once != again && !(std::isnan(once) && std::isnan(again))) std::abort();
  return 0;
}
