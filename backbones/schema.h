#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torch/types.h>

namespace fewatoms {

using torch::Tensor;

/// A group of parameters: what its tensors are, and who may change them. `--scope` and rates choose tensors by it.
/// Adding a group is a constant as those below, wherever its layer is, and one line in all_roles().
struct Role {
  std::string_view name;    // "atom"; what makes two groups equal
  int order = 100;          // where lists show it: smaller numbers first, then by name
  bool trainable = true;    // the outer loop changes it along a gradient
  bool adaptable = true;    // the inner loop may change it
  bool decays = true;       // weight decay of the outer loop applies
  bool of_the_body = true;  // part of the network's body: it goes along when another run starts from that body

  static const Role kAtom;         // psi: [M, k, k]
  static const Role kCoefficient;  // A: [out, in, M]
  static const Role kKernel;       // plain convolution kernel: [out, in, k, k]
  static const Role kNorm;         // scale and shift: [channels]
  static const Role kHead;         // weight [ways, features] and bias [ways]
  static const Role kMeta;         // what the outer loop alone changes: learned step sizes, temperatures, regularisers
  static const Role kStatistic;    // running norm statistics: never adapted, no gradient

  friend bool operator==(const Role& a, const Role& b) { return a.name == b.name; }
  friend bool operator<(const Role& a, const Role& b) {
    return a.order != b.order ? a.order < b.order : a.name < b.name;
  }
};
inline constexpr Role Role::kAtom{.name = "atom", .order = 0};
inline constexpr Role Role::kCoefficient{.name = "coefficient", .order = 1};
inline constexpr Role Role::kKernel{.name = "kernel", .order = 2};
inline constexpr Role Role::kNorm{.name = "norm", .order = 3};
inline constexpr Role Role::kHead{.name = "head", .order = 4, .of_the_body = false};
inline constexpr Role Role::kMeta{
    .name = "meta", .order = 5, .adaptable = false, .decays = false, .of_the_body = false};
inline constexpr Role Role::kStatistic{
    .name = "statistic", .order = 6, .trainable = false, .adaptable = false, .decays = false};

/// Every group there is: what options may name.
const std::vector<Role>& all_roles();
/// The groups that can have a gradient.
const std::vector<Role>& trainable_roles();
inline std::string to_string(const Role& role) { return std::string(role.name); }
/// A group that can have a gradient. Throws UsageError on another name, offering the nearest.
Role role_from_string(const std::string& name);

struct ParameterSpec;
/// First values of a parameter, float32 of its shape: a pure function of the seed and the parameter.
using Start = std::function<Tensor(const ParameterSpec&, uint64_t seed)>;

/// What a parameter is, apart from its value.
struct ParameterSpec {
  std::string name;            // "block2.conv.atoms", once in a schema
  std::vector<int64_t> shape;  // of float32 values
  Role role;
  Start start;  // none: values come from elsewhere, as those of a head that each task makes

  int64_t numel() const;
};

/// Every element the same number.
Start constant_start(double value);
/// Independent normal numbers of mean zero.
Start normal_start(double deviation);

/// What the parameters of a network are: names, shapes, roles, starts, in order. Sets of values over it share it and
/// never change it.
class Schema {
 public:
  /// Returns the index. Throws c10::Error if the name is taken, or the role is none of all_roles().
  size_t add(ParameterSpec spec);

  size_t size() const { return specs_.size(); }
  const ParameterSpec& operator[](size_t index) const { return specs_[index]; }
  auto begin() const { return specs_.begin(); }
  auto end() const { return specs_.end(); }
  std::optional<size_t> find(const std::string& name) const;

  /// Indices of all parameters that can have a gradient.
  std::vector<size_t> trainable() const;
  /// Roles that occur.
  std::vector<Role> roles() const;
  /// Numbers by role; roles without any are left out.
  std::map<Role, int64_t> count() const;
  std::map<Role, int64_t> count(const std::vector<size_t>& indices) const;

  /// Of all names, shapes and roles: equal schemas and no others have the same 64 hexadecimal digits.
  std::string digest() const;

 private:
  std::vector<ParameterSpec> specs_;
  std::unordered_map<std::string, size_t> by_name_;
};

/// Normal numbers of the given shape and standard deviation, a pure function of (seed, name).
Tensor normal_tensor(at::IntArrayRef shape, double deviation, uint64_t seed, const std::string& name);

}  // namespace fewatoms
