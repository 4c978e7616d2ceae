#include "backbones/backbone.h"

#include <algorithm>

#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Backbone> (*make)(const NetworkOptions&, uint64_t seed, ParameterSet&);
};
constexpr Entry kBackbones[] = {
    {"conv4", make_conv4},
    {"conv6", make_conv6},
    {"resnet10", make_resnet10},
    {"resnet12", make_resnet12},
    {"resnet12-basic", make_resnet12_basic},
    {"resnet18", make_resnet18},
};

void require_range(const char* what, int value, int low, int high) {
  if (value < low || value > high)
    throw UsageError(std::string(what) + " is " + std::to_string(value) + ", " + std::to_string(low) + " to " +
                     std::to_string(high) + " is possible");
}

}  // namespace

std::vector<std::string> backbone_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackbones) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Backbone> make_backbone(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  require_range("width", options.width, 1, 1024);
  require_range("image size", options.image_size, 28, 224);
  if (options.channels != 1 && options.channels != 3)
    throw UsageError("channels is " + std::to_string(options.channels) + ", 1 (grey) or 3 (RGB) is possible");
  if (options.pool != "flatten" && options.pool != "mean")
    throw UsageError(unknown_name("pool", options.pool, {"flatten", "mean"}));
  if (options.norm != "batch" && options.norm != "group" && options.norm != "layer" && options.norm != "none")
    throw UsageError(unknown_name("norm", options.norm, {"batch", "group", "layer", "none"}));
  if (!(options.drop_rate >= 0 && options.drop_rate <= 0.9))
    throw UsageError("drop rate is " + number_text(options.drop_rate) + ", 0 to 0.9 is possible");
  if (options.drop_rate > 0 && options.backbone != "resnet12")
    throw UsageError("drop rate is " + number_text(options.drop_rate) + ", but backbone '" + options.backbone +
                     "' has no DropBlock; resnet12 has");
  for (const Entry& entry : kBackbones)
    if (options.backbone == entry.name) return entry.make(options, seed, parameters);
  throw UsageError(unknown_name("backbone", options.backbone, backbone_names()));
}

int Backbone::first_block_with(const std::vector<size_t>& indices) const {
  for (int block = 0; block < blocks(); ++block)
    for (const size_t used : block_parameters(block))
      if (std::find(indices.begin(), indices.end(), used) != indices.end()) return block;
  return blocks();
}

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

Norm::Norm(const std::string& name, int channels, const NetworkOptions& options, ParameterSet& parameters)
    : scale_(parameters.add(name + ".scale", at::ones({channels}), Role::kNorm)),
      shift_(parameters.add(name + ".shift", at::zeros({channels}), Role::kNorm)),
      running_(options.running_statistics && options.norm == "batch"),
      channels_(channels),
      name_(name),
      kind_(options.norm),
      kernels_(options.kernels) {
  if (!running_) return;
  mean_ = parameters.add(name + ".mean", at::zeros({channels}), Role::kStatistic);
  variance_ = parameters.add(name + ".variance", at::ones({channels}), Role::kStatistic);
}

template <class F>
Tensor Norm::with_statistics(const ParameterSet& parameters, NormMode mode, double count,
                             std::vector<StatisticUpdate>& updates, F&& f) const {
  if (mode == NormMode::kRunning) {
    TORCH_CHECK(running_, "this network keeps no running statistics");
    const NormStatistics running{parameters.tensor(mean_), parameters.tensor(variance_)};
    return f(&running, nullptr);
  }
  NormStatistics own;
  Tensor y = f(nullptr, running_ ? &own : nullptr);
  if (running_) updates.push_back({mean_, variance_, own.mean, own.variance * (count / std::max(1.0, count - 1))});
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

Tensor Norm::apply(const Tensor& x, const ParameterSet& parameters, NormMode mode,
                   std::vector<StatisticUpdate>& updates) const {
  if (kind_ != "batch") return by_image(x, parameters);
  const double count = static_cast<double>(x.numel() / x.size(1));
  return with_statistics(parameters, mode, count, updates, [&](const NormStatistics* given, NormStatistics* own) {
    return batch_norm(x, parameters.tensor(scale_), parameters.tensor(shift_), given, own);
  });
}

Tensor Norm::relu_pool(const Tensor& x, const ParameterSet& parameters, NormMode mode,
                       std::vector<StatisticUpdate>& updates) const {
  if (kind_ != "batch") {
    const Tensor y = by_image(x, parameters);
    return kernels_ == "smooth" ? at::avg_pool2d(at::softplus(y), {2, 2}) : at::max_pool2d(y.relu(), {2, 2});
  }
  const auto apply = kernels_ == "reference" ? norm_relu_pool_reference
                     : kernels_ == "smooth"  ? norm_softplus_pool
                                             : norm_relu_pool;
  const double count = static_cast<double>(x.numel() / x.size(1));
  return with_statistics(parameters, mode, count, updates, [&](const NormStatistics* given, NormStatistics* own) {
    return apply(x, parameters.tensor(scale_), parameters.tensor(shift_), given, own);
  });
}

Tensor Norm::relu_pool(const StemImages& images, const Tensor& kernel, const ParameterSet& parameters, NormMode mode,
                       std::vector<StatisticUpdate>& updates) const {
  return with_statistics(
      parameters, mode, images.pixels(), updates, [&](const NormStatistics* given, NormStatistics* own) {
        return stem_norm_relu_pool(images, kernel, parameters.tensor(scale_), parameters.tensor(shift_), given, own);
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
  std::vector<size_t> indices;
  std::vector<Tensor> values;
  for (const StatisticUpdate& update : updates) {
    indices.insert(indices.end(), {update.mean_index, update.variance_index});
    values.push_back(parameters.tensor(update.mean_index) * (1 - momentum) + update.mean * momentum);
    values.push_back(parameters.tensor(update.variance_index) * (1 - momentum) + update.variance * momentum);
  }
  return parameters.with(indices, values);
}

}  // namespace fewatoms
