#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backbones/schema.h"

namespace fewatoms {

/// One entry of a set: its value beside what the schema says of it. A view, valid while the set lives.
struct Parameter {
  const std::string& name;
  const Tensor& tensor;
  const Role& role;
};

/// Values of the parameters of a schema: the whole state of a network. A value: copies share schema and tensors, and
/// adapting makes a new set that shares every untouched tensor.
class ParameterSet {
 public:
  ParameterSet();
  /// One tensor for each parameter of the schema, in its order. Throws c10::Error if a shape differs.
  ParameterSet(std::shared_ptr<const Schema> schema, std::vector<Tensor> values);

  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  size_t size() const { return values_.size(); }
  Parameter operator[](size_t i) const { return {(*schema_)[i].name, values_[i], (*schema_)[i].role}; }
  const Tensor& tensor(size_t index) const { return values_[index]; }

  class Iterator {
   public:
    Iterator(const ParameterSet* set, size_t at) : set_(set), at_(at) {}
    Parameter operator*() const { return (*set_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    const ParameterSet* set_;
    size_t at_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

  /// The value of that name; null if there is none.
  const Tensor* find(const std::string& name) const;

  /// Adds a parameter that the schema does not have, in a schema of this set's own, and returns its index. For sets
  /// that are made by hand, and for what a task adds of its own: its head. Throws c10::Error if the name is taken.
  size_t add(const std::string& name, Tensor tensor, const Role& role);

  /// The same set with `tensors[i]` at `indices[i]`; shapes must agree.
  ParameterSet with(const std::vector<size_t>& indices, const std::vector<Tensor>& tensors) const;

  /// The same values cut from any graph; trainable tensors require a gradient if `requires_grad`.
  /// Storage is shared, so that this costs nothing.
  ParameterSet leaves(bool requires_grad) const;

  /// Values of every tensor in another floating-point type (a copy).
  ParameterSet to(torch::ScalarType type) const;

  /// As the schema's.
  std::vector<size_t> trainable() const { return schema_->trainable(); }
  std::map<Role, int64_t> count() const { return schema_->count(); }
  std::map<Role, int64_t> count(const std::vector<size_t>& indices) const { return schema_->count(indices); }

 private:
  void require_shape(size_t index, const Tensor& value) const;

  std::shared_ptr<const Schema> schema_;
  std::vector<Tensor> values_;
};

/// First values of every parameter: the one place where they are drawn. A pure function of schema and seed.
ParameterSet initialise(std::shared_ptr<const Schema> schema, uint64_t seed);

/// What is wrong with a value that was read for a parameter, null if there was none: "tensor 'head.weight' is [5, 32],
/// [5, 64] was expected", or another type than float32, or none; empty: nothing.
std::string misfit(const ParameterSpec& spec, const Tensor* value);

}  // namespace fewatoms
