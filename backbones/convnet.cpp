// Conv-4: four blocks of 3x3 convolution, batch norm, ReLU and 2x2 max-pooling (Vinyals et al. 2016; Finn et al. 2017).
// Conv-6: two more, without pooling (Chen et al. 2019).

#include "backbones/backbone.h"
#include "backbones/layers.h"

namespace fewatoms {
namespace {

constexpr int kPooled = 4;  // blocks with pooling

std::unique_ptr<Backbone> make_convnet(int count, const NetworkOptions& options, Schema& schema) {
  std::vector<ConvLayer> layers;
  for (int block = 0; block < count; ++block)
    layers.push_back({.name = "block" + std::to_string(block + 1) + ".conv",
                      .in = block == 0 ? options.channels : options.width,
                      .out = options.width,
                      .block = block,
                      .size = options.image_size >> std::min(block, kPooled),  // each pooling halves, rounding down
                      .stem = block == 0});
  auto convolutions = make_convolutions(layers, options.conv, schema);

  const bool smooth = options.kernels == "smooth", mean = options.pool == "mean";
  std::vector<Sequence> blocks;
  for (int block = 0; block < count; ++block) {
    const std::string name = "block" + std::to_string(block + 1) + ".norm";
    std::vector<LayerPtr> parts = {convolutions[block], std::make_shared<Norm>(name, options.width, options, schema),
                                   make_activation(0, smooth)};
    if (block < kPooled) parts.push_back(make_pool({}, smooth));
    if (block + 1 == count) parts.push_back(make_features(mean));
    blocks.emplace_back(std::move(parts));
  }
  const int64_t size = options.image_size >> kPooled;
  return std::make_unique<Backbone>(options, std::move(blocks), std::move(convolutions),
                                    options.width * (mean ? 1 : size * size));
}

}  // namespace

std::unique_ptr<Backbone> make_conv4(const NetworkOptions& options, Schema& schema) {
  return make_convnet(4, options, schema);
}
std::unique_ptr<Backbone> make_conv6(const NetworkOptions& options, Schema& schema) {
  return make_convnet(6, options, schema);
}

}  // namespace fewatoms
