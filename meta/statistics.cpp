#include "meta/statistics.h"

#include <algorithm>
#include <cmath>

#include <c10/util/Exception.h>
#include <boost/math/distributions/students_t.hpp>
#include <nlohmann/json.hpp>

#include "episodes/numbers.h"

namespace fewatoms {

MeanInterval mean_interval(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / n;
  if (values.size() == 1) return {mean, std::nullopt};
  for (const double v : values) squares += (v - mean) * (v - mean);
  const double quantile = boost::math::quantile(boost::math::students_t(n - 1), 0.975);
  return {mean, quantile * std::sqrt(squares / (n - 1) / n)};
}

std::string interval_text(const std::optional<double>& ci95, int digits) {
  return ci95 ? " ± " + fixed_text(100 * *ci95, digits) : " (no interval for one value)";
}

nlohmann::ordered_json number_or_null(const std::optional<double>& number) {
  return number ? nlohmann::ordered_json(*number) : nlohmann::ordered_json(nullptr);
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
