// Residual networks. ResNet-10 and -18: a 7x7 stem and stages of basic blocks (He, Zhang, Ren, Sun 2016; ResNet-10 of
// Chen, Liu, Kira, Wang, Huang 2019 has one block per stage). ResNet-12: four blocks of three convolutions, each with
// 2x2 pooling at its end (Oreshkin, Rodriguez, Lacoste 2018; widths and DropBlock of Lee, Maji, Ravichandran, Soatto
// 2019, MetaOptNet). ResNet-12 of basic blocks: a 3x3 stem of stride 1 and stages of 1, 1, 2, 1 basic blocks (Laenen,
// Bertinetto 2021; easyfsl).

#include <cmath>

#include "backbones/backbone.h"
#include "episodes/numbers.h"
#include "episodes/random.h"

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

Tensor leaky(const Tensor& x, double slope, bool smooth) {
  if (smooth) return at::softplus(x);
  return slope == 0 ? x.relu() : at::leaky_relu(x, slope);
}

Tensor pool2(const Tensor& x, bool smooth) { return smooth ? at::avg_pool2d(x, {2, 2}) : at::max_pool2d(x, {2, 2}); }

/// DropBlock (Ghiasi, Lin, Le 2018): squares of `size` pixels are set to zero, about a share `rate` of all, the rest
/// scaled up. A pure function of the key.
Tensor drop_block(const Tensor& x, double rate, int64_t size, uint64_t key) {
  const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), side = std::min({size, h, w});
  const double valid = static_cast<double>((h - side + 1) * (w - side + 1));
  const double gamma = rate / static_cast<double>(side * side) * static_cast<double>(h * w) / valid;
  Random random{key, stream(Stream::kDrop)};
  Tensor mask = at::ones({n, c, h, w}, at::kFloat);
  float* m = mask.data_ptr<float>();
  for (int64_t map = 0; map < n * c; ++map, m += h * w)
    for (int64_t y = 0; y + side <= h; ++y)
      for (int64_t left = 0; left + side <= w; ++left)
        if (random.uniform() < gamma)
          for (int64_t dy = 0; dy < side; ++dy) std::fill_n(m + (y + dy) * w + left, side, 0.0F);
  const double kept = mask.sum(at::kDouble).item<double>();
  return x * (mask * (static_cast<double>(mask.numel()) / std::max(1.0, kept))).to(x.scalar_type());
}

