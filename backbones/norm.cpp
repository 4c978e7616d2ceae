#include "backbones/norm.h"

#include <algorithm>
#include <map>

#include "backbones/backbone.h"

namespace fewatoms {
namespace {

/// As many groups of equal size as there can be with 16 channels or more each (Wu, He 2018, table 3); small groups of
/// channels would lose everything on a map of one pixel.
int64_t norm_groups(int64_t channels) {
  constexpr int64_t kLeastChannels = 16;
  int64_t groups = std::max<int64_t>(1, channels / kLeastChannels);
  while (channels % groups != 0) --groups;
  return groups;
}

}  // namespace

Norm::Norm(const std::string& name, int channels, const NetworkOptions& options, Schema& schema)
    : scale_(schema.add({name + ".scale", {channels}, Role::kNorm, constant_start(1)})),
      shift_(schema.add({name + ".shift", {channels}, Role::kNorm, constant_start(0)})),
      running_(options.running_statistics && options.norm == "batch"),
      channels_(channels),
      name_(name),
      kind_(options.norm) {
  if (!running_) return;
  mean_ = schema.add({name + ".mean", {channels}, Role::kStatistic, constant_start(0)});
  variance_ = schema.add({name + ".variance", {channels}, Role::kStatistic, constant_start(1)});
}

template <class F>
Tensor Norm::with_statistics(const Context& context, double count, F&& f) const {
  if (context.pass.norm == NormMode::kRunning) {
    TORCH_CHECK(running_, "this network keeps no running statistics");
    const NormStatistics running{context.parameters.tensor(mean_), context.parameters.tensor(variance_)};
    return f(&running, nullptr);
  }
  NormStatistics own;
  const bool report = running_ && context.updates != nullptr;
  Tensor y = f(nullptr, report ? &own : nullptr);
  if (report)
    context.updates->push_back({mean_, variance_, own.mean, own.variance * (count / std::max(1.0, count - 1))});
  return y;
}

Tensor Norm::by_image(const Tensor& x, const ParameterSet& parameters) const {
  const auto by_channel = [](const Tensor& t) { return t.view({1, -1, 1, 1}); };
  Tensor y = x;
  if (kind_ != "none") {
    const int64_t groups = kind_ == "layer" ? 1 : norm_groups(x.size(1));
    const Tensor grouped = x.contiguous().view({x.size(0), groups, -1});
    const Tensor centred = grouped - grouped.mean(2, /*keepdim=*/true);
    y = (centred * ((centred * centred).mean(2, /*keepdim=*/true) + kNormEpsilon).rsqrt()).view(x.sizes());
  }
  return y * by_channel(parameters.tensor(scale_)) + by_channel(parameters.tensor(shift_));
}

Tensor Norm::forward(const Tensor& x, const Context& context) const {
  const ParameterSet& p = context.parameters;
  if (!is_batch()) return by_image(x, p);
  const double count = static_cast<double>(x.numel() / x.size(1));
  return with_statistics(context, count, [&](const NormStatistics* given, NormStatistics* own) {
    return batch_norm(x, p.tensor(scale_), p.tensor(shift_), given, own);
  });
}

Tensor Norm::relu_pool(const Tensor& x, const Context& context) const {
  const ParameterSet& p = context.parameters;
  const double count = static_cast<double>(x.numel() / x.size(1));
  return with_statistics(context, count, [&](const NormStatistics* given, NormStatistics* own) {
    return norm_relu_pool(x, p.tensor(scale_), p.tensor(shift_), given, own);
  });
}

Tensor Norm::relu_pool(const StemImages& images, const Tensor& kernel, const Context& context) const {
  const ParameterSet& p = context.parameters;
  return with_statistics(context, images.pixels(), [&](const NormStatistics* given, NormStatistics* own) {
    return stem_norm_relu_pool(images, kernel, p.tensor(scale_), p.tensor(shift_), given, own);
  });
}

std::string Norm::torch_script(const std::string& x, NormMode mode) const {
  const std::string self = "self." + name_, weights = self + ".weight, " + self + ".bias";
  if (kind_ == "none") return x + " * " + self + ".weight.view([1, -1, 1, 1]) + " + self + ".bias.view([1, -1, 1, 1])";
  if (kind_ != "batch") {
    const int64_t groups = kind_ == "layer" ? 1 : norm_groups(channels_);
    return "torch.group_norm(" + x + ", " + std::to_string(groups) + ", " + weights + ", 1e-5, False)";
  }
  const std::string statistics =
      mode == NormMode::kRunning ? self + ".running_mean, " + self + ".running_var, False" : "None, None, True";
  return "torch.batch_norm(" + x + ", " + weights + ", " + statistics + ", 0.0, 1e-5, False)";
}

ParameterSet merge_statistics(const ParameterSet& parameters, const std::vector<StatisticUpdate>& updates,
                              double momentum) {
  std::map<size_t, Tensor> moved;
  const auto now = [&](size_t index) {
    const auto found = moved.find(index);
    return found == moved.end() ? parameters.tensor(index) : found->second;
  };
  for (const StatisticUpdate& update : updates) {  // each from where the one before has left the statistic
    const Tensor mean = now(update.mean_index) * (1 - momentum) + update.mean * momentum;
    const Tensor variance = now(update.variance_index) * (1 - momentum) + update.variance * momentum;
    moved[update.mean_index] = mean;
    moved[update.variance_index] = variance;
  }
  std::vector<size_t> indices;
  std::vector<Tensor> values;
  for (const auto& [index, value] : moved) {
    indices.push_back(index);
    values.push_back(value);
  }
  return parameters.with(indices, values);
}

}  // namespace fewatoms
