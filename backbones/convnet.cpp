// Conv-4: four blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling (Vinyals et al. 2016; Finn et al. 2017).
// Conv-6: two more, without pooling (Chen et al. 2019).

#include "backbones/backbone.h"

namespace fewatoms {
namespace {

constexpr int kPooled = 4;  // blocks with pooling

class ConvNet final : public Backbone {
 public:
  ConvNet(int blocks, const NetworkOptions& options, uint64_t seed, ParameterSet& parameters)
      : width_(options.width), norm_(options.norm), kernels_(options.kernels), mean_pool_(options.pool == "mean") {
    for (int block = 0; block < blocks; ++block)
      layers_.push_back({.name = "block" + std::to_string(block + 1) + ".conv",
                         .in = block == 0 ? options.channels : options.width,
                         .out = options.width,
                         .block = block,
                         .size = options.image_size >> std::min(block, kPooled),  // each pooling halves, rounding down
                         .stem = block == 0});
    convolutions_ = make_convolutions(layers_, options.conv, seed, parameters);
    for (int block = 0; block < blocks; ++block)
      norms_.emplace_back("block" + std::to_string(block + 1) + ".norm", options.width, options, parameters);
    const int64_t size = options.image_size >> kPooled;
    features_ = options.width * (mean_pool_ ? 1 : size * size);
  }

  int blocks() const override { return static_cast<int>(layers_.size()); }
  int64_t features() const override { return features_; }
  const std::vector<ConvLayer>& layers() const override { return layers_; }

  std::string torch_script(NormMode norm) const override {
    std::string text;
    for (int block = 0; block < blocks(); ++block) {
      const std::string y = "torch.relu(" + norms_[block].torch_script(layers_[block].torch_script("x"), norm) + ")";
      text += "x = " + (block < kPooled ? "torch.max_pool2d(" + y + ", [2, 2])" : y) + "\n";
    }
    return text + (mean_pool_ ? "x = torch.mean(x, [2, 3])\n" : "x = torch.flatten(x, 1)\n");
  }

  std::vector<size_t> block_parameters(int block) const override {
    std::vector<size_t> indices = convolutions_[block]->parameters();
    for (const size_t index : norms_[block].parameters()) indices.push_back(index);
    return indices;
  }

  BlockInput prepare(const Tensor& x, const ParameterSet& parameters, int block,
                     const std::vector<size_t>& adapted) const override {
    BlockInput input(x);
    if (block == 0 && fits_stem(x))
      input.stem = stem_images(x);
    else if (block < blocks() && kernels_ != "reference")
      input.maps = convolutions_[block]->prepare(x, parameters, adapted);
    return input;
  }

  Activations forward(const BlockInput& input, const ParameterSet& parameters, int first, int last,
                      const Pass& pass) const override {
    Activations result{input.x, {}};
    for (int block = first; block < last; ++block) {
      const Convolution& convolution = *convolutions_[block];
      if (block == 0 && fits_stem(input.x)) {
        const StemImages images = input.stem.defined() ? input.stem : stem_images(input.x);
        result.x = norms_[0].relu_pool(images, convolution.kernel(parameters), parameters, pass.norm, result.updates);
        continue;
      }
      const bool prepared = block == first && input.maps.defined();
      result.x = prepared ? convolution.forward(input.maps, parameters) : convolution.forward(result.x, parameters);
      if (block < kPooled)
        result.x = norms_[block].relu_pool(result.x, parameters, pass.norm, result.updates);
      else
        result.x = activation(norms_[block].apply(result.x, parameters, pass.norm, result.updates));
    }
    if (first < blocks() && last == blocks())
      result.x = mean_pool_ ? result.x.mean(at::IntArrayRef{2, 3}) : result.x.contiguous().flatten(1);
    return result;
  }

 private:
  bool fits_stem(const Tensor& images) const {
    return kernels_ == "fused" && norm_ == "batch" && stem_fits(images, width_);
  }
  Tensor activation(const Tensor& x) const { return kernels_ == "smooth" ? at::softplus(x) : x.relu(); }

  std::vector<ConvLayer> layers_;
  std::vector<std::unique_ptr<Convolution>> convolutions_;
  std::vector<Norm> norms_;
  int width_;
  std::string norm_, kernels_;
  int64_t features_ = 0;
  bool mean_pool_;
};

}  // namespace

std::unique_ptr<Backbone> make_conv4(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  return std::make_unique<ConvNet>(4, options, seed, parameters);
}
std::unique_ptr<Backbone> make_conv6(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  return std::make_unique<ConvNet>(6, options, seed, parameters);
}

}  // namespace fewatoms
