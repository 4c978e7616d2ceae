// Conv-4: four blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling (Vinyals et al. 2016; Finn et al. 2017).

#include "backbones/backbone.h"

namespace fewatoms {
namespace {

constexpr int kBlocks = 4;

class Conv4 final : public Backbone {
 public:
  Conv4(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) : mean_pool_(options.pool == "mean") {
    std::vector<ConvLayer> layers;
    for (int block = 0; block < kBlocks; ++block)
      layers.push_back({.name = "block" + std::to_string(block + 1) + ".conv",
                        .in = block == 0 ? options.channels : options.width,
                        .out = options.width,
                        .block = block,
                        .plain = block == 0});
    convolutions_ = make_convolutions(layers, options.conv, seed, parameters);
    for (int block = 0; block < kBlocks; ++block)
      norms_.emplace_back("block" + std::to_string(block + 1) + ".norm", options.width, options, parameters);
    const int64_t size = options.image_size >> kBlocks;  // each pooling halves, rounding down
    features_ = options.width * (mean_pool_ ? 1 : size * size);
  }

  int blocks() const override { return kBlocks; }
  int64_t features() const override { return features_; }

  std::vector<size_t> block_parameters(int block) const override {
    std::vector<size_t> indices = convolutions_[block]->parameters();
    for (const size_t index : norms_[block].parameters()) indices.push_back(index);
    return indices;
  }

  Activations forward(const Tensor& x, const ParameterSet& parameters, int first, int last, NormMode norm) const override {
    Activations result{x, {}};
    for (int block = first; block < last; ++block) {
      result.x = convolutions_[block]->forward(result.x, parameters);
      result.x = norms_[block].relu_pool(result.x, parameters, norm, result.updates);
    }
    if (first < kBlocks && last == kBlocks)
      result.x = mean_pool_ ? result.x.mean(at::IntArrayRef{2, 3}) : result.x.contiguous().flatten(1);
    return result;
  }

 private:
  std::vector<std::unique_ptr<Convolution>> convolutions_;
  std::vector<Norm> norms_;
  int64_t features_ = 0;
  bool mean_pool_;
};

}  // namespace

std::unique_ptr<Backbone> make_conv4(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  return std::make_unique<Conv4>(options, seed, parameters);
}

}  // namespace fewatoms
