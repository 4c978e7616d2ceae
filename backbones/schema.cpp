#include "backbones/schema.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "episodes/digest.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "episodes/random.h"

namespace fewatoms {

const std::vector<Role>& all_roles() {
  static const std::vector<Role> roles = {Role::kAtom, Role::kCoefficient, Role::kKernel,   Role::kNorm,
                                          Role::kHead, Role::kMeta,        Role::kStatistic};
  return roles;
}

const std::vector<Role>& trainable_roles() {
  static const std::vector<Role> roles = [] {
    std::vector<Role> some;
    for (const Role& role : all_roles())
      if (role.trainable) some.push_back(role);
    return some;
  }();
  return roles;
}

Role role_from_string(const std::string& name) {
  std::vector<std::string> names;
  for (const Role& role : trainable_roles()) {
    if (role.name == name) return role;
    names.push_back(to_string(role));
  }
  throw UsageError(unknown_name("parameter role", name, names));
}

int64_t ParameterSpec::numel() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

Start constant_start(double value) {
  return [value](const ParameterSpec& spec, uint64_t) { return at::full(spec.shape, value, at::kFloat); };
}

Start normal_start(double deviation) {
  return [deviation](const ParameterSpec& spec, uint64_t seed) {
    return normal_tensor(spec.shape, deviation, seed, spec.name);
  };
}

size_t Schema::add(ParameterSpec spec) {
  TORCH_CHECK(std::find(all_roles().begin(), all_roles().end(), spec.role) != all_roles().end(), "parameter '",
              spec.name, "' has the role '", std::string(spec.role.name), "', which is none of all_roles()");
  const bool is_new = by_name_.emplace(spec.name, specs_.size()).second;
  TORCH_CHECK(is_new, "parameter '", spec.name, "' exists already");
  specs_.push_back(std::move(spec));
  return specs_.size() - 1;
}

std::optional<size_t> Schema::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<size_t> Schema::trainable() const {
  std::vector<size_t> indices;
  for (size_t i = 0; i < specs_.size(); ++i)
    if (specs_[i].role.trainable) indices.push_back(i);
  return indices;
}

std::vector<Role> Schema::roles() const {
  std::set<Role> roles;
  for (const ParameterSpec& spec : specs_) roles.insert(spec.role);
  return {roles.begin(), roles.end()};
}

std::map<Role, int64_t> Schema::count() const {
  std::map<Role, int64_t> numbers;
  for (const ParameterSpec& spec : specs_) numbers[spec.role] += spec.numel();
  return numbers;
}

std::map<Role, int64_t> Schema::count(const std::vector<size_t>& indices) const {
  std::map<Role, int64_t> numbers;
  for (const size_t i : indices) numbers[specs_.at(i).role] += specs_[i].numel();
  return numbers;
}

std::string Schema::digest() const {
  Sha256 digest;
  for (const ParameterSpec& spec : specs_)
    for (const std::string& part : {spec.name, shape_text(spec.shape), to_string(spec.role)}) {
      digest.add(part);
      digest.add("\n");
    }
  return digest.digits();
}

Tensor normal_tensor(at::IntArrayRef shape, double deviation, uint64_t seed, const std::string& name) {
  uint64_t key = name.size();
  for (const char c : name) key = mix_key({key, static_cast<unsigned char>(c)});
  Random random{seed, stream(Stream::kParameters), key};
  Tensor t = at::empty(shape, at::kFloat);
  float* values = t.data_ptr<float>();
  for (int64_t i = 0; i < t.numel(); ++i) values[i] = static_cast<float>(deviation * random.normal());
  return t;
}

}  // namespace fewatoms
