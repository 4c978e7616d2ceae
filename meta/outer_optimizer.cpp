#include "meta/outer_optimizer.h"

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

template <class State>
State& state_of(torch::optim::Optimizer& optimizer, const Tensor& value) {
  auto& slot = optimizer.state()[c10::guts::to_string(value.unsafeGetTensorImpl())];
  if (!slot) slot = std::make_unique<State>();
  return static_cast<State&>(*slot);
}

/// Options with a weight decay for each tensor, one group each.
template <class Options>
std::vector<torch::optim::OptimizerParamGroup> groups_of(const std::vector<Tensor>& values,
                                                         const std::vector<double>& weight_decay,
                                                         const Options& options) {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (size_t i = 0; i < values.size(); ++i)
    groups.emplace_back(std::vector<Tensor>{values[i]},
                        std::make_unique<Options>(Options(options).weight_decay(weight_decay[i])));
  return groups;
}

template <class State>
void take(torch::optim::Optimizer& optimizer, const std::vector<Tensor>& values, std::vector<Tensor>& first,
          std::vector<Tensor>& second) {
  for (const Tensor& value : values) {
    const State& slot = state_of<State>(optimizer, value);
    first.push_back(slot.exp_avg().clone());
    second.push_back(slot.exp_avg_sq().clone());
  }
}

template <class State>
void put(torch::optim::Optimizer& optimizer, const std::vector<Tensor>& values, const std::vector<Tensor>& first,
         const std::vector<Tensor>& second, int64_t steps) {
  for (size_t i = 0; i < values.size(); ++i) {
    State& slot = state_of<State>(optimizer, values[i]);
    slot.step(steps);
    slot.exp_avg(first[i].clone());
    slot.exp_avg_sq(second[i].clone());
  }
}

}  // namespace

OuterOptimizer::OuterOptimizer(const std::string& name, const std::vector<Tensor>& values,
                               const std::vector<double>& weight_decay, double momentum)
    : momentum_(momentum), values_(values) {
  using namespace torch::optim;
  if (name == "adam") {
    kind_ = Kind::kAdam;
    optimizer_ = std::make_unique<Adam>(groups_of(values, weight_decay, AdamOptions(1e-3)), AdamOptions(1e-3));
  } else if (name == "adamw") {
    kind_ = Kind::kAdamW;
    optimizer_ = std::make_unique<AdamW>(groups_of(values, weight_decay, AdamWOptions(1e-3)), AdamWOptions(1e-3));
  } else if (name == "sgd") {
    kind_ = Kind::kSgd;
    const SGDOptions options = SGDOptions(1e-3).momentum(momentum);
    optimizer_ = std::make_unique<SGD>(groups_of(values, weight_decay, options), options);
  } else {
    throw UsageError(unknown_name("outer optimizer", name, outer_optimizer_names()));
  }
}

OuterOptimizer::~OuterOptimizer() = default;

void OuterOptimizer::step(const std::vector<double>& rates) {
  for (size_t i = 0; i < rates.size(); ++i) optimizer_->param_groups()[i].options().set_lr(rates[i]);
  optimizer_->step();
}

void OuterOptimizer::take_state(std::vector<Tensor>& first, std::vector<Tensor>& second) const {
  if (kind_ == Kind::kAdam) take<torch::optim::AdamParamState>(*optimizer_, values_, first, second);
  if (kind_ == Kind::kAdamW) take<torch::optim::AdamWParamState>(*optimizer_, values_, first, second);
  if (kind_ == Kind::kSgd && momentum_ > 0)
    for (const Tensor& value : values_)
      first.push_back(state_of<torch::optim::SGDParamState>(*optimizer_, value).momentum_buffer().clone());
}

void OuterOptimizer::put_state(const std::vector<Tensor>& first, const std::vector<Tensor>& second, int64_t steps) {
  if (first.empty()) return;
  if (kind_ == Kind::kAdam) put<torch::optim::AdamParamState>(*optimizer_, values_, first, second, steps);
  if (kind_ == Kind::kAdamW) put<torch::optim::AdamWParamState>(*optimizer_, values_, first, second, steps);
  if (kind_ == Kind::kSgd)
    for (size_t i = 0; i < values_.size(); ++i)
      state_of<torch::optim::SGDParamState>(*optimizer_, values_[i]).momentum_buffer(first[i].clone());
}

std::vector<std::string> outer_optimizer_names() { return {"adam", "adamw", "sgd"}; }

}  // namespace fewatoms
