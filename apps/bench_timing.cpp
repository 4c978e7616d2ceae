#include <algorithm>
#include <chrono>
#include <cstdio>

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
  return {{"median_s", timing.median()},
          {"min_s", timing.minimum()},
          {"spread", timing.spread()},
          {"repeats", timing.seconds.size()}};
}

std::vector<Task> tasks_of(const ImageSource& source, const TrainerOptions& t, int64_t iteration) {
  return load_tasks(source, t.spec, t.seed, static_cast<uint64_t>(iteration) * t.meta_batch, t.meta_batch, t.augmented,
                    t.pixel_norm);
}

TrainerOptions endless(TrainerOptions options) {
  options.iterations = 1'000'000'000;
  return options;
}

void print(const char* what, const Timing& timing) {
  std::printf("%s: median %.4g s, minimum %.4g s, spread %.1f %%, %zu repeats\n", what, timing.median(),
              timing.minimum(), 100 * timing.spread(), timing.seconds.size());
}

}  // namespace fewatoms
