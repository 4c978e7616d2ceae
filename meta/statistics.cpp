#include "meta/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <c10/util/Exception.h>
#include <boost/math/distributions/students_t.hpp>

namespace fewatoms {

namespace {

/// {mean, sum of squared differences from it}; of one value at least.
std::pair<double, double> moments(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, squares};
}

}  // namespace

MeanInterval mean_interval(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto [mean, squares] = moments(values);
  const auto n = static_cast<double>(values.size());
  return {mean, 1.96 * std::sqrt(squares / n) / std::sqrt(n)};
}

MeanInterval mean_interval_of_few(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto [mean, squares] = moments(values);
  if (values.size() == 1) return {mean, std::numeric_limits<double>::infinity()};
  const auto n = static_cast<double>(values.size());
  const double quantile = boost::math::quantile(boost::math::students_t(n - 1), 0.975);
  return {mean, quantile * std::sqrt(squares / (n - 1)) / std::sqrt(n)};
}

MeanInterval paired_difference(const std::vector<double>& a, const std::vector<double>& b) {
  TORCH_CHECK(a.size() == b.size(), "pairs of ", a.size(), " and ", b.size(), " values");
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(a[i] - b[i]);
  return mean_interval(differences);
}

double median(std::vector<double> values) {
  TORCH_CHECK(!values.empty(), "the median of no values");
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace fewatoms
