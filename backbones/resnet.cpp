// Residual networks. ResNet-10 and -18: a 7x7 stem and stages of basic blocks (He, Zhang, Ren, Sun 2016; ResNet-10 of
// Chen, Liu, Kira, Wang, Huang 2019 has one block per stage). ResNet-12: four blocks of three convolutions, each with
// 2x2 pooling at its end (Oreshkin, Rodriguez, Lacoste 2018; widths and DropBlock of Lee, Maji, Ravichandran, Soatto
// 2019, MetaOptNet). ResNet-12 of basic blocks: a 3x3 stem of stride 1 and stages of 1, 1, 2, 1 basic blocks (Laenen,
// Bertinetto 2021; easyfsl).

#include <cmath>

#include "backbones/backbone.h"
#include "backbones/layers.h"

namespace fewatoms {
namespace {

/// What distinguishes one residual network from another.
struct Plan {
  std::vector<double> widths;  // of the stages, as multiples of the first
  std::vector<int> blocks;     // per stage
  int convolutions = 2;        // per block
  bool stem = true;  // 7x7, stride 2, norm, ReLU, 3x3 max-pooling of stride 2; stages behind the first halve the map
  bool small_stem = false;  // 3x3, stride 1, without pooling instead
  double slope = 0;         // of the leaky ReLU
  bool drop = false;        // DropBlock behind each block
};

int halved(int size) { return (size + 1) / 2; }

/// A residual block: where its convolutions are in the list of all; the shortcut's comes last.
struct Block {
  size_t first = 0;
  bool shortcut = false;
};

std::unique_ptr<Backbone> make_resnet(const Plan& plan, const NetworkOptions& options, Schema& schema) {
  std::vector<ConvLayer> layers;
  std::vector<Block> residuals;
  int size = options.image_size, channels = options.channels, block = 0;
  if (plan.stem) {
    const bool small = plan.small_stem;
    layers.push_back({.name = "stem.conv",
                      .in = channels,
                      .out = options.width,
                      .kernel = small ? 3 : 7,
                      .stride = small ? 1 : 2,
                      .padding = small ? 1 : 3,
                      .size = size,
                      .stem = true});
    channels = options.width;
    if (!small) size = halved(halved(size));
    ++block;
  }
  for (size_t stage = 0; stage < plan.blocks.size(); ++stage) {
    const int width = static_cast<int>(std::lround(options.width * plan.widths[stage]));
    for (int i = 0; i < plan.blocks[stage]; ++i, ++block) {
      const std::string name = plan.stem ? "stage" + std::to_string(stage + 1) + ".block" + std::to_string(i + 1)
                                         : "block" + std::to_string(block + 1);
      const int stride = plan.stem && stage > 0 && i == 0 ? 2 : 1, out_size = stride == 2 ? halved(size) : size;
      const Block residual{.first = layers.size(), .shortcut = stride != 1 || channels != width};
      for (int k = 0; k < plan.convolutions; ++k)
        layers.push_back({.name = name + ".conv" + std::to_string(k + 1),
                          .in = k == 0 ? channels : width,
                          .out = width,
                          .stride = k == 0 ? stride : 1,
                          .block = block,
                          .stage = static_cast<int>(stage),
                          .size = k == 0 ? size : out_size,
                          .stem = block == 0 && k == 0});
      if (residual.shortcut)
        layers.push_back({.name = name + ".shortcut.conv",
                          .in = channels,
                          .out = width,
                          .kernel = 1,
                          .stride = stride,
                          .padding = 0,
                          .block = block,
                          .stage = static_cast<int>(stage),
                          .size = size,
                          .pointwise = true});
      residuals.push_back(residual);
      channels = width;
      size = plan.stem ? out_size : out_size / 2;
    }
  }
  auto convolutions = make_convolutions(layers, options.conv, schema);
  std::vector<LayerPtr> norms;  // one behind each convolution
  for (const ConvLayer& layer : layers) {
    std::string name = layer.name;
    name.replace(name.rfind("conv"), 4, "norm");
    norms.push_back(std::make_shared<Norm>(name, layer.out, options, schema));
  }

  const bool smooth = options.kernels == "smooth", mean = options.pool == "mean";
  const LayerPtr activation = make_activation(plan.slope, smooth);
  std::vector<Sequence> blocks;
  if (plan.stem) {
    std::vector<LayerPtr> parts = {convolutions[0], norms[0], activation};
    if (!plan.small_stem) parts.push_back(make_pool({.size = 3, .stride = 2, .padding = 1}, smooth));
    blocks.emplace_back(std::move(parts));
  }
  for (const Block& residual : residuals) {
    std::vector<LayerPtr> body, shortcut;
    for (int k = 0; k < plan.convolutions; ++k) {
      body.insert(body.end(), {convolutions[residual.first + k], norms[residual.first + k]});
      if (k + 1 < plan.convolutions) body.push_back(activation);
    }
    const size_t last = residual.first + plan.convolutions;
    if (residual.shortcut) shortcut = {convolutions[last], norms[last]};
    std::vector<LayerPtr> parts = {make_residual(Sequence(body), Sequence(shortcut)), activation};
    if (!plan.stem) parts.push_back(make_pool({}, smooth));
    if (plan.drop) parts.push_back(make_drop_block(options.drop_rate, blocks.size()));
    if (&residual == &residuals.back()) parts.push_back(make_features(mean));
    blocks.emplace_back(std::move(parts));
  }
  const int64_t features = static_cast<int64_t>(channels) * (mean ? 1 : size * size);
  return std::make_unique<Backbone>(options, std::move(blocks), std::move(convolutions), features);
}

}  // namespace

std::unique_ptr<Backbone> make_resnet10(const NetworkOptions& options, Schema& schema) {
  return make_resnet(Plan{.widths = {1, 2, 4, 8}, .blocks = {1, 1, 1, 1}}, options, schema);
}
std::unique_ptr<Backbone> make_resnet12(const NetworkOptions& options, Schema& schema) {
  return make_resnet(Plan{.widths = {1, 2.5, 5, 10},
                          .blocks = {1, 1, 1, 1},
                          .convolutions = 3,
                          .stem = false,
                          .slope = 0.1,
                          .drop = true},
                     options, schema);
}
std::unique_ptr<Backbone> make_resnet12_basic(const NetworkOptions& options, Schema& schema) {
  return make_resnet(Plan{.widths = {1, 2.5, 5, 10}, .blocks = {1, 1, 2, 1}, .small_stem = true}, options, schema);
}
std::unique_ptr<Backbone> make_resnet18(const NetworkOptions& options, Schema& schema) {
  return make_resnet(Plan{.widths = {1, 2, 4, 8}, .blocks = {2, 2, 2, 2}}, options, schema);
}

}  // namespace fewatoms
