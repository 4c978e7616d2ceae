#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

namespace torch::optim {
class Optimizer;
}

namespace fewatoms {

using torch::Tensor;

/// LibTorch's optimizers behind one interface: a rate for each tensor, and a state that can be taken out and put back.
class OuterOptimizer {
 public:
  /// `name` is adam, adamw (decay apart from the gradient; Loshchilov, Hutter 2019) or sgd (with `momentum`, 0: plain).
  /// `weight_decay` has a number for each of `values`, which it will change in place. Throws UsageError on another
  /// name.
  OuterOptimizer(const std::string& name, const std::vector<Tensor>& values, const std::vector<double>& weight_decay,
                 double momentum);
  ~OuterOptimizer();

  /// One step along the values' gradients.
  void step(const std::vector<double>& rates);

  /// Moments after one step or more: both of adam and adamw, the first alone of sgd with momentum, none of plain sgd.
  void take_state(std::vector<Tensor>& first_moment, std::vector<Tensor>& second_moment) const;
  void put_state(const std::vector<Tensor>& first_moment, const std::vector<Tensor>& second_moment, int64_t steps);

 private:
  enum class Kind { kAdam, kAdamW, kSgd } kind_;
  double momentum_;
  std::vector<Tensor> values_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

std::vector<std::string> outer_optimizer_names();

}  // namespace fewatoms