class ResNet final : public Backbone {
 public:
  ResNet(const Plan& plan, const NetworkOptions& options, uint64_t seed, ParameterSet& parameters)
      : plan_(plan),
        smooth_(options.kernels == "smooth"),
        mean_pool_(options.pool == "mean"),
        drop_rate_(options.drop_rate) {
    int size = options.image_size, channels = options.channels, block = 0;
    if (plan_.stem) {
      const bool small = plan_.small_stem;
      layers_.push_back({.name = "stem.conv",
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
    for (size_t stage = 0; stage < plan_.blocks.size(); ++stage) {
      const int width = static_cast<int>(std::lround(options.width * plan_.widths[stage]));
      for (int i = 0; i < plan_.blocks[stage]; ++i, ++block) {
        const std::string name = plan_.stem ? "stage" + std::to_string(stage + 1) + ".block" + std::to_string(i + 1)
                                            : "block" + std::to_string(block + 1);
        const int stride = plan_.stem && stage > 0 && i == 0 ? 2 : 1, out_size = stride == 2 ? halved(size) : size;
        Block b;
        b.first = layers_.size();
        for (int k = 0; k < plan_.convolutions; ++k)
          layers_.push_back({.name = name + ".conv" + std::to_string(k + 1),
                             .in = k == 0 ? channels : width,
                             .out = width,
                             .stride = k == 0 ? stride : 1,
                             .block = block,
                             .stage = static_cast<int>(stage),
                             .size = k == 0 ? size : out_size,
                             .stem = block == 0 && k == 0});
        b.shortcut = stride != 1 || channels != width;
        if (b.shortcut)
          layers_.push_back({.name = name + ".shortcut.conv",
                             .in = channels,
                             .out = width,
                             .kernel = 1,
                             .stride = stride,
                             .padding = 0,
                             .block = block,
                             .stage = static_cast<int>(stage),
                             .size = size,
                             .pointwise = true});
        blocks_.push_back(b);
        channels = width;
        size = plan_.stem ? out_size : out_size / 2;
      }
    }
    convolutions_ = make_convolutions(layers_, options.conv, seed, parameters);
    for (const ConvLayer& layer : layers_) {
      std::string name = layer.name;
      name.replace(name.rfind("conv"), 4, "norm");
      norms_.emplace_back(name, layer.out, options, parameters);
    }
    features_ = static_cast<int64_t>(channels) * (mean_pool_ ? 1 : size * size);
  }

  int blocks() const override { return static_cast<int>(blocks_.size()) + plan_.stem; }
  int64_t features() const override { return features_; }
  const std::vector<ConvLayer>& layers() const override { return layers_; }

  std::string torch_script(NormMode norm) const override {
    const auto normed = [&](size_t layer, const std::string& x) {
      return norms_[layer].torch_script(layers_[layer].torch_script(x), norm);
    };
    const auto leaky = [&](const std::string& x) {
      return plan_.slope == 0 ? "torch.relu(" + x + ")" : "torch.leaky_relu(" + x + ", " + real_text(plan_.slope) + ")";
    };
    std::string text;
    if (plan_.stem) {
      text += "x = " + leaky(normed(0, "x")) + "\n";
      if (!plan_.small_stem) text += "x = torch.max_pool2d(x, [3, 3], [2, 2], [1, 1])\n";
    }
    for (const Block& block : blocks_) {
      text += "y = x\n";
      for (int k = 0; k < plan_.convolutions; ++k) {
        const std::string y = normed(block.first + k, "y");
        text += "y = " + (k + 1 < plan_.convolutions ? leaky(y) : y) + "\n";
      }
      text += "x = " + leaky("y + " + (block.shortcut ? normed(block.first + plan_.convolutions, "x") : "x")) + "\n";
      if (!plan_.stem) text += "x = torch.max_pool2d(x, [2, 2])\n";
    }
    return text + (mean_pool_ ? "x = torch.mean(x, [2, 3])\n" : "x = torch.flatten(x, 1)\n");
  }

  std::vector<size_t> block_parameters(int block) const override {
    std::vector<size_t> indices;
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (block_of(i) != block) continue;
      for (const auto& more : {convolutions_[i]->parameters(), norms_[i].parameters()})
        indices.insert(indices.end(), more.begin(), more.end());
    }
    return indices;
  }

  Activations forward(const BlockInput& input, const ParameterSet& parameters, int first, int last,
                      const Pass& pass) const override {
    Activations result{input.x, {}};
    for (int block = first; block < last; ++block) {
      if (plan_.stem && block == 0) {
        const Tensor y = leaky(normed(0, result.x, parameters, pass, result.updates), plan_.slope, smooth_);
        result.x = plan_.small_stem ? y
                   : smooth_        ? at::avg_pool2d(y, {3, 3}, {2, 2}, {1, 1})
                                    : at::max_pool2d(y, {3, 3}, {2, 2}, {1, 1});
      } else {
        result.x = residual(block, result.x, parameters, pass, result.updates);
      }
    }
    if (first < blocks() && last == blocks())
      result.x = mean_pool_ ? result.x.mean(at::IntArrayRef{2, 3}) : result.x.contiguous().flatten(1);
    return result;
  }

 private:
  struct Block {
    size_t first = 0;  // of its layers; the shortcut's comes last
    bool shortcut = false;
  };

  static int halved(int size) { return (size + 1) / 2; }
  /// The stem's layer counts as block 0 where there is one.
  int block_of(size_t layer) const { return layers_[layer].block; }

  Tensor normed(size_t layer, const Tensor& x, const ParameterSet& parameters, const Pass& pass,
                std::vector<StatisticUpdate>& updates) const {
    return norms_[layer].apply(convolutions_[layer]->forward(x, parameters), parameters, pass.norm, updates);
  }

  Tensor residual(int block, const Tensor& x, const ParameterSet& parameters, const Pass& pass,
                  std::vector<StatisticUpdate>& updates) const {
    const Block& b = blocks_[block - plan_.stem];
    Tensor y = x;
    for (int k = 0; k < plan_.convolutions; ++k) {
      y = normed(b.first + k, y, parameters, pass, updates);
      if (k + 1 < plan_.convolutions) y = leaky(y, plan_.slope, smooth_);
    }
    y = leaky(y + (b.shortcut ? normed(b.first + plan_.convolutions, x, parameters, pass, updates) : x), plan_.slope,
              smooth_);
    if (!plan_.stem) y = pool2(y, smooth_);
    if (plan_.drop && drop_rate_ > 0 && pass.drop_key != 0)
      y = drop_block(y, drop_rate_, kDropSize, mix_key({pass.drop_key, static_cast<uint64_t>(block)}));
    return y;
  }

  static constexpr int64_t kDropSize = 5;

  Plan plan_;
  bool smooth_, mean_pool_;
  double drop_rate_;
  std::vector<ConvLayer> layers_;
  std::vector<Block> blocks_;
  std::vector<std::unique_ptr<Convolution>> convolutions_;
  std::vector<Norm> norms_;  // one behind each convolution
  int64_t features_ = 0;
};

}  // namespace

std::unique_ptr<Backbone> make_resnet10(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  return std::make_unique<ResNet>(Plan{.widths = {1, 2, 4, 8}, .blocks = {1, 1, 1, 1}}, options, seed, parameters);
}
std::unique_ptr<Backbone> make_resnet12(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  return std::make_unique<ResNet>(Plan{.widths = {1, 2.5, 5, 10},
                                       .blocks = {1, 1, 1, 1},
                                       .convolutions = 3,
                                       .stem = false,
                                       .slope = 0.1,
                                       .drop = true},
                                  options, seed, parameters);
}
std::unique_ptr<Backbone> make_resnet12_basic(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  return std::make_unique<ResNet>(Plan{.widths = {1, 2.5, 5, 10}, .blocks = {1, 1, 2, 1}, .small_stem = true}, options,
                                  seed, parameters);
}
std::unique_ptr<Backbone> make_resnet18(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  return std::make_unique<ResNet>(Plan{.widths = {1, 2, 4, 8}, .blocks = {2, 2, 2, 2}}, options, seed, parameters);
}

}  // namespace fewatoms
