// The numbers that evaluations report, and how sure they are.
//
// Pass rates get a Wilson interval, scores a t interval. With several trials of an item the unit is the item:
// the standard error is that of the items' means, because trials of one item are not independent questions
// (Miller 2024, "Adding Error Bars to Evals"). Errored outcomes are counted beside the mean, never inside it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace assay {

struct Interval {
  double low = 0;
  double high = 0;
};

struct Mean {
  double mean = 0;
  std::optional<double> stderr_mean;  ///< sqrt(sum (s - mean)^2 / (n (n - 1))); none for n < 2
  std::optional<Interval> ci95;       ///< mean +- t(0.975; n - 1) * stderr
};
/// nullopt for no values.
std::optional<Mean> mean_of(std::span<const double> values);

/// Wilson score interval at 95 % for `successes` of `n`; n > 0.
Interval wilson95(double successes, double n);

/// Quantile of Student's t with `degrees_of_freedom` >= 1 at `probability` in (0, 1).
double student_t_quantile(double probability, double degrees_of_freedom);

/// Linear interpolation between order statistics (R type 7, NumPy's default). `sorted` is ascending and not
/// empty.
double quantile_sorted(std::span<const double> sorted, double probability);

}  // namespace assay
