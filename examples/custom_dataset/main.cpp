// Meta-trains on generated spectrograms, a data set of this program's own, and learns 100 tasks of sounds it has never
// heard. usage: custom_dataset [ITERATIONS]      (default 300)
#include <cstdio>
#include <exception>

#include "episodes/numbers.h"
#include "meta/evaluate.h"
#include "meta/methods.h"
#include "meta/trainer.h"
#include "spectrograms.h"

using namespace fewatoms;

int main(int argc, char** argv) try {
  const int iterations = argc > 1 ? read_number<int>(argv[1], 1, 1'000'000) : 300;
  // The one line that makes the class a data set: from here on its name works like "mini-imagenet".
  register_dataset({.name = "spectrograms",
                    .needs_root = false,
                    .usual_size = Spectrograms::kSize,
                    .usual_channels = 1,
                    .splits = Spectrograms::splits,
                    .open = Spectrograms::open});

  const DatasetOptions data = resolve({.name = "spectrograms"});
  const EpisodeSpec spec{.ways = 5, .shots = 1, .queries = 15};
  LearnerOptions options = find_method("acdc-maml").preset;
  options.ways = spec.ways;
  options.network.image_size = data.image_size;
  options.network.channels = data.channels;

  ParameterSet initial;
  const Learner learner(options, initial);
  const auto train = open_dataset(data, "train");
  Trainer trainer(learner, *train, {.spec = spec, .iterations = iterations}, {.parameters = initial});
  for (int i = 0; i < iterations; ++i) trainer.step();

  const auto unseen = open_dataset(data, "test");
  const Evaluation result =
      evaluate(learner, trainer.parameters(), *unseen, {.spec = spec, .episodes = 100, .inner_steps = {0, 1, 5}});
  for (const StepAccuracy& row : result.by_steps)
    std::printf("%d inner steps: %.1f ± %.1f %%\n", row.inner_steps, 100 * row.accuracy, 100 * row.ci95.value_or(0));
} catch (const std::exception& error) {
  std::fprintf(stderr, "custom_dataset: %s\n", error.what());
  return 1;
}
