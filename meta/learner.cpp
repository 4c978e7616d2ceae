#include "meta/learner.h"

#include <algorithm>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

Order order_from_string(const std::string& name) {
  if (name == "first") return Order::kFirst;
  if (name == "second") return Order::kSecond;
  throw UsageError(unknown_name("order", name, {"first", "second"}));
}

NetworkOptions network_of(const LearnerOptions& options) {
  const std::vector<std::string> norms = {"batch", "running", "group", "layer", "none"};
  if (std::find(norms.begin(), norms.end(), options.norm) == norms.end()) throw UsageError(unknown_name("norm", options.norm, norms));
  NetworkOptions network = options.network;
  network.running_statistics = options.norm == "running";
  network.norm = options.norm == "running" ? "batch" : options.norm;
  return network;
}

}  // namespace

Learner::Learner(const LearnerOptions& options, ParameterSet& parameters)
    : options_(options), head_(head_from_string(options.head)), order_(order_from_string(options.order)) {
  TORCH_CHECK(parameters.size() == 0, "the parameter set must be empty");
  options_.network = network_of(options);
  backbone_ = make_backbone(options_.network, options.seed, parameters);
  if (backbone_->features() < 1) throw UsageError("images of " + std::to_string(options.network.image_size) + " pixels are too small");
  if (head_ == HeadKind::kLinear) {
    if (options.ways < 2) throw UsageError("ways is " + std::to_string(options.ways) + ", at least 2 are needed");
    constexpr double kDeviation = 0.01;  // small scores at the start; not zero, or nothing would reach the body
    head_weight_ = parameters.add(
        "head.weight", normal_tensor({options.ways, backbone_->features()}, kDeviation, options.seed, "head.weight"), Role::kHead);
    head_bias_ = parameters.add("head.bias", at::zeros({options.ways}), Role::kHead);
  }

  if (options.inner_steps < 0 || options.inner_steps > 1000)
    throw UsageError("inner steps is " + std::to_string(options.inner_steps) + ", 0 to 1000 is possible");
  adapted_ = Scope(options.scope).select(parameters);
  if (adapted_.empty() && options.inner_steps > 0)
    throw UsageError("scope '" + options.scope + "' adapts nothing, but inner steps is " + std::to_string(options.inner_steps) +
                     "; 0 was expected");
  if (!adapted_.empty()) {
    const RoleRates rates("inner rate", options.inner_lr);
    rates.require(roles_of(parameters, adapted_));
    for (const size_t i : adapted_) inner_rates_.push_back(rates[parameters[i].role]);
  }
  first_adapted_block_ = backbone_->first_block_with(adapted_);
}

Tensor Learner::linear_logits(const Tensor& features, const ParameterSet& parameters) const {
  return at::linear(features, parameters.tensor(head_weight_), parameters.tensor(head_bias_));
}

int64_t convolution_weights(const ParameterSet& parameters) {
  int64_t sum = 0;
  for (const auto& [role, count] : parameters.count())
    if (role == Role::kKernel || role == Role::kCoefficient || role == Role::kAtom) sum += count;
  return sum;
}

}  // namespace fewatoms
