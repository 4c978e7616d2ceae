#include <algorithm>
#include <chrono>

#include "apps/bench.h"
#include "meta/statistics.h"

namespace fewatoms {

double Timing::median() const { return fewatoms::median(seconds); }

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
