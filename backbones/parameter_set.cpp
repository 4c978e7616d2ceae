#include "backbones/parameter_set.h"

#include <algorithm>
#include <numeric>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

const std::vector<std::string> kRoleNames = {"atom", "coefficient", "kernel", "norm", "head", "meta", "statistic"};

}  // namespace

const std::string& to_string(Role role) { return kRoleNames.at(static_cast<size_t>(role)); }

const std::vector<Role>& trainable_roles() {
  static const std::vector<Role> roles = {Role::kAtom, Role::kCoefficient, Role::kKernel,
                                          Role::kNorm, Role::kHead,        Role::kMeta};
  return roles;
}

Role role_from_string(const std::string& name) {
  std::vector<std::string> names;
  for (const Role role : trainable_roles()) {
    if (to_string(role) == name) return role;
    names.push_back(to_string(role));
  }
  throw UsageError(unknown_name("parameter role", name, names));
}

size_t ParameterSet::add(std::string name, Tensor tensor, Role role) {
  for (const Parameter& item : items_) TORCH_CHECK(item.name != name, "parameter '", name, "' exists already");
  items_.push_back({std::move(name), std::move(tensor), role});
  return items_.size() - 1;
}

const Parameter* ParameterSet::find(const std::string& name) const {
  const auto found = std::find_if(items_.begin(), items_.end(), [&](const Parameter& p) { return p.name == name; });
  return found == items_.end() ? nullptr : &*found;
}

ParameterSet ParameterSet::with(const std::vector<size_t>& indices, const std::vector<Tensor>& tensors) const {
  TORCH_CHECK(indices.size() == tensors.size(), indices.size(), " indices for ", tensors.size(), " tensors");
  ParameterSet copy = *this;
  for (size_t i = 0; i < indices.size(); ++i) {
    Parameter& item = copy.items_.at(indices[i]);
    TORCH_CHECK(item.tensor.sizes() == tensors[i].sizes(), "parameter '", item.name, "' is ", item.tensor.sizes(),
                ", its new value ", tensors[i].sizes());
    item.tensor = tensors[i];
  }
  return copy;
}

ParameterSet ParameterSet::leaves(bool requires_grad) const {
  ParameterSet copy = *this;
  for (Parameter& item : copy.items_) {
    item.tensor = item.tensor.detach();
    if (requires_grad && item.role != Role::kStatistic) item.tensor.requires_grad_(true);
  }
  return copy;
}

ParameterSet ParameterSet::to(torch::ScalarType type) const {
  ParameterSet copy = *this;
  for (Parameter& item : copy.items_)
    item.tensor = item.tensor.detach().to(type, /*non_blocking=*/false, /*copy=*/true);
  return copy;
}

std::vector<size_t> ParameterSet::trainable() const {
  std::vector<size_t> indices;
  for (size_t i = 0; i < items_.size(); ++i)
    if (items_[i].role != Role::kStatistic) indices.push_back(i);
  return indices;
}

std::map<Role, int64_t> ParameterSet::count() const {
  std::vector<size_t> all(items_.size());
  std::iota(all.begin(), all.end(), size_t{0});
  return count(all);
}

std::map<Role, int64_t> ParameterSet::count(const std::vector<size_t>& indices) const {
  std::map<Role, int64_t> numbers;
  for (const size_t i : indices) numbers[items_.at(i).role] += items_[i].tensor.numel();
  return numbers;
}

}  // namespace fewatoms
