#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backbones/backbone.h"
#include "meta/head.h"
#include "meta/roles.h"
#include "meta/task.h"

namespace fewatoms {

enum class Order {
  kFirst,   // inner gradients are constants to the outer loop
  kSecond,  // the outer loop differentiates through them
};

/// Everything that defines how a task is learned: the engine's options. Defaults are `maml`'s.
struct LearnerOptions {
  std::string method = "maml";
  NetworkOptions network;
  std::string head = "linear";
  std::string norm = "batch";     // batch: every pass by its own images; running: running statistics in evaluation; group, layer, none
  std::string scope = "all";
  int inner_steps = 5;            // of training, 0..1000
  std::string order = "second";   // first or second
  std::string inner_lr = "0.05";  // per step on the mean loss, by role: see RoleRates
  int ways = 5;                   // of a linear head
  uint64_t seed = 0;              // of the initial parameters

  bool operator==(const LearnerOptions&) const = default;
};

/// A network with its head and inner loop, resolved and checked: immutable, shared by all tasks and threads.
/// The parameters are apart, in a ParameterSet.
class Learner {
 public:
  /// Builds the network and adds its initial values to `parameters`, which must be empty.
  /// Throws UsageError on options out of range, unknown names, or a combination that cannot work.
  Learner(const LearnerOptions& options, ParameterSet& parameters);

  const LearnerOptions& options() const { return options_; }
  const Backbone& backbone() const { return *backbone_; }
  HeadKind head() const { return head_; }
  Order order() const { return order_; }
  bool running_norm() const { return options_.norm == "running"; }
  /// Evaluation uses the statistics of the query batch: the query images are classified together.
  bool transductive() const { return options_.norm == "batch"; }

  /// Indices of the tensors that the inner loop changes, and the step size of each.
  const std::vector<size_t>& adapted() const { return adapted_; }
  const std::vector<double>& inner_rates() const { return inner_rates_; }
  /// Blocks before this one are the same before and after adaptation.
  int first_adapted_block() const { return first_adapted_block_; }

  /// Linear head: scores [n, ways] of features [n, d].
  Tensor linear_logits(const Tensor& features, const ParameterSet& parameters) const;

 private:
  LearnerOptions options_;
  HeadKind head_;
  Order order_;
  std::unique_ptr<Backbone> backbone_;
  size_t head_weight_ = 0, head_bias_ = 0;
  std::vector<size_t> adapted_;
  std::vector<double> inner_rates_;
  int first_adapted_block_ = 0;
};

/// Convolution weights (kernels, coefficients and atoms) of a parameter set.
int64_t convolution_weights(const ParameterSet& parameters);

}  // namespace fewatoms
