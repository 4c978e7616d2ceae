#pragma once

#include <map>
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

  std::string head = "linear";  // one of head_names()
  std::string head_start =
      "learned";  // of class weights: learned (outer parameters), prototype (from the support set), fresh (random)
  double head_init = 0.01;          // deviation of class weights that start at random, 0..10
  double temperature = 1;           // scores are divided by it, > 0
  double regulariser = 1;           // of the ridge head, > 0
  std::string head_learned = "no";  // yes: temperature and regulariser are learned by the outer loop, from these values
  std::string feature_norm =
      "none";  // before the head; scaled: divided by the square root of their number d, so that squared
               // distances are means; l2: of length 1; centred: minus the mean feature of training, then l2

  std::string norm =
      "batch";  // batch: every pass by its own images; running: running statistics in evaluation; per-step: as
                // batch, with a scale and shift of its own for each inner step; group, layer, none
  std::string scope = "all";
  int inner_steps = 5;            // of training, 0..1000
  std::string order = "second";   // first or second
  std::string inner_lr = "0.05";  // per step on the mean loss, by role: see RoleRates
  std::string inner_lr_learned =
      "none";  // none, scalar, role, tensor or element: what has a step size of its own, learned by the outer loop
  std::string inner_lr_per_step =
      "no";  // yes: learned step sizes are those of one inner step each; later steps use the last ones
  std::string inner_optimizer = "sgd";  // sgd, momentum (0.9) or adam
  double inner_weight_decay = 0;        // L2, added to the inner gradient; >= 0
  int inner_batch = 0;                  // support images of an inner step, drawn anew for each; 0: all

  std::string train_on =
      "episodes";   // classes: training images are classified among all training classes, nothing adapts
  int classes = 0;  // of training; for train_on classes
  std::string outer_gradient =
      "query";  // of the query loss; displacement: start minus end of an inner loop over all images (Reptile)

  int ways = 5;       // of learned class weights
  uint64_t seed = 0;  // of the initial parameters

  bool operator==(const LearnerOptions&) const = default;
};

/// A network with its head and inner loop, resolved and checked: immutable, shared by all tasks and threads.
/// The parameters are apart, in a ParameterSet.
class Learner {
 public:
  /// Builds the network, without drawing values. Throws UsageError on options out of range, unknown names, or a
  /// combination that cannot work.
  explicit Learner(const LearnerOptions& options);
  /// The same, with the first values of the options' seed.
  Learner(const LearnerOptions& options, ParameterSet& parameters);

  /// What its own parameters are; the head that a task makes for itself comes behind them.
  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  const LearnerOptions& options() const { return options_; }
  const Backbone& backbone() const { return *backbone_; }
  size_t size() const { return schema_->size(); }  // tensors of its own parameter set
  HeadKind head() const { return head_; }
  Order order() const { return order_; }
  bool running_norm() const { return options_.norm == "running"; }
  /// Of passes that are not for training.
  NormMode evaluation_norm() const { return running_norm() ? NormMode::kRunning : NormMode::kBatch; }
  /// Evaluation uses the statistics of the query batch: the query images are classified together.
  bool transductive() const { return options_.norm == "batch" || options_.norm == "per-step"; }
  bool trains_on_classes() const { return options_.train_on == "classes"; }
  /// Tasks must have options().ways classes: their class weights are learned.
  bool fixed_ways() const { return has_class_weights(head_) && !makes_head(); }
  /// Of a prototype head on features as they are, or scaled: what it divides their squared distances by. Others: none.
  std::optional<double> distance_unit(const ParameterSet& parameters) const;

  /// Indices of the tensors that the inner loop changes, and the initial step size of each. With a head made for each
  /// task they include its tensors, which come last: indices from the size of the learner's own parameter set on.
  const std::vector<size_t>& adapted() const { return adapted_; }
  const std::vector<double>& inner_rates() const { return inner_rates_; }
  /// What may differ from one inner step to the next: the adapted tensors, and norms that are of a step.
  std::vector<size_t> changing() const;
  /// Numbers that the inner loop changes by role; of a head made for each task, one for options().ways classes.
  std::map<Role, int64_t> adapted_count() const;
  /// Step size of the k-th adapted tensor at an inner step, where it is learned; undefined otherwise. Broadcasts to the
  /// tensor.
  Tensor learned_rate(size_t k, int step, const ParameterSet& parameters) const;
  /// Blocks before this one are the same before and after adaptation.
  int first_adapted_block() const { return first_adapted_block_; }

  /// Whether each task starts with class weights of its own, made from its support features or at random.
  bool makes_head() const { return has_class_weights(head_) && options_.head_start != "learned"; }
  /// `parameters` with class weights for a task appended. Support features [n, d] are those that head_features gives.
  ParameterSet with_task_head(const ParameterSet& parameters, const Tensor& support, const Tensor& labels,
                              int64_t ways) const;
  /// `parameters` with the scales and shifts of the norms at an inner step, 0 the first; the same where norm is not
  /// per-step.
  ParameterSet at_step(const ParameterSet& parameters, int step) const;

  /// What the head sees of features [n, d] of the backbone.
  Tensor head_features(const Tensor& features, const ParameterSet& parameters) const;
  /// Head with class weights: scores [n, ways] of head features [n, d].
  Tensor class_logits(const Tensor& features, const ParameterSet& parameters) const;
  /// The other heads.
  Comparison comparison(const ParameterSet& parameters) const;
  /// Scores [n, classes] of head features among all training classes.
  Tensor training_class_logits(const Tensor& features, const ParameterSet& parameters) const;
  /// Index of the running mean of features, which `centred` subtracts.
  std::optional<size_t> feature_mean() const { return feature_mean_; }

 private:
  void add_head(Schema& schema);
  void choose_adapted(Schema& schema, const Schema& task_schema);
  Tensor temperature(const ParameterSet& parameters) const;  // undefined: 1
  Tensor class_scores(const Tensor& features, const Tensor& weight, const Tensor& bias,
                      const ParameterSet& parameters) const;

  LearnerOptions options_;
  HeadKind head_;
  Order order_;
  std::unique_ptr<Backbone> backbone_;
  size_t head_weight_ = 0, head_bias_ = 0;  // of class weights, learned or made for each task
  size_t relation_hidden_ = 0, relation_bias_ = 0, relation_out_ = 0;
  size_t class_weight_ = 0, class_bias_ = 0;  // among all training classes
  std::optional<size_t> log_temperature_, log_regulariser_, feature_mean_;
  std::shared_ptr<const Schema> schema_;
  std::vector<size_t> adapted_;
  std::vector<double> inner_rates_;
  std::vector<size_t> rate_indices_;         // of learned step sizes, one for each adapted tensor
  std::vector<size_t> norms_, later_norms_;  // scales and shifts, and their values for steps 1.. [steps-1, channels]
  int first_adapted_block_ = 0;
};

/// Throws UsageError if an episode may have a class of one shot beside others of more, and the learner's inner loss
/// leaves each image out of its own class.
void require_images_to_leave_out(const Learner& learner, const EpisodeSpec& spec);

/// "5", or "5..20" where `fewest` is not 0.
std::string range_text(int fewest, int most);

/// What a refusal of other ways adds.
constexpr const char* kAnyWays = " (head-start prototype or fresh and the heads that compare take any number)";

/// Convolution weights: kernels, coefficients and atoms.
int64_t convolution_weights(const Schema& schema);

}  // namespace fewatoms
