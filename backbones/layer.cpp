#include "backbones/layer.h"

#include <algorithm>
#include <stdexcept>

namespace fewatoms {
namespace {

/// A sequence that has run up to its layer `next`, which has prepared what it could of x.
struct PreparedSequence final : Prepared {
  size_t next = 0;
  Tensor x;
  PreparedPtr of_next;  // null: nothing
};

}  // namespace

Tensor Layer::forward_prepared(const Prepared&, const Context&) const {
  throw std::logic_error("this layer prepares nothing");
}

bool Layer::reads(const std::vector<size_t>& indices) const {
  const std::vector<size_t> own = parameters();
  return std::any_of(own.begin(), own.end(),
                     [&](size_t index) { return std::find(indices.begin(), indices.end(), index) != indices.end(); });
}

Tensor Sequence::forward_from(size_t first, Tensor x, const Context& context) const {
  for (size_t i = first; i < layers_.size(); ++i) x = layers_[i]->forward(x, context);
  return x;
}

Tensor Sequence::forward(const Tensor& x, const Context& context) const { return forward_from(0, x, context); }

PreparedPtr Sequence::prepare(const Tensor& x, const Context& context, const std::vector<size_t>& changing) const {
  auto prepared = std::make_shared<PreparedSequence>();
  prepared->x = x;
  for (; prepared->next < layers_.size() && !layers_[prepared->next]->reads(changing); ++prepared->next)
    prepared->x = layers_[prepared->next]->forward(prepared->x, context);
  if (prepared->next < layers_.size())
    prepared->of_next = layers_[prepared->next]->prepare(prepared->x, context, changing);
  if (prepared->next == 0 && !prepared->of_next) return nullptr;
  return prepared;
}

Tensor Sequence::forward_prepared(const Prepared& prepared, const Context& context) const {
  const auto& made = static_cast<const PreparedSequence&>(prepared);
  if (!made.of_next) return forward_from(made.next, made.x, context);
  return forward_from(made.next + 1, layers_[made.next]->forward_prepared(*made.of_next, context), context);
}

std::vector<size_t> Sequence::parameters() const {
  std::vector<size_t> indices;
  for (const LayerPtr& layer : layers_) {
    const auto more = layer->parameters();
    indices.insert(indices.end(), more.begin(), more.end());
  }
  return indices;
}

void Sequence::describe(std::vector<LayerInfo>& layers) const {
  for (const LayerPtr& layer : layers_) layer->describe(layers);
}

std::string Sequence::torch_script(const std::string& x, NormMode norm) const {
  std::string text = x;
  for (const LayerPtr& layer : layers_) text = layer->torch_script(text, norm);
  return text;
}

}  // namespace fewatoms
