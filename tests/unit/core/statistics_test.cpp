#include "core/statistics.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <vector>

using namespace assay;

namespace {

/// The references were computed with R 4.2 and are given to ten digits.
Approx reference(double value) {
  return Approx(value).epsilon(0).margin(6e-11);
}

std::vector<double> ones_of(int ones, int n) {
  std::vector<double> values(static_cast<size_t>(n), 0.0);
  std::fill_n(values.begin(), ones, 1.0);
  return values;
}

}  // namespace

TEST_CASE("statistics: the mean has the error and t interval of the reference data", "[core][statistics]") {
  const auto a = mean_of(std::vector<double>{1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 1});
  REQUIRE(a.has_value());
  CHECK(a->mean == reference(.6666666667));
  CHECK(a->stderr_mean.value() == reference(.1421338109));
  CHECK(a->ci95->low == reference(.3538322581));
  CHECK(a->ci95->high == reference(.9795010752));

  const auto b = mean_of(std::vector<double>{1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1});
  CHECK(b->mean == reference(.4166666667));
  CHECK(b->stderr_mean.value() == reference(.1486470975));
}

TEST_CASE("statistics: few values have no more certainty than they can", "[core][statistics]") {
  CHECK_FALSE(mean_of({}).has_value());
  const auto one = mean_of(std::vector<double>{0.25});
  CHECK(one->mean == 0.25);
  CHECK_FALSE(one->stderr_mean.has_value());
  CHECK_FALSE(one->ci95.has_value());
  const auto equal = mean_of(std::vector<double>{1, 1, 1});
  CHECK(equal->stderr_mean.value() == 0);
  CHECK(equal->ci95->low == 1);
  CHECK(equal->ci95->high == 1);
}

TEST_CASE("statistics: the sum does not lose what it adds", "[core][statistics]") {
  CHECK(mean_of(std::vector<double>{1e100, 1, -1e100})->mean == Approx(1.0 / 3).epsilon(1e-15));
  std::vector<double> tenths(1'000'000, 0.1);
  CHECK(mean_of(tenths)->mean == 0.1);
}

TEST_CASE("statistics: Wilson's interval gives the reference values", "[core][statistics]") {
  const auto [successes, n, low, high] = GENERATE(table<double, double, double, double>({
      {8, 12, .3906220889, .8618799089},
      {17, 20, .6395811353, .9476312541},
      {5, 5, .5655175352, 1},
      {0, 30, 0, .1135133932},
      {850, 1000, .8265313416, .8707899275},
  }));
  CHECK(wilson95(successes, n).low == reference(low));
  CHECK(wilson95(successes, n).high == reference(high));
}

TEST_CASE("statistics: Wilson's interval holds the rate and stays inside 0 and 1", "[core][statistics]") {
  for (int n = 1; n <= 60; ++n)
    for (int k = 0; k <= n; ++k) {
      const Interval interval = wilson95(k, n);
      const double rate = static_cast<double>(k) / n;
      REQUIRE(interval.low >= 0);
      REQUIRE(interval.low <= rate);
      REQUIRE(interval.high >= rate);
      REQUIRE(interval.high <= 1);
      // Successes and failures are the same question.
      REQUIRE(wilson95(n - k, n).high == Approx(1 - interval.low).margin(1e-12));
    }
}

TEST_CASE("statistics: the four systems of GSM8K come out as published", "[core][statistics]") {
  struct System {
    int correct;
    double mean, error, low, high;
  };
  const auto system = GENERATE(
      System{286, .216831, .011351, .195431, .239875}, System{515, .390447, .013438, .364474, .417057},
      System{458, .347233, .013114, .322017, .373336}, System{742, .562547, .013664, .535633, .589099});
  const auto digits6 = [](double value) { return Approx(value).epsilon(0).margin(5.1e-7); };
  const auto mean = mean_of(ones_of(system.correct, 1319));
  CHECK(mean->mean == digits6(system.mean));
  CHECK(mean->stderr_mean.value() == digits6(system.error));
  CHECK(wilson95(system.correct, 1319).low == digits6(system.low));
  CHECK(wilson95(system.correct, 1319).high == digits6(system.high));
}

TEST_CASE("statistics: repeats are averaged within an item before the error is taken", "[core][statistics]") {
  // Five questions with four trials each: 1111, 1011, 0100, 0000, 1101.
  const auto items = mean_of(std::vector<double>{1, .75, .25, 0, .75});
  CHECK(items->mean == reference(.55));
  CHECK(items->stderr_mean.value() == reference(.1837117307));
  // What pooling the twenty trials would say, which is wrong, and smaller.
  CHECK(mean_of(ones_of(11, 20))->stderr_mean.value() == reference(.1141328865));
}

TEST_CASE("statistics: Student's t has the quantiles of the tables", "[core][statistics]") {
  const auto [df, quantile] = GENERATE(table<double, double>({{1, 12.706204736},
                                                              {2, 4.302652730},
                                                              {3, 3.182446305},
                                                              {4, 2.776445105},
                                                              {9, 2.262157163},
                                                              {11, 2.200985160},
                                                              {30, 2.042272456},
                                                              {99, 1.984216952},
                                                              {1e9, 1.959963987}}));
  CHECK(student_t_quantile(0.975, df) == Approx(quantile).epsilon(0).margin(6e-10));
  CHECK(student_t_quantile(0.025, df) == Approx(-quantile).epsilon(0).margin(6e-10));
}

TEST_CASE("statistics: quantiles interpolate as R's type 7 does", "[core][statistics]") {
  const std::vector<double> values = {1, 2, 3, 4, 10};
  CHECK(quantile_sorted(values, 0) == 1);
  CHECK(quantile_sorted(values, 0.5) == 3);
  CHECK(quantile_sorted(values, 0.25) == 2);
  CHECK(quantile_sorted(values, 0.95) == Approx(8.8));
  CHECK(quantile_sorted(values, 1) == 10);
  CHECK(quantile_sorted(std::vector<double>{7}, 0.3) == 7);
  CHECK(quantile_sorted(std::vector<double>{0, 1}, 0.05) == Approx(0.05));
}
