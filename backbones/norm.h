#pragma once

#include <string>

#include "backbones/kernels/stem.h"
#include "backbones/layer.h"

namespace fewatoms {

struct NetworkOptions;

/// One norm layer: scale, shift and, if kept, running statistics. Batch norm (Ioffe, Szegedy 2015), group norm (Wu, He
/// 2018), layer norm over channels and pixels, or scale and shift alone.
class Norm final : public Layer {
 public:
  Norm(const std::string& name, int channels, const NetworkOptions& options, Schema& schema);

  /// The norm alone.
  Tensor forward(const Tensor& x, const Context& context) const override;
  std::vector<size_t> parameters() const override { return {scale_, shift_}; }
  std::string torch_script(const std::string& x, NormMode mode) const override;

  /// Whether it is batch norm, which the two fused kernels below do.
  bool is_batch() const { return kind_ == "batch"; }
  /// Norm, ReLU and 2x2 max-pooling of x [N, C, H, W].
  Tensor relu_pool(const Tensor& x, const Context& context) const;
  /// The same of the convolution of images with a kernel [C, in, 3, 3].
  Tensor relu_pool(const StemImages& images, const Tensor& kernel, const Context& context) const;

 private:
  /// Calls f(given statistics, own statistics), either of which may be null, and reports the own ones of `count`
  /// pixels.
  template <class F>
  Tensor with_statistics(const Context& context, double count, F&& f) const;

  /// Group, layer or no norm.
  Tensor by_image(const Tensor& x, const ParameterSet& parameters) const;

  size_t scale_, shift_, mean_ = 0, variance_ = 0;
  bool running_;
  int channels_;
  std::string name_, kind_;
};

/// Running statistics moved towards what passes found, one after the other: (1 - momentum) * old + momentum * new
/// (Ioffe, Szegedy 2015). An update whose two indices are the same moves that statistic once.
ParameterSet merge_statistics(const ParameterSet& parameters, const std::vector<StatisticUpdate>& updates,
                              double momentum = 0.1);

}  // namespace fewatoms
