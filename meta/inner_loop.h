#pragma once

#include <vector>

#include "meta/learner.h"

namespace fewatoms {

/// A task as the inner loop sees it: everything that adaptation cannot change has been computed, once.
struct PreparedTask {
  int ways = 0;
  NormMode norm = NormMode::kBatch;
  int next_block = 0;     // the blocks before it have run
  BlockInput support;     // of the first adapted block, or features
  Tensor support_labels;  // [ways*shots]
  BlockInput query;       // the same for the query images
  Tensor query_labels;
  BlockInput views;       // 2*ways support images shifted at random, for prototypes from one shot: see inner_loss
  std::vector<StatisticUpdate> query_updates;  // what the query images' pass through the fixed blocks found
};

/// Runs the fixed blocks. In the graph of `parameters` where gradient mode is on.
PreparedTask prepare(const Learner& learner, const ParameterSet& parameters, const Task& task, NormMode norm);

/// Mean loss of the support set. Linear head: cross-entropy of its scores. Prototype head: cross-entropy of each image
/// against prototypes that leave it out; with one shot, of a shifted view of it against prototypes of other views.
Tensor inner_loss(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task);

/// `steps` gradient steps on the inner loss. The result shares every tensor that the scope leaves out.
/// Order::kSecond keeps the graph through the steps, kFirst treats each step's gradient as a constant; with gradient mode
/// off the result is cut from any graph and nothing of the steps is kept.
ParameterSet adapt(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task, int steps, Order order);

/// Scores [ways*queries, ways] of the query images under adapted parameters. What the pass found for the running
/// statistics is added to `updates` if that is not null.
Tensor query_logits(const Learner& learner, const ParameterSet& adapted, const PreparedTask& task,
                    std::vector<StatisticUpdate>* updates = nullptr);

/// Share of scores [n, ways] whose largest is at the label.
double accuracy(const Tensor& logits, const Tensor& labels);

/// What one task gives the outer loop.
struct TaskGradient {
  std::vector<Tensor> gradients;  // of the query loss after adaptation, one per trainable tensor, in order
  double loss = 0;
  double accuracy = 0;
  std::vector<StatisticUpdate> updates;
};

/// Adapts with the learner's steps and order, and differentiates the query loss by the parameters before adaptation.
TaskGradient task_gradient(const Learner& learner, const ParameterSet& parameters, const Task& task);

}  // namespace fewatoms
