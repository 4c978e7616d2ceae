#include "meta/inner_loop.h"

#include <torch/autograd.h>

#include "episodes/random.h"

namespace fewatoms {
namespace {

/// Each image moved by up to an eighth of its size, zeros filling up: a pure function of `key`.
Tensor shifted(const Tensor& images, std::initializer_list<uint64_t> key) {
  Random random(key);
  const int64_t h = images.size(2), w = images.size(3), dy = h / 8, dx = w / 8;
  const Tensor padded = at::constant_pad_nd(images, {dx, dx, dy, dy});
  std::vector<Tensor> moved;
  for (int64_t i = 0; i < images.size(0); ++i) {
    const auto top = static_cast<int64_t>(random.below(2 * dy + 1)), left = static_cast<int64_t>(random.below(2 * dx + 1));
    moved.push_back(padded[i].narrow(1, top, h).narrow(2, left, w));
  }
  return at::stack(moved);
}

/// The rest of the network on activations x of a prepared task.
Tensor features(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task, const BlockInput& x,
                std::vector<StatisticUpdate>* updates = nullptr) {
  const Backbone& backbone = learner.backbone();
  Activations result = backbone.forward(x, parameters, task.next_block, backbone.blocks(), task.norm);
  if (updates) updates->insert(updates->end(), result.updates.begin(), result.updates.end());
  return result.x;
}

std::vector<Tensor> tensors_at(const ParameterSet& parameters, const std::vector<size_t>& indices) {
  std::vector<Tensor> tensors;
  for (const size_t i : indices) tensors.push_back(parameters.tensor(i));
  return tensors;
}

/// ProtoNet with running statistics trains on the whole episode as one batch, as its authors do; there is nothing to adapt
/// in between.
bool one_joint_pass(const Learner& learner, NormMode norm) {
  return learner.head() == HeadKind::kPrototype && learner.running_norm() && norm == NormMode::kBatch &&
         learner.options().inner_steps == 0;
}

}  // namespace

PreparedTask prepare(const Learner& learner, const ParameterSet& parameters, const Task& task, NormMode norm) {
  const bool joint = one_joint_pass(learner, norm);
  PreparedTask prepared;
  prepared.ways = task.ways;
  prepared.norm = norm;
  prepared.next_block = joint ? learner.backbone().blocks() : learner.first_adapted_block();
  prepared.support_labels = task.support_labels;
  prepared.query_labels = task.query_labels;
  const auto fixed = [&](const Tensor& images) {
    return learner.backbone().forward(images, parameters, 0, prepared.next_block, norm);
  };
  if (joint) {
    Activations both = fixed(at::cat({task.support, task.query}));
    prepared.support = both.x.narrow(0, 0, task.support.size(0));
    prepared.query = both.x.narrow(0, task.support.size(0), task.query.size(0));
    prepared.query_updates = std::move(both.updates);
    return prepared;
  }
  // What the inner loop passes through the network again and again.
  const auto again = [&](const Tensor& images) {
    return learner.backbone().prepare(fixed(images).x, parameters, prepared.next_block, learner.adapted());
  };
  prepared.support = again(task.support);
  Activations query = fixed(task.query);
  prepared.query = query.x;
  prepared.query_updates = std::move(query.updates);
  if (learner.head() == HeadKind::kPrototype && !learner.adapted().empty() && task.support.size(0) == task.ways)
    prepared.views = again(at::cat({shifted(task.support, {task.index, 1}), shifted(task.support, {task.index, 2})}));
  return prepared;
}

Tensor inner_loss(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task) {
  if (learner.head() == HeadKind::kLinear)
    return at::cross_entropy_loss(learner.linear_logits(features(learner, parameters, task, task.support), parameters),
                                  task.support_labels);
  if (!task.views.x.defined())
    return at::cross_entropy_loss(
        leave_one_out_logits(features(learner, parameters, task, task.support), task.support_labels, task.ways),
        task.support_labels);
  const auto halves = features(learner, parameters, task, task.views).chunk(2);
  const Tensor centres = prototypes(halves[0], task.support_labels, task.ways);
  return at::cross_entropy_loss(prototype_logits(halves[1], centres), task.support_labels);
}

ParameterSet adapt(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task, int steps, Order order) {
  const std::vector<size_t>& adapted = learner.adapted();
  const bool keep_graph = at::GradMode::is_enabled();
  const bool create_graph = keep_graph && order == Order::kSecond;
  ParameterSet current = parameters;
  for (int step = 0; step < steps; ++step) {
    at::AutoGradMode grad_mode(true);
    if (!keep_graph) {
      std::vector<Tensor> leaves;
      for (const Tensor& t : tensors_at(current, adapted)) leaves.push_back(t.detach().requires_grad_(true));  // of this step
      current = current.with(adapted, leaves);
    }
    const std::vector<Tensor> values = tensors_at(current, adapted);
    const auto gradients = torch::autograd::grad({inner_loss(learner, current, task)}, values, {}, c10::nullopt, create_graph);
    std::vector<Tensor> moved;
    for (size_t i = 0; i < values.size(); ++i) moved.push_back(values[i] - learner.inner_rates()[i] * gradients[i]);
    current = current.with(adapted, moved);
  }
  if (keep_graph || steps == 0) return current;
  std::vector<Tensor> values;
  for (const Tensor& t : tensors_at(current, adapted)) values.push_back(t.detach());
  return current.with(adapted, values);
}

Tensor query_logits(const Learner& learner, const ParameterSet& adapted, const PreparedTask& task,
                    std::vector<StatisticUpdate>* updates) {
  if (updates) updates->insert(updates->end(), task.query_updates.begin(), task.query_updates.end());
  const Tensor query = features(learner, adapted, task, task.query, updates);
  if (learner.head() == HeadKind::kLinear) return learner.linear_logits(query, adapted);
  const Tensor support = features(learner, adapted, task, task.support);
  return prototype_logits(query, prototypes(support, task.support_labels, task.ways));
}

double accuracy(const Tensor& logits, const Tensor& labels) {
  return logits.argmax(1).eq(labels).to(at::kDouble).mean().item<double>();
}

TaskGradient task_gradient(const Learner& learner, const ParameterSet& parameters, const Task& task) {
  at::AutoGradMode grad_mode(true);
  const ParameterSet start = parameters.leaves(true);
  const PreparedTask prepared = prepare(learner, start, task, NormMode::kBatch);
  const ParameterSet adapted = adapt(learner, start, prepared, learner.options().inner_steps, learner.order());
  TaskGradient result;
  const Tensor logits = query_logits(learner, adapted, prepared, &result.updates);
  const Tensor loss = at::cross_entropy_loss(logits, task.query_labels);

  const std::vector<Tensor> leaves = tensors_at(start, start.trainable());
  result.gradients = torch::autograd::grad({loss}, leaves, {}, c10::nullopt, /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < leaves.size(); ++i)
    if (!result.gradients[i].defined()) result.gradients[i] = at::zeros_like(leaves[i]);
  result.loss = loss.item<double>();
  result.accuracy = accuracy(logits.detach(), task.query_labels);
  return result;
}

}  // namespace fewatoms
