#pragma once

#include <future>
#include <memory>

#include "meta/inner_loop.h"
#include "meta/outer_optimizer.h"

namespace fewatoms {

/// The outer loop's options.
struct TrainerOptions {
  EpisodeSpec spec;
  int iterations = 60000;                // outer steps in all; the cosine schedule ends there
  int meta_batch = 4;                    // tasks per outer step, >= 1
  std::string outer_optimizer = "adam";  // adam, adamw or sgd
  double outer_momentum = 0;             // of sgd, 0 to less than 1
  std::string outer_lr = "0.001";        // step size, by role: see RoleRates
  std::string lr_schedule = "constant";  // constant, step (times lr_gamma every lr_step), linear or cosine (to zero)
  int lr_step = 10000;                   // iterations
  double lr_gamma = 0.5;                 // (0, 1]
  double weight_decay = 0;               // L2, of all but role meta; >= 0
  double clip_norm = 0;                  // largest norm of the whole gradient, after clip_value; 0: no limit
  double clip_value = 0;                 // largest magnitude of an element; 0: no limit
  double label_smoothing = 0;  // of the outer loss: targets are 1 - it at the label, the rest spread; 0 to less than 1
  double first_order_share = 0;  // of the iterations, from the start: order first (MAML++'s order annealing); 0..1
  double multi_step_share = 0;   // of the iterations, from the start: the query loss after every inner step counts, all
                                 // alike at first and the last alone at its end (MAML++'s multi-step loss); 0..1
  Augmented augmented = Augmented::kNone;  // which training images get augmentation keys
  PixelNorm pixel_norm = PixelNorm::kUnit;
  uint64_t seed = 0;  // of the episodes
};

/// All that changes in training: enough to go on exactly where it stopped.
struct TrainState {
  ParameterSet parameters;
  OptimizerState optimizer = {};  // of the trainable tensors, in their order
  int64_t iteration = 0;          // outer steps done
  double best_accuracy = -1;      // of the validations so far; -1: none yet
  int64_t best_iteration = 0;
  int64_t last_validation = 0;  // iteration of the latest validation; 0: none yet
  double seconds = 0;           // spent in training, validation included
};

struct IterationReport {
  int64_t iteration = 0;     // counts from 1
  double loss = 0;           // mean query loss after adaptation
  double accuracy = 0;       // mean query accuracy after adaptation
  double outer_lr = 1;       // the schedule's factor
  double gradient_norm = 0;  // of all parameters together, before clipping
  double seconds = 0;        // that this iteration took
};

/// Raised when the loss is no longer a finite number; the message names iteration and episode.
class NonFiniteLoss : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The outer loop: draws episodes, runs their inner loops in parallel, sums gradients in task order, takes steps of an
/// optimizer. While one meta-batch trains, the next is prepared. Weights do not depend on the number of threads.
class Trainer {
 public:
  /// `learner` and `source` must outlive it. Throws as require_trainable does.
  Trainer(const Learner& learner, const ImageSource& source, TrainerOptions options, TrainState state);
  ~Trainer();

  /// One outer step on the next episodes of the source. Throws NonFiniteLoss before anything has changed, and what the
  /// source throws.
  IterationReport step();

  /// The same on tasks that the caller made: one or more, of which the mean gradient is taken. Throws NonFiniteLoss
  /// before anything has changed.
  IterationReport step(const std::vector<Task>& tasks);

  /// A snapshot that shares nothing with the running optimizer.
  TrainState state() const;
  int64_t iteration() const { return state_.iteration; }
  int64_t last_validation() const { return state_.last_validation; }
  const ParameterSet& parameters() const { return state_.parameters; }
  void record_validation(double accuracy);  // of the parameters as they are; keeps the best

 private:
  void start_loading(int64_t iteration);
  double schedule(int64_t iteration) const;
  OuterPhase phase(int64_t iteration) const;

  const Learner& learner_;
  const ImageSource& source_;
  TrainerOptions options_;
  TrainState state_;
  std::vector<size_t> trainable_;
  std::vector<Tensor> values_;  // the optimizer's view of the trainable tensors
  OuterOptimizer optimizer_;
  std::vector<StepSize> sizes_;  // of each of them, before the schedule
  std::future<std::vector<Task>> next_;
  int64_t next_iteration_ = -1;
};

/// Throws UsageError unless the options are in range.
void require_valid(const TrainerOptions& options);

/// Throws UsageError if the phases of the outer loop make no sense for such a learner.
void require_phases(const LearnerOptions& learner, const TrainerOptions& options);

/// Throws UsageError unless a Trainer can be made of these: options in range, an outer rate for the role of every
/// trainable parameter and for no other role, the ways of a linear head, and what require_servable throws.
void require_trainable(const Learner& learner, const ImageSource& source, const TrainerOptions& options);

}  // namespace fewatoms
