#pragma once

#include <vector>

#include "meta/inner_loop.h"
#include "tests/testing.h"

// Learners and tasks small enough for float64 and central differences.
namespace fewatoms::test {

constexpr int kWays = 3;

/// Conv-4 of width 4 on 28x28 grey images, three ways, two inner steps.
inline LearnerOptions small_options(const std::string& conv = "standard") {
  LearnerOptions options;
  options.network.width = 4;
  options.network.image_size = 28;
  options.network.channels = 1;
  options.network.conv.kind = conv;
  options.ways = kWays;
  options.inner_steps = 2;
  return options;
}

/// A task of the synthetic source, by default in float64.
inline Task small_task(int shots, uint64_t index = 0, int queries = 2, at::ScalarType type = at::kDouble) {
  const SyntheticSource source(6, 12, 28);
  const EpisodeSpec spec{.ways = kWays, .shots = shots, .queries = queries};
  Task task = load_task(source, draw_episode(source, spec, /*seed=*/7, index), index, PixelNorm::kUnit);
  task.support = task.support.to(type);
  task.query = task.query.to(type);
  return task;
}

/// A learner with float64 parameters away from the symmetric start: norms get scales of both signs and the head is
/// larger, so that no gradient is small by accident.
struct SmallLearner {
  explicit SmallLearner(const LearnerOptions& options) : learner(options, initial), parameters(spread(initial)) {}

  static ParameterSet spread(const ParameterSet& initial) {
    ParameterSet moved;
    for (const Parameter& p : initial.to(at::kDouble)) {
      Tensor t = p.tensor;
      const Tensor noise = normal_tensor(t.sizes(), 1.0, 11, p.name).to(at::kDouble);
      if (p.name.ends_with(".scale")) t = t + 0.2 * noise;
      if (p.name.ends_with(".shift")) t = t + 0.3 * noise;
      if (p.role == Role::kHead) t = t + 0.5 * noise;
      moved.add(p.name, t, p.role);
    }
    return moved;
  }

  ParameterSet initial;
  Learner learner;
  ParameterSet parameters;
};

inline double largest_difference(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

/// Expects equal shapes and |a - b| <= tolerance * (1 + |b|), by the largest element.
inline void expect_close(const Tensor& a, const Tensor& b, double tolerance, const std::string& what) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_LE(largest_difference(a, b), tolerance * (1 + b.abs().max().item<double>())) << what;
}

/// Whether both hold the same bits under the same names.
inline bool identical(const ParameterSet& a, const ParameterSet& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || !a.tensor(i).equal(b.tensor(i))) return false;
  return true;
}

}  // namespace fewatoms::test
