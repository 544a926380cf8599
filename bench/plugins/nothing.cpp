// A plugin that does nothing: what a call costs.
#include <assay/evaluator.hpp>

namespace {

struct Nothing {
  static constexpr std::string_view describe = R"({"name": "nothing"})";
  assay::Score evaluate(const assay::Item&) const { return {.score = 1}; }
};

struct Exact {
  static constexpr std::string_view describe = R"({"name": "exact"})";
  assay::Score evaluate(const assay::Item& item) const {
    return {.score = item.sample() == item.ground_truth() ? 1.0 : 0.0};
  }
};

}  // namespace

ASSAY_PLUGIN("nothing", "1.0.0", Nothing, Exact);
