#include "meta/adapted_episode.h"

#include "episodes/errors.h"

namespace fewatoms {

AdaptedEpisode adapt_to_episode(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                                const EvaluationOptions& options, int index, int steps) {
  require_evaluable(learner, source, options);
  if (steps < 0) throw UsageError("steps is " + std::to_string(steps) + ", 0 or more was expected");
  if (steps > 0 && learner.adapted().empty())
    throw UsageError("scope '" + learner.options().scope + "' adapts nothing: 0 steps are all there are");
  const OneThreadPerOperation one_thread;
  at::NoGradGuard no_graph;
  const ParameterSet start = parameters.leaves(false);
  const PreparedTask task = prepare(learner, start, evaluation_task(source, options, index), learner.evaluation_norm());
  InnerState state(start);
  state.rate_factor = options.rate_factor;
  const InnerState before = adapt_further(learner, std::move(state), task, 0, Order::kFirst);
  const InnerState after = adapt_further(learner, before, task, steps, Order::kFirst);
  return {before.parameters, after.parameters, task_features(learner, before.parameters, task),
          task_features(learner, after.parameters, task)};
}

std::vector<Movement> movements(const Learner& learner, const ParameterSet& before, const ParameterSet& after) {
  const auto norm = [](const Tensor& t) { return t.to(at::kDouble).pow(2).sum().sqrt().item<double>(); };
  std::vector<Movement> moved;
  for (const size_t i : learner.adapted()) {
    const double length = norm(before.tensor(i)), way = norm(after.tensor(i) - before.tensor(i));
    moved.push_back({before[i].name, before[i].role, length > 0 ? way / length : way, length == 0});
  }
  return moved;
}

PlaneMap plane_map(const Tensor& before, const Tensor& after) {
  TORCH_CHECK(before.dim() == 2 && before.sizes() == after.sizes() && before.size(0) > 0,
              "points of two equal shapes [n, d] were expected");
  const auto centred = [](const Tensor& x) {
    const Tensor wide = x.detach().to(at::kDouble);
    return wide - wide.mean(0, /*keepdim=*/true);
  };
  const Tensor a = centred(before), b = centred(after), both = at::cat({a, b});
  const int64_t n = both.size(0), axes = std::min<int64_t>(2, std::min(n, both.size(1)));
  // Of the many features of a few points: X X^T = U S^2 U^T is small, and X V = U S.
  const auto [squares, vectors] = at::linalg_eigh(at::mm(both, both.t()));  // ascending
  Tensor points = at::zeros({n, 2}, at::kDouble);
  for (int64_t axis = 0; axis < axes; ++axis) {
    const Tensor column = vectors.select(1, n - 1 - axis) * squares[n - 1 - axis].clamp_min(0).sqrt();
    const bool flip = column[column.abs().argmax().item<int64_t>()].item<double>() < 0;
    points.select(1, axis).copy_(flip ? -column : column);
  }
  const auto share = [](const Tensor& plane, const Tensor& whole) {
    const double all = whole.pow(2).sum().item<double>();
    return all > 0 ? plane.pow(2).sum().item<double>() / all : 0;
  };
  const int64_t half = n / 2;
  PlaneMap map{points.narrow(0, 0, half), points.narrow(0, half, half), 0, 0};
  map.explained_before = share(map.before, a);
  map.explained_after = share(map.after, b);
  return map;
}

}  // namespace fewatoms
