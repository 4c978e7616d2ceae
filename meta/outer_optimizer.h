#pragma once

#include <string>
#include <vector>

#include <torch/types.h>

namespace fewatoms {

using torch::Tensor;

/// What an optimizer keeps of the gradients that it has seen.
enum class Moments {
  kNone,   // nothing: plain sgd
  kFirst,  // sgd with momentum: the velocity
  kBoth,   // adam, adamw: running means of the gradients and of their squares
};

/// Which steps the outer loop takes.
struct OuterOptimizer {
  enum class Kind { kAdam, kAdamW, kSgd } kind = Kind::kAdam;
  double momentum = 0;  // of sgd, 0 to less than 1

  Moments moments() const;
};

/// adam (Kingma, Ba 2015), adamw (decay apart from the gradient; Loshchilov, Hutter 2019) or sgd. Throws UsageError on
/// another name, offering the nearest.
OuterOptimizer outer_optimizer(const std::string& name, double momentum);
std::vector<std::string> outer_optimizer_names();

/// What an optimizer carries from step to step: plain data that knows its kind.
struct OptimizerState {
  Moments kind = Moments::kNone;
  int64_t steps = 0;           // taken so far; Adam corrects its means by it
  std::vector<Tensor> first;   // one per value, shaped as it; empty before the first step and where `kind` has none
  std::vector<Tensor> second;  // the same

  /// A copy that shares no memory with this one.
  OptimizerState clone() const;
};

/// What one value takes a step with.
struct StepSize {
  double rate = 0;          // > 0
  double weight_decay = 0;  // L2, >= 0
};

/// One step of every value along its gradient, in place, with the arithmetic of PyTorch's optimizers of the same name
/// (Adam: betas 0.9 and 0.999, epsilon 1e-8), bit for bit. `state` is a fresh one, or what earlier steps of the same
/// optimizer on the same values left. Throws UsageError if it is of another kind or of other shapes.
void optimizer_step(const OuterOptimizer& optimizer, const std::vector<Tensor>& values,
                    const std::vector<Tensor>& gradients, const std::vector<StepSize>& sizes, OptimizerState& state);

}  // namespace fewatoms
