#pragma once

#include <vector>

namespace fewatoms {

/// Mean and half-width of the 95 % interval: 1.96 * deviation / sqrt(n).
struct MeanInterval {
  double mean = 0, ci95 = 0;
};
/// Both are 0 without values.
MeanInterval mean_interval(const std::vector<double>& values);

/// The same of a few values, such as those of training seeds: deviation from n - 1 and Student's t with as many degrees
/// of freedom, so that two values give an honest, wide interval. An infinite ci95 for one value, 0 and 0 for none.
MeanInterval mean_interval_of_few(const std::vector<double>& values);

/// Of the differences a[i] - b[i]. What both share (an episode's difficulty) drops out, so that the interval is
/// narrower than those of a and b tell. Sizes must be equal.
MeanInterval paired_difference(const std::vector<double>& a, const std::vector<double>& b);

/// The middle value, or the mean of the two in the middle. There must be one at least.
double median(std::vector<double> values);

}  // namespace fewatoms
