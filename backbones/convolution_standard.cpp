#include <cmath>

#include "backbones/convolution.h"
#include "backbones/kernels/conv2d.h"

namespace fewatoms {
namespace {

class PlainConvolution final : public Convolution {
 public:
  PlainConvolution(const ConvLayer& layer, size_t kernel) : layer_(layer), kernel_(kernel) {}

  Tensor forward(const Tensor& x, const ParameterSet& parameters) const override {
    return conv2d(x, parameters.tensor(kernel_), layer_.stride, layer_.padding);
  }
  Tensor kernel(const ParameterSet& parameters) const override { return parameters.tensor(kernel_); }
  std::vector<size_t> parameters() const override { return {kernel_}; }

 private:
  ConvLayer layer_;
  size_t kernel_;
};

}  // namespace

std::unique_ptr<Convolution> make_plain(const ConvLayer& layer, uint64_t seed, ParameterSet& parameters) {
  const std::string name = layer.name + ".kernel";
  const int fan_in = layer.in * layer.kernel * layer.kernel;
  const Tensor kernel =
      normal_tensor({layer.out, layer.in, layer.kernel, layer.kernel}, std::sqrt(2.0 / fan_in), seed, name);
  return std::make_unique<PlainConvolution>(layer, parameters.add(name, kernel, Role::kKernel));
}

std::vector<std::unique_ptr<Convolution>> make_standard(const std::vector<ConvLayer>& layers, const ConvOptions&,
                                                        uint64_t seed, ParameterSet& parameters) {
  std::vector<std::unique_ptr<Convolution>> made;
  for (const ConvLayer& layer : layers) made.push_back(make_plain(layer, seed, parameters));
  return made;
}

}  // namespace fewatoms
