#include <cmath>

#include "backbones/convolution.h"
#include "backbones/kernels/conv2d.h"

namespace fewatoms {
namespace {

class PlainConvolution final : public Convolution {
 public:
  PlainConvolution(const ConvLayer& layer, size_t kernel) : Convolution(layer), kernel_(kernel) {}

  Tensor forward(const Tensor& x, const Context& context) const override {
    return conv2d(x, kernel(context), shape().stride, shape().padding);
  }
  Tensor kernel(const Context& context) const override { return context.parameters.tensor(kernel_); }
  std::vector<size_t> parameters() const override { return {kernel_}; }
  void describe(std::vector<LayerInfo>& layers) const override { layers.push_back(info("standard")); }

 private:
  size_t kernel_;
};

}  // namespace

ParameterSpec plain_kernel(const ConvLayer& layer) {
  const int fan_in = layer.in * layer.kernel * layer.kernel;
  return {.name = layer.name + ".kernel",
          .shape = {layer.out, layer.in, layer.kernel, layer.kernel},
          .role = Role::kKernel,
          .start = normal_start(std::sqrt(2.0 / fan_in))};
}

ConvolutionPtr make_plain(const ConvLayer& layer, size_t index) {
  return std::make_shared<PlainConvolution>(layer, index);
}

std::vector<ConvolutionPtr> make_standard(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                          Schema& schema) {
  SharedTensors shared(layers, options);
  std::vector<ConvolutionPtr> made;
  for (size_t l = 0; l < layers.size(); ++l)
    made.push_back(make_plain(layers[l], shared.add(l, plain_kernel(layers[l]), schema)));
  return made;
}

}  // namespace fewatoms
