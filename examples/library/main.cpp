// Meta-trains a decomposed network on drawn characters, then adapts it to 100 tasks of classes it has never seen.
// usage: library_example [ITERATIONS]      (default 300, 20 s on two cores: 82 % after five inner steps)
#include <cstdio>
#include <exception>

#include "datasets/dataset.h"
#include "episodes/numbers.h"
#include "meta/evaluate.h"
#include "meta/methods.h"
#include "meta/trainer.h"

using namespace fewatoms;

int main(int argc, char** argv) try {
  const int iterations = argc > 1 ? read_number<int>(argv[1], 1, 1'000'000) : 300;
  const DatasetOptions data = resolve({.name = "strokes"});
  const EpisodeSpec spec{.ways = 5, .shots = 1, .queries = 15};

  LearnerOptions options = find_method("acdc-maml").preset;  // a row of plain options: change what you like
  options.ways = spec.ways;
  options.network.image_size = data.image_size;
  options.network.channels = data.channels;

  ParameterSet initial;
  const Learner learner(options, initial);  // fills in the initial parameters
  const auto train = open_dataset(data, "train");
  Trainer trainer(learner, *train, {.spec = spec, .iterations = iterations}, {.parameters = initial});
  for (int i = 0; i < iterations; ++i) trainer.step();

  const auto unseen = open_dataset(data, "test");
  const Evaluation result =
      evaluate(learner, trainer.parameters(), *unseen, {.spec = spec, .episodes = 100, .inner_steps = {0, 1, 5}});
  for (const StepAccuracy& row : result.by_steps)
    std::printf("%d inner steps: %.1f ± %.1f %%\n", row.inner_steps, 100 * row.accuracy, 100 * row.ci95.value_or(0));
} catch (const std::exception& error) {
  std::fprintf(stderr, "library_example: %s\n", error.what());
  return 1;
}
