// Depthwise separable convolution: a k x k kernel per input channel, then a 1x1 mix (Chollet 2017; Howard et al. 2017).

#include <cmath>

#include "backbones/convolution.h"
#include "backbones/kernels/conv2d.h"

namespace fewatoms {
namespace {

class SeparableConvolution final : public Convolution {
 public:
  SeparableConvolution(const ConvLayer& layer, size_t depthwise, size_t pointwise)
      : layer_(layer), depthwise_(depthwise), pointwise_(pointwise) {}

  Tensor forward(const Tensor& x, const ParameterSet& parameters) const override {
    const Tensor each = at::conv2d(x, parameters.tensor(depthwise_), {}, layer_.stride, layer_.padding, 1, layer_.in);
    return conv2d(each, parameters.tensor(pointwise_), 1, 0);
  }
  Tensor kernel(const ParameterSet& parameters) const override {
    return parameters.tensor(pointwise_) * parameters.tensor(depthwise_).transpose(0, 1);
  }
  std::vector<size_t> parameters() const override { return {depthwise_, pointwise_}; }

 private:
  ConvLayer layer_;
  size_t depthwise_;  // [in, 1, k, k]
  size_t pointwise_;  // [out, in, 1, 1]
};

}  // namespace

std::vector<std::unique_ptr<Convolution>> make_separable(const std::vector<ConvLayer>& layers,
                                                         const ConvOptions& options, uint64_t seed,
                                                         ParameterSet& parameters) {
  std::vector<std::unique_ptr<Convolution>> made;
  for (const ConvLayer& layer : layers) {
    if (layer.kernel == 1 || stays_plain(layer, options)) {  // a 1x1 convolution is its own mix
      made.push_back(make_plain(layer, seed, parameters));
      continue;
    }
    // The variances' product is He's: k^2 in numbers of 1 / k^2 and 2 / in.
    const std::string depthwise = layer.name + ".depthwise", pointwise = layer.name + ".pointwise";
    const size_t first = parameters.add(
        depthwise, normal_tensor({layer.in, 1, layer.kernel, layer.kernel}, 1.0 / layer.kernel, seed, depthwise),
        Role::kKernel);
    const size_t second = parameters.add(
        pointwise, normal_tensor({layer.out, layer.in, 1, 1}, std::sqrt(2.0 / layer.in), seed, pointwise),
        Role::kKernel);
    made.push_back(std::make_unique<SeparableConvolution>(layer, first, second));
  }
  return made;
}

}  // namespace fewatoms
