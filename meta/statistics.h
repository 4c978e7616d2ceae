#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace fewatoms {

/// Results that hold intervals have this number as "version": 2 since intervals are Student's, of the deviation from
/// n - 1. Before, without a number, they were 1.96 * population deviation / sqrt(n), and 0 for one value.
constexpr int kResultVersion = 2;

/// Mean and half-width of the 95 % interval: t * deviation / sqrt(n), the deviation from n - 1 and Student's t with as
/// many degrees of freedom, so that two values give an honest, wide interval. One value has none, and no values have
/// the mean 0.
struct MeanInterval {
  double mean = 0;
  std::optional<double> ci95;
};
MeanInterval mean_interval(const std::vector<double>& values);

/// The half-width of an interval of fractions behind its mean, in percent: " ± 0.83", or " (no interval for one
/// value)".
std::string interval_text(const std::optional<double>& ci95, int digits);

/// A number that may be missing as JSON has it: null.
nlohmann::ordered_json number_or_null(const std::optional<double>& number);

/// Of the differences a[i] - b[i]. What both share (an episode's difficulty) drops out, so that the interval is
/// narrower than those of a and b tell. Sizes must be equal.
MeanInterval paired_difference(const std::vector<double>& a, const std::vector<double>& b);

/// The middle value, or the mean of the two in the middle. There must be one at least.
double median(std::vector<double> values);

}  // namespace fewatoms
