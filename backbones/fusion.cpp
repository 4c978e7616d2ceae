#include "backbones/fusion.h"

#include "backbones/convolution.h"
#include "backbones/kernels/stem.h"
#include "backbones/layers.h"
#include "backbones/norm.h"

namespace fewatoms {
namespace {

template <class T>
std::shared_ptr<const T> as(const LayerPtr& layer) {
  return std::dynamic_pointer_cast<const T>(layer);
}

/// Batch norm, ReLU and 2x2 max-pooling in one pass over memory.
class NormReluPool final : public Layer {
 public:
  NormReluPool(std::shared_ptr<const Norm> norm, Sequence plain) : norm_(std::move(norm)), plain_(std::move(plain)) {}

  Tensor forward(const Tensor& x, const Context& context) const override { return norm_->relu_pool(x, context); }
  std::vector<size_t> parameters() const override { return plain_.parameters(); }
  std::string torch_script(const std::string& x, NormMode mode) const override { return plain_.torch_script(x, mode); }

 private:
  std::shared_ptr<const Norm> norm_;
  Sequence plain_;
};

struct PreparedImages final : Prepared {
  StemImages images;
};

/// A 3x3 convolution of images, batch norm, ReLU and 2x2 max-pooling without storing the convolution; images that the
/// kernel cannot take go through the layers one by one.
class Stem final : public Layer {
 public:
  Stem(ConvolutionPtr convolution, std::shared_ptr<const Norm> norm, Sequence plain)
      : convolution_(std::move(convolution)), norm_(std::move(norm)), plain_(std::move(plain)) {}

  Tensor forward(const Tensor& x, const Context& context) const override {
    if (!stem_fits(x, convolution_->shape().out)) return plain_.forward(x, context);
    return norm_->relu_pool(stem_images(x), convolution_->kernel(context), context);
  }
  PreparedPtr prepare(const Tensor& x, const Context& context, const std::vector<size_t>& changing) const override {
    if (!stem_fits(x, convolution_->shape().out)) return plain_.prepare(x, context, changing);
    auto prepared = std::make_shared<PreparedImages>();
    prepared->images = stem_images(x);
    return prepared;
  }
  Tensor forward_prepared(const Prepared& prepared, const Context& context) const override {
    const auto* made = dynamic_cast<const PreparedImages*>(&prepared);
    if (made == nullptr) return plain_.forward_prepared(prepared, context);
    return norm_->relu_pool(made->images, convolution_->kernel(context), context);
  }
  std::vector<size_t> parameters() const override { return plain_.parameters(); }
  void describe(std::vector<LayerInfo>& layers) const override { plain_.describe(layers); }
  std::string torch_script(const std::string& x, NormMode mode) const override { return plain_.torch_script(x, mode); }

 private:
  ConvolutionPtr convolution_;
  std::shared_ptr<const Norm> norm_;
  Sequence plain_;
};

/// Whether a convolution is one that the stem's kernel does.
bool reads_images_3x3(const Convolution& convolution) {
  return convolution.shape().stem && convolution.shape().keeps_size_3x3();
}

}  // namespace

Sequence fused(const Sequence& sequence) {
  const std::vector<LayerPtr>& layers = sequence.layers();
  const auto norm_relu_pool_at = [&](size_t i) {
    if (i + 3 > layers.size()) return std::shared_ptr<const Norm>();
    auto norm = as<Norm>(layers[i]);
    return norm && norm->is_batch() && is_relu(*layers[i + 1]) && is_max_pool2(*layers[i + 2]) ? norm : nullptr;
  };
  const auto part = [&](size_t first, size_t count) {
    return std::vector<LayerPtr>(layers.begin() + static_cast<std::ptrdiff_t>(first),
                                 layers.begin() + static_cast<std::ptrdiff_t>(first + count));
  };
  std::vector<LayerPtr> made;
  for (size_t i = 0; i < layers.size();) {
    if (const auto norm = norm_relu_pool_at(i)) {
      made.push_back(std::make_shared<NormReluPool>(norm, Sequence(part(i, 3))));
      i += 3;
      continue;
    }
    const auto convolution = as<Convolution>(layers[i]);
    const auto norm = norm_relu_pool_at(i + 1);
    if (convolution && norm && reads_images_3x3(*convolution)) {
      // Where the stem's kernel does not fit, the convolution runs by itself and the rest still in one pass.
      const Sequence plain({convolution, std::make_shared<NormReluPool>(norm, Sequence(part(i + 1, 3)))});
      made.push_back(std::make_shared<Stem>(convolution, norm, plain));
      i += 4;
      continue;
    }
    made.push_back(layers[i++]);
  }
  return Sequence(std::move(made));
}

}  // namespace fewatoms
