#pragma once

#include <vector>

#include "meta/learner.h"

namespace fewatoms {

/// A task as the inner loop sees it: everything that adaptation cannot change has been computed, once.
struct PreparedTask {
  uint64_t index = 0;  // of the episode
  int ways = 0;
  Pass pass = NormMode::kBatch;
  int next_block = 0;     // the blocks before it have run
  BlockInput support;     // of the first adapted block, or features
  Tensor support_labels;  // [ways*shots]
  BlockInput query;       // the same for the query images
  Tensor query_labels;
  BlockInput views;  // 2*ways support images shifted at random, for prototypes from one shot: see inner_loss
  std::vector<StatisticUpdate> query_updates;  // what the query images' pass through the fixed blocks found
};

/// Runs the fixed blocks. In the graph of `parameters` where gradient mode is on. The task may have no query images
/// (undefined), and fewer classes than a learned head: its outputs beyond `task.ways` are then left out of losses and
/// scores.
PreparedTask prepare(const Learner& learner, const ParameterSet& parameters, const Task& task, const Pass& pass);

/// Mean loss of the support set. Class weights: cross-entropy of their scores. Heads that compare: cross-entropy of
/// each image against a support set that leaves it out; with one shot, of a shifted view of it against other views.
Tensor inner_loss(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task);

/// Where the inner loop of a task stands.
struct InnerState {
  ParameterSet parameters;  // with the task's own head, if the learner makes one, and the norms of the last step's pass
  int step = 0;             // steps done
  double rate_factor = 1;   // every step size is multiplied by it
  std::vector<Tensor> first_moment,
      second_moment;  // of the inner optimizer, one per adapted tensor; empty if it has none

  InnerState(ParameterSet start) : parameters(std::move(start)) {}
};

/// `steps` more steps on the inner loss. The result shares every tensor that the scope leaves out.
/// Order::kSecond keeps the graph through the steps, kFirst treats each step's gradient as a constant; with gradient
/// mode off the result is cut from any graph and nothing of the steps is kept.
InnerState adapt_further(const Learner& learner, InnerState state, const PreparedTask& task, int steps, Order order);

/// The parameters after `steps` steps from the start.
ParameterSet adapt(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task, int steps,
                   Order order);

/// Scores [ways*queries, ways] of the query images under adapted parameters. What the pass found for the running
/// statistics is added to `updates` if that is not null.
Tensor query_logits(const Learner& learner, const ParameterSet& adapted, const PreparedTask& task,
                    std::vector<StatisticUpdate>* updates = nullptr);

/// What the head sees of a task's images under adapted parameters: [ways*shots, d] and [ways*queries, d].
struct TaskFeatures {
  Tensor support, query;
};
TaskFeatures task_features(const Learner& learner, const ParameterSet& adapted, const PreparedTask& task);

/// Share of scores [n, ways] whose largest is at the label. Scores with a NaN among them answer nothing: they are
/// wrong.
double accuracy(const Tensor& logits, const Tensor& labels);

/// What one task gives the outer loop.
struct TaskGradient {
  std::vector<Tensor> gradients;  // of the query loss after adaptation, one per trainable tensor, in order
  double loss = 0;
  double accuracy = 0;
  std::vector<StatisticUpdate> updates;
};

/// What the outer loop changes from iteration to iteration.
struct OuterPhase {
  Order order = Order::kSecond;  // the learner's own order may be lower
  double label_smoothing = 0;    // of the outer loss, 0..1
  /// Share of the query loss that each inner step gives, the first step first; empty: all of it after the last.
  std::vector<double> step_weights;
};

/// Adapts with the learner's steps and order, and differentiates the query loss by the parameters before adaptation. A
/// learner that trains on classes takes the query images as a batch whose labels are training classes. Outer gradient
/// `displacement` is start minus end of an inner loop over support and query images (Nichol et al. 2018).
TaskGradient task_gradient(const Learner& learner, const ParameterSet& parameters, const Task& task,
                           const OuterPhase& phase = {});

}  // namespace fewatoms
