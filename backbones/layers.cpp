#include "backbones/layers.h"

#include <algorithm>
#include <sstream>

#include "episodes/numbers.h"
#include "episodes/random.h"

namespace fewatoms {
namespace {

class Activation final : public Layer {
 public:
  Activation(double slope, bool smooth) : slope_(slope), smooth_(smooth) {}

  bool is_relu() const { return slope_ == 0 && !smooth_; }
  Tensor forward(const Tensor& x, const Context&) const override {
    if (smooth_) return at::softplus(x);
    return slope_ == 0 ? x.relu() : at::leaky_relu(x, slope_);
  }
  std::string torch_script(const std::string& x, NormMode) const override {
    return slope_ == 0 ? "torch.relu(" + x + ")" : "torch.leaky_relu(" + x + ", " + real_text(slope_) + ")";
  }

 private:
  double slope_;
  bool smooth_;
};

class Pool final : public Layer {
 public:
  Pool(const PoolShape& shape, bool smooth) : shape_(shape), smooth_(smooth) {}

  bool is_max2() const { return !smooth_ && shape_ == PoolShape{}; }
  Tensor forward(const Tensor& x, const Context&) const override {
    const auto [size, stride, padding] = shape_;
    return smooth_ ? at::avg_pool2d(x, {size, size}, {stride, stride}, {padding, padding})
                   : at::max_pool2d(x, {size, size}, {stride, stride}, {padding, padding});
  }
  std::string torch_script(const std::string& x, NormMode) const override {
    std::ostringstream text;
    const auto [size, stride, padding] = shape_;
    text << "torch.max_pool2d(" << x << ", [" << size << ", " << size << "], [" << stride << ", " << stride << "], ["
         << padding << ", " << padding << "])";
    return text.str();
  }

 private:
  PoolShape shape_;
  bool smooth_;
};

/// What both branches prepared; null: the branch runs on x.
struct PreparedBranches final : Prepared {
  Tensor x;
  PreparedPtr body, shortcut;
};

class Residual final : public Layer {
 public:
  Residual(Sequence body, Sequence shortcut) : body_(std::move(body)), shortcut_(std::move(shortcut)) {}

  Tensor forward(const Tensor& x, const Context& context) const override {
    const Tensor y = body_.forward(x, context);
    return y + (shortcut_.empty() ? x : shortcut_.forward(x, context));
  }
  PreparedPtr prepare(const Tensor& x, const Context& context, const std::vector<size_t>& changing) const override {
    auto prepared = std::make_shared<PreparedBranches>();
    prepared->x = x;
    prepared->body = body_.prepare(x, context, changing);
    if (!shortcut_.empty()) prepared->shortcut = shortcut_.prepare(x, context, changing);
    if (!prepared->body && !prepared->shortcut) return nullptr;
    return prepared;
  }
  Tensor forward_prepared(const Prepared& prepared, const Context& context) const override {
    const auto& made = static_cast<const PreparedBranches&>(prepared);
    const auto run = [&](const Sequence& branch, const PreparedPtr& of_branch) {
      return of_branch ? branch.forward_prepared(*of_branch, context) : branch.forward(made.x, context);
    };
    const Tensor y = run(body_, made.body);
    return y + run(shortcut_, made.shortcut);
  }
  std::vector<size_t> parameters() const override {
    std::vector<size_t> indices = body_.parameters();
    const auto more = shortcut_.parameters();
    indices.insert(indices.end(), more.begin(), more.end());
    return indices;
  }
  void describe(std::vector<LayerInfo>& layers) const override {
    body_.describe(layers);
    shortcut_.describe(layers);
  }
  std::string torch_script(const std::string& x, NormMode norm) const override {
    std::ostringstream text;
    text << "(" << body_.torch_script(x, norm) << " + " << shortcut_.torch_script(x, norm) << ")";
    return text.str();
  }

 private:
  Sequence body_, shortcut_;
};

class DropBlock final : public Layer {
 public:
  DropBlock(double rate, uint64_t index) : rate_(rate), index_(index) {}

  Tensor forward(const Tensor& x, const Context& context) const override {
    if (rate_ == 0 || context.pass.drop_key == 0) return x;
    constexpr int64_t kSize = 5;
    const int64_t n = x.size(0), c = x.size(1), h = x.size(2), w = x.size(3), side = std::min({kSize, h, w});
    const double valid = static_cast<double>((h - side + 1) * (w - side + 1));
    const double gamma = rate_ / static_cast<double>(side * side) * static_cast<double>(h * w) / valid;
    Random random{mix_key({context.pass.drop_key, index_}), stream(Stream::kDrop)};
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
  std::string torch_script(const std::string& x, NormMode) const override { return x; }  // nothing is dropped there

 private:
  double rate_;
  uint64_t index_;
};

class Features final : public Layer {
 public:
  explicit Features(bool mean) : mean_(mean) {}

  Tensor forward(const Tensor& x, const Context&) const override {
    return mean_ ? x.mean(at::IntArrayRef{2, 3}) : x.contiguous().flatten(1);
  }
  std::string torch_script(const std::string& x, NormMode) const override {
    return mean_ ? "torch.mean(" + x + ", [2, 3])" : "torch.flatten(" + x + ", 1)";
  }

 private:
  bool mean_;
};

}  // namespace

LayerPtr make_activation(double slope, bool smooth) { return std::make_shared<Activation>(slope, smooth); }

bool is_relu(const Layer& layer) {
  const auto* activation = dynamic_cast<const Activation*>(&layer);
  return activation != nullptr && activation->is_relu();
}

LayerPtr make_pool(const PoolShape& shape, bool smooth) { return std::make_shared<Pool>(shape, smooth); }

bool is_max_pool2(const Layer& layer) {
  const auto* pool = dynamic_cast<const Pool*>(&layer);
  return pool != nullptr && pool->is_max2();
}

LayerPtr make_residual(Sequence body, Sequence shortcut) {
  return std::make_shared<Residual>(std::move(body), std::move(shortcut));
}

LayerPtr make_drop_block(double rate, uint64_t index) { return std::make_shared<DropBlock>(rate, index); }

LayerPtr make_features(bool mean) { return std::make_shared<Features>(mean); }

}  // namespace fewatoms
