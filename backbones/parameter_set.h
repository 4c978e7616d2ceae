#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <torch/types.h>

namespace fewatoms {

using torch::Tensor;

/// What a tensor is. The inner loop selects what it may change by role.
enum class Role {
  kAtom,         // psi: [M, k, k]
  kCoefficient,  // A: [out, in, M]
  kKernel,       // plain convolution kernel: [out, in, k, k]
  kNorm,         // scale and shift: [channels]
  kHead,         // weight [ways, features] and bias [ways]
  kMeta,         // what the outer loop alone changes: learned step sizes, temperatures, regularisers
  kStatistic,    // running norm statistics: never adapted, no gradient
};

const std::string& to_string(Role role);
/// The roles that can have a gradient, in the order of the enumeration.
const std::vector<Role>& trainable_roles();
/// Throws UsageError on an unknown name, offering the nearest.
Role role_from_string(const std::string& name);

struct Parameter {
  std::string name;  // "block2.conv.atoms"
  Tensor tensor;
  Role role = Role::kKernel;
};

/// An ordered list of named tensors with roles: the whole state of a network.
/// A value: copies share the tensors, and adapting makes a new set that shares every untouched one.
class ParameterSet {
 public:
  /// Returns the index. The name must be new.
  size_t add(std::string name, Tensor tensor, Role role);

  size_t size() const { return items_.size(); }
  const Parameter& operator[](size_t index) const { return items_[index]; }
  const Tensor& tensor(size_t index) const { return items_[index].tensor; }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

  /// The parameter of that name; null if there is none.
  const Parameter* find(const std::string& name) const;

  /// The same set with `tensors[i]` at `indices[i]`; shapes must agree.
  ParameterSet with(const std::vector<size_t>& indices, const std::vector<Tensor>& tensors) const;

  /// The same values cut from any graph; trainable tensors require a gradient if `requires_grad`.
  /// Storage is shared, so that this costs nothing.
  ParameterSet leaves(bool requires_grad) const;

  /// Values of every tensor in another floating-point type (a copy).
  ParameterSet to(torch::ScalarType type) const;

  /// Indices of all tensors that can have a gradient.
  std::vector<size_t> trainable() const;

  /// Numbers by role; roles without any are left out.
  std::map<Role, int64_t> count() const;
  /// Numbers of the given tensors by role.
  std::map<Role, int64_t> count(const std::vector<size_t>& indices) const;

 private:
  std::vector<Parameter> items_;
};

}  // namespace fewatoms
