// Depthwise separable convolution: a k x k kernel per input channel, then a 1x1 mix (Chollet 2017; Howard et al. 2017).

#include <cmath>

#include "backbones/convolution.h"
#include "backbones/kernels/conv2d.h"

namespace fewatoms {
namespace {

class SeparableConvolution final : public Convolution {
 public:
  SeparableConvolution(const ConvLayer& layer, size_t depthwise, size_t pointwise)
      : Convolution(layer), depthwise_(depthwise), pointwise_(pointwise) {}

  Tensor forward(const Tensor& x, const Context& context) const override {
    const Tensor each =
        at::conv2d(x, context.parameters.tensor(depthwise_), {}, shape().stride, shape().padding, 1, shape().in);
    return conv2d(each, context.parameters.tensor(pointwise_), 1, 0);
  }
  Tensor kernel(const Context& context) const override {
    return context.parameters.tensor(pointwise_) * context.parameters.tensor(depthwise_).transpose(0, 1);
  }
  std::vector<size_t> parameters() const override { return {depthwise_, pointwise_}; }
  void describe(std::vector<LayerInfo>& layers) const override {
    LayerInfo own = info("separable");
    const int64_t pixels = int64_t{shape().out_size()} * shape().out_size();
    own.fewest_multiply_adds = pixels * shape().in * (int64_t{shape().kernel} * shape().kernel + shape().out);
    layers.push_back(std::move(own));
  }

 private:
  size_t depthwise_;  // [in, 1, k, k]
  size_t pointwise_;  // [out, in, 1, 1]: what layers may share
};

}  // namespace

std::vector<ConvolutionPtr> make_separable(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                           Schema& schema) {
  SharedTensors shared(layers, options);
  std::vector<ConvolutionPtr> made;
  for (size_t l = 0; l < layers.size(); ++l) {
    const ConvLayer& layer = layers[l];
    if (layer.kernel == 1 || stays_plain(layer, options)) {  // a 1x1 convolution is its own mix
      made.push_back(make_plain(layer, schema.add(plain_kernel(layer))));
      continue;
    }
    // The variances' product is He's: k^2 in numbers of 1 / k^2 and 2 / in.
    const size_t depthwise = schema.add({.name = layer.name + ".depthwise",
                                         .shape = {layer.in, 1, layer.kernel, layer.kernel},
                                         .role = Role::kKernel,
                                         .start = normal_start(1.0 / layer.kernel)});
    const size_t pointwise = shared.add(l,
                                        {.name = layer.name + ".pointwise",
                                         .shape = {layer.out, layer.in, 1, 1},
                                         .role = Role::kKernel,
                                         .start = normal_start(std::sqrt(2.0 / layer.in))},
                                        schema);
    made.push_back(std::make_shared<SeparableConvolution>(layer, depthwise, pointwise));
  }
  return made;
}

}  // namespace fewatoms
