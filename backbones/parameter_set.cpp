#include "backbones/parameter_set.h"

#include <sstream>

#include "episodes/numbers.h"

namespace fewatoms {

ParameterSet::ParameterSet() : schema_(std::make_shared<const Schema>()) {}

ParameterSet::ParameterSet(std::shared_ptr<const Schema> schema, std::vector<Tensor> values)
    : schema_(std::move(schema)), values_(std::move(values)) {
  TORCH_CHECK(values_.size() == schema_->size(), values_.size(), " tensors for ", schema_->size(), " parameters");
  for (size_t i = 0; i < values_.size(); ++i) require_shape(i, values_[i]);
}

void ParameterSet::require_shape(size_t index, const Tensor& value) const {
  const ParameterSpec& spec = (*schema_)[index];
  TORCH_CHECK(value.sizes() == spec.shape, "parameter '", spec.name, "' is ", at::IntArrayRef(spec.shape),
              ", its new value ", value.sizes());
}

const Tensor* ParameterSet::find(const std::string& name) const {
  const auto index = schema_->find(name);
  return index ? &values_[*index] : nullptr;
}

size_t ParameterSet::add(const std::string& name, Tensor tensor, const Role& role) {
  auto own = std::make_shared<Schema>(*schema_);
  const size_t index = own->add({.name = name, .shape = tensor.sizes().vec(), .role = role, .start = {}});
  schema_ = std::move(own);
  values_.push_back(std::move(tensor));
  return index;
}

ParameterSet ParameterSet::with(const std::vector<size_t>& indices, const std::vector<Tensor>& tensors) const {
  TORCH_CHECK(indices.size() == tensors.size(), indices.size(), " indices for ", tensors.size(), " tensors");
  ParameterSet copy = *this;
  for (size_t i = 0; i < indices.size(); ++i) {
    require_shape(indices[i], tensors[i]);
    copy.values_.at(indices[i]) = tensors[i];
  }
  return copy;
}

ParameterSet ParameterSet::leaves(bool requires_grad) const {
  ParameterSet copy = *this;
  for (size_t i = 0; i < copy.values_.size(); ++i) {
    copy.values_[i] = copy.values_[i].detach();
    if (requires_grad && (*schema_)[i].role.trainable) copy.values_[i].requires_grad_(true);
  }
  return copy;
}

ParameterSet ParameterSet::to(torch::ScalarType type) const {
  ParameterSet copy = *this;
  for (Tensor& value : copy.values_) value = value.detach().to(type, /*non_blocking=*/false, /*copy=*/true);
  return copy;
}

ParameterSet initialise(std::shared_ptr<const Schema> schema, uint64_t seed) {
  std::vector<Tensor> values;
  for (const ParameterSpec& spec : *schema) {
    TORCH_CHECK(spec.start, "parameter '", spec.name, "' has no start of its own");
    values.push_back(spec.start(spec, seed));
  }
  return {std::move(schema), std::move(values)};
}

std::string misfit(const ParameterSpec& spec, const Tensor* value) {
  std::ostringstream text;
  text << "tensor '" << spec.name << "' is ";
  if (value == nullptr)
    text << "missing";
  else if (value->scalar_type() != at::kFloat)
    text << "of type " << c10::toString(value->scalar_type()) << ", float32 was expected";
  else if (value->sizes() != spec.shape)
    text << shape_text(value->sizes()) << ", " << shape_text(spec.shape) << " was expected";
  else
    return {};
  return text.str();
}

}  // namespace fewatoms
