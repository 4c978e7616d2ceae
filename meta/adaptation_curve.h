#pragma once

#include <vector>

#include "meta/evaluate.h"

namespace fewatoms {

/// What accuracy by inner steps says in a few numbers.
struct CurveSummary {
  int best_steps = 0;        // the fewest with the best accuracy
  double best_accuracy = 0;  // fraction
  int steps_to_95 = 0;       // the fewest, of those evaluated, with 95 % of the best accuracy
  double seconds_to_95 = 0;  // from the support images to there
  double drop = 0;           // best accuracy minus that after the most steps, >= 0
};

/// `by_steps` ascending and not empty; `seconds` until each of them, as adaptation_seconds gives them.
CurveSummary summarise_curve(const std::vector<StepAccuracy>& by_steps, const std::vector<double>& seconds);

/// Accuracy of every episode after so many steps, of an evaluation at `marks` [episode][mark]: what pairs are made of.
/// The mark 0 alone stands for any number of steps, as a run that adapts nothing stays where it starts; otherwise
/// std::out_of_range says that `steps` is no mark.
std::vector<double> accuracies_after(const std::vector<std::vector<double>>& accuracies, const std::vector<int>& marks,
                                     int steps);

}  // namespace fewatoms
