#include "meta/outer_optimizer.h"

#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

void require_fitting(const char* what, const std::vector<Tensor>& moments, bool kept,
                     const std::vector<Tensor>& values) {
  bool fits = moments.size() == (kept ? values.size() : 0);
  for (size_t i = 0; fits && i < moments.size(); ++i) fits = moments[i].sizes() == values[i].sizes();
  if (!fits)
    throw UsageError("the optimizer's state has " + std::to_string(moments.size()) + " " + what +
                     " moments, or some of other shapes; one shaped as each of " +
                     std::to_string(kept ? values.size() : 0) + " parameters was expected");
}

/// Makes a fresh state's moments, and checks those of another.
void prepare(OptimizerState& state, Moments kind, const std::vector<Tensor>& values) {
  if (state.steps == 0) {
    state = {.kind = kind, .steps = 0, .first = {}, .second = {}};
    for (const Tensor& value : values) {
      if (kind != Moments::kNone) state.first.push_back(at::zeros_like(value));
      if (kind == Moments::kBoth) state.second.push_back(at::zeros_like(value));
    }
    return;
  }
  if (state.kind != kind) throw UsageError("the optimizer's state is that of another kind of optimizer");
  require_fitting("first", state.first, kind != Moments::kNone, values);
  require_fitting("second", state.second, kind == Moments::kBoth, values);
}

std::vector<Tensor> clones(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> copies;
  for (const Tensor& tensor : tensors) copies.push_back(tensor.clone());
  return copies;
}

}  // namespace

Moments OuterOptimizer::moments() const {
  if (kind != Kind::kSgd) return Moments::kBoth;
  return momentum > 0 ? Moments::kFirst : Moments::kNone;
}

std::vector<std::string> outer_optimizer_names() { return {"adam", "adamw", "sgd"}; }

OuterOptimizer outer_optimizer(const std::string& name, double momentum) {
  if (name == "adam") return {OuterOptimizer::Kind::kAdam, momentum};
  if (name == "adamw") return {OuterOptimizer::Kind::kAdamW, momentum};
  if (name == "sgd") return {OuterOptimizer::Kind::kSgd, momentum};
  throw UsageError(unknown_name("outer optimizer", name, outer_optimizer_names()));
}

OptimizerState OptimizerState::clone() const {
  return {.kind = kind, .steps = steps, .first = clones(first), .second = clones(second)};
}

void optimizer_step(const OuterOptimizer& optimizer, const std::vector<Tensor>& values,
                    const std::vector<Tensor>& gradients, const std::vector<StepSize>& sizes, OptimizerState& state) {
  TORCH_CHECK(gradients.size() == values.size() && sizes.size() == values.size(), values.size(), " values, ",
              gradients.size(), " gradients and ", sizes.size(), " step sizes, expected one each");
  const at::NoGradGuard no_grad;
  const bool fresh = state.steps == 0;
  prepare(state, optimizer.moments(), values);
  ++state.steps;
  const auto t = static_cast<double>(state.steps);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto [rate, decay] = sizes[i];
    Tensor value = values[i], g = gradients[i];
    if (optimizer.kind == OuterOptimizer::Kind::kAdamW) {
      if (decay != 0) value.mul_(1 - rate * decay);
    } else if (decay != 0) {
      g = g.add(value, decay);
    }
    switch (optimizer.moments()) {
      case Moments::kNone:
        value.add_(g, -rate);
        break;
      case Moments::kFirst:  // the first velocity is the gradient itself
        fresh ? state.first[i].copy_(g) : state.first[i].mul_(optimizer.momentum).add_(g);
        value.add_(state.first[i], -rate);
        break;
      case Moments::kBoth: {
        state.first[i].mul_(kBeta1).add_(g, 1 - kBeta1);
        state.second[i].mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
        const double correction1 = 1 - std::pow(kBeta1, t), correction2 = 1 - std::pow(kBeta2, t);
        const Tensor deviation = (state.second[i].sqrt() / std::sqrt(correction2)).add_(kEpsilon);
        value.addcdiv_(state.first[i], deviation, -(rate / correction1));
        break;
      }
    }
  }
}

}  // namespace fewatoms
