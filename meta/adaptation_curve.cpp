#include "meta/adaptation_curve.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace fewatoms {

CurveSummary summarise_curve(const std::vector<StepAccuracy>& by_steps, const std::vector<double>& seconds) {
  TORCH_CHECK(!by_steps.empty() && by_steps.size() == seconds.size(), by_steps.size(), " numbers of steps and ",
              seconds.size(), " times");
  const auto best =
      std::max_element(by_steps.begin(), by_steps.end(),
                       [](const StepAccuracy& a, const StepAccuracy& b) { return a.accuracy < b.accuracy; });
  const auto fast = std::find_if(by_steps.begin(), by_steps.end(),
                                 [&](const StepAccuracy& s) { return s.accuracy >= 0.95 * best->accuracy; });
  return {.best_steps = best->inner_steps,
          .best_accuracy = best->accuracy,
          .steps_to_95 = fast->inner_steps,
          .seconds_to_95 = seconds[fast - by_steps.begin()],
          .drop = best->accuracy - by_steps.back().accuracy};
}

std::vector<double> accuracies_after(const std::vector<std::vector<double>>& accuracies, const std::vector<int>& marks,
                                     int steps) {
  const bool adapts_nothing = marks.size() == 1 && marks[0] == 0;
  const auto found = adapts_nothing ? marks.begin() : std::find(marks.begin(), marks.end(), steps);
  if (found == marks.end()) {
    std::ostringstream text;
    text << "there is no accuracy after " << steps << " inner steps, it was measured after";
    for (const int mark : marks) text << " " << mark;
    throw std::out_of_range(text.str());
  }
  const auto mark = static_cast<size_t>(found - marks.begin());
  std::vector<double> values;
  for (const auto& episode : accuracies) values.push_back(episode.at(mark));
  return values;
}

}  // namespace fewatoms
