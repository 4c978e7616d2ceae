#include "meta/cost.h"

#include <algorithm>

namespace fewatoms {
int64_t convolution_multiply_adds(const Learner& learner, const EpisodeSpec& spec) {
  const std::vector<LayerInfo> layers = learner.backbone().describe();
  const std::vector<size_t>& adapted = learner.adapted();
  const auto adapts = [&](size_t index) { return std::find(adapted.begin(), adapted.end(), index) != adapted.end(); };
  const int first = learner.first_adapted_block();
  const int64_t steps = learner.trains_on_classes() ? 0 : learner.options().inner_steps;
  const bool second = learner.order() == Order::kSecond && steps > 0, prototypes = !has_class_weights(learner.head());
  const int64_t support = learner.trains_on_classes() ? 0 : int64_t{spec.ways} * spec.shots,
                query = int64_t{spec.ways} * spec.queries;
  const int64_t views = prototypes && !learner.adapted().empty() && spec.shots == 1 ? 2 * spec.ways : 0;
  const int64_t inner = views > 0 ? views : support;  // images of an inner step

  int64_t sum = 0;
  bool behind_first = false;  // whether a layer that adaptation reaches has come
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const int block = layers[layer].block;
    const int64_t f = layers[layer].multiply_adds, by_input = layer > 0 ? f : 0, pass = f + f + by_input;
    sum += query * pass;
    if (prototypes) sum += support * pass;
    if (block < first) {
      if (!prototypes) sum += support * (second ? pass : f);
      sum += views * (second ? pass : f);
      continue;
    }
    int64_t step = f, outer = f + by_input;
    if (behind_first) {
      step += f;
      outer += 2 * f;
    }
    behind_first = true;
    const std::vector<size_t>& weights = layers[layer].weights;
    if (std::any_of(weights.begin(), weights.end(), adapts)) {
      step += f;
      outer += f + by_input;
    }
    sum += steps * inner * (step + (second ? outer : 0));
  }
  return sum;
}

}  // namespace fewatoms
