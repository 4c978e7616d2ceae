#include <algorithm>
#include <chrono>

#include "apps/bench.h"

namespace fewatoms {

double Timing::median() const {
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Timing::minimum() const { return *std::min_element(seconds.begin(), seconds.end()); }

double Timing::spread() const { return (*std::max_element(seconds.begin(), seconds.end()) - minimum()) / median(); }

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

BenchResult to_json(const Timing& timing) {
  return {{"median_s", timing.median()}, {"min_s", timing.minimum()}, {"spread", timing.spread()}, {"repeats", timing.seconds.size()}};
}

}  // namespace fewatoms
