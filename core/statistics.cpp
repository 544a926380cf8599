#include "core/statistics.hpp"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "core/check.hpp"

namespace assay {
namespace {

constexpr double kZ975 = 1.959963984540054;

/// Neumaier's sum: the error does not grow with the number of values.
class Sum {
 public:
  void add(double value) {
    const double next = sum_ + value;
    rest_ += std::abs(sum_) >= std::abs(value) ? (sum_ - next) + value : (value - next) + sum_;
    sum_ = next;
  }
  double value() const { return sum_ + rest_; }

 private:
  double sum_ = 0;
  double rest_ = 0;
};

}  // namespace

std::optional<Mean> mean_of(std::span<const double> values) {
  if (values.empty()) return std::nullopt;
  const auto n = static_cast<double>(values.size());
  Sum sum;
  for (const double value : values) sum.add(value);
  Mean result;
  result.mean = sum.value() / n;
  if (values.size() < 2) return result;
  Sum squares;
  for (const double value : values) squares.add((value - result.mean) * (value - result.mean));
  const double error = std::sqrt(squares.value() / (n * (n - 1)));
  const double half = student_t_quantile(0.975, n - 1) * error;
  result.stderr_mean = error;
  result.ci95 = Interval{result.mean - half, result.mean + half};
  return result;
}

Interval wilson95(double successes, double n) {
  ASSAY_CHECK(n > 0, "an interval needs at least one item");
  constexpr double z2 = kZ975 * kZ975;
  const double p = successes / n;
  const double scale = 1 + z2 / n;
  const double centre = (p + z2 / (2 * n)) / scale;
  const double half = kZ975 * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / scale;
  // At 0 of n and n of n the bound is exact; rounding must not put it outside.
  return {successes <= 0 ? 0 : std::max(0.0, centre - half),
          successes >= n ? 1 : std::min(1.0, centre + half)};
}

double student_t_quantile(double probability, double degrees_of_freedom) {
  return boost::math::quantile(boost::math::students_t_distribution<double>(degrees_of_freedom), probability);
}

double quantile_sorted(std::span<const double> sorted, double probability) {
  ASSAY_CHECK(!sorted.empty(), "a quantile of nothing");
  const double position = probability * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
}

}  // namespace assay
