#include "meta/inner_loop.h"

#include <torch/autograd.h>

#include <cmath>
#include <numeric>

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
    const auto top = static_cast<int64_t>(random.below(2 * dy + 1)),
               left = static_cast<int64_t>(random.below(2 * dx + 1));
    moved.push_back(padded[i].narrow(1, top, h).narrow(2, left, w));
  }
  return at::stack(moved);
}

/// The images of a task that pass through the network together: what is dropped in one has nothing to do with the
/// others.
enum class Part : uint64_t { kSupport = 1, kQuery, kViews, kBatch };
Pass pass_of(const Pass& pass, Part part) {
  Pass own = pass;
  if (pass.drop_key != 0) own.drop_key = mix_key({pass.drop_key, static_cast<uint64_t>(part)});
  return own;
}

/// How a task trains.
Pass training_pass(const Learner& learner, const Task& task) {
  const NetworkOptions& network = learner.options().network;
  const uint64_t key = mix_key({learner.options().seed, stream(Stream::kDrop), task.index});
  return {NormMode::kBatch, network.drop_rate > 0 ? key : 0, network.conv.atom_drop_rate > 0 ? key : 0};
}

/// What the head sees: the rest of the network on activations x of a prepared task.
Tensor features(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task, Part part,
                const BlockInput& x, std::vector<StatisticUpdate>* updates = nullptr) {
  const Backbone& backbone = learner.backbone();
  Activations result = backbone.forward(x, parameters, task.next_block, backbone.blocks(), pass_of(task.pass, part));
  if (updates) updates->insert(updates->end(), result.updates.begin(), result.updates.end());
  return learner.head_features(result.x, parameters);
}

std::vector<Tensor> tensors_at(const ParameterSet& parameters, const std::vector<size_t>& indices) {
  std::vector<Tensor> tensors;
  for (const size_t i : indices) tensors.push_back(parameters.tensor(i));
  return tensors;
}

/// Scores of the task's own classes: a learned head may have outputs for more.
Tensor own_class_logits(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task,
                        const Tensor& head_features) {
  const Tensor logits = learner.class_logits(head_features, parameters);
  return logits.size(1) > task.ways ? logits.narrow(1, 0, task.ways) : logits;
}

/// Cross-entropy against targets of 1 - smoothing at the label, the rest spread over all classes.
Tensor smoothed_loss(const Tensor& logits, const Tensor& labels, double smoothing) {
  return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Mean, -100, smoothing);
}

/// Heads that compare, with running statistics, train on the whole episode as one batch, as ProtoNet's authors do;
/// there is nothing to adapt in between.
bool one_joint_pass(const Learner& learner, NormMode norm) {
  return !has_class_weights(learner.head()) && learner.running_norm() && norm == NormMode::kBatch &&
         learner.options().inner_steps == 0;
}

/// The support images of one inner step, as a task without queries: all, or a batch drawn by (episode, step) alone.
PreparedTask batch_of_step(const Learner& learner, const PreparedTask& task, int step) {
  const int64_t count = task.support_labels.size(0), size = learner.options().inner_batch;
  if (size == 0 || size >= count) return task;
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), int64_t{0});
  Random random{task.index, 3, static_cast<uint64_t>(step)};
  random.shuffle(order);
  const Tensor chosen = at::tensor(std::vector<int64_t>(order.begin(), order.begin() + size), at::kLong);
  PreparedTask batch = task;
  batch.support = task.support.x.index_select(0, chosen);
  batch.support_labels = task.support_labels.index_select(0, chosen);
  return batch;
}

constexpr double kMomentum = 0.9, kDecay1 = 0.9, kDecay2 = 0.999;  // of the inner optimizers
constexpr double kAdamSmall = 1e-5;  // added to Adam's root: a step's derivative is at most its inverse

/// Direction of a step for gradient g: g itself, or what momentum or Adam make of it. Every operation can be
/// differentiated.
Tensor direction(const std::string& optimizer, const Tensor& g, size_t k, InnerState& state) {
  if (optimizer == "sgd") return g;
  if (state.first_moment.size() <= k) {
    state.first_moment.push_back(at::zeros_like(g));
    state.second_moment.push_back(at::zeros_like(g));
  }
  Tensor &m = state.first_moment[k], &v = state.second_moment[k];
  if (optimizer == "momentum") return m = kMomentum * m + g;
  m = kDecay1 * m + (1 - kDecay1) * g;
  v = kDecay2 * v + (1 - kDecay2) * g * g;
  const int t = state.step + 1;
  const Tensor square = v / (1 - std::pow(kDecay2, t));
  return m / (1 - std::pow(kDecay1, t)) / (square + kAdamSmall * kAdamSmall).sqrt();
}

}  // namespace

PreparedTask prepare(const Learner& learner, const ParameterSet& parameters, const Task& task, const Pass& pass) {
  const bool joint = one_joint_pass(learner, pass.norm);
  PreparedTask prepared;
  prepared.index = task.index;
  prepared.ways = task.ways;
  prepared.pass = pass;
  prepared.next_block = joint ? learner.backbone().blocks() : learner.first_adapted_block();
  prepared.support_labels = task.support_labels;
  prepared.query_labels = task.query_labels;
  const auto fixed = [&](const Tensor& images, Part part) {
    return learner.backbone().forward(images, parameters, 0, prepared.next_block, pass_of(pass, part));
  };
  if (joint) {
    Activations both = fixed(at::cat({task.support, task.query}), Part::kBatch);
    prepared.support = both.x.narrow(0, 0, task.support.size(0));
    prepared.query = both.x.narrow(0, task.support.size(0), task.query.size(0));
    prepared.query_updates = std::move(both.updates);
    return prepared;
  }
  // What the inner loop passes through the network again and again.
  const auto again = [&](const Tensor& images, Part part) -> BlockInput {
    if (learner.options().inner_batch > 0) return fixed(images, part).x;  // other images in each step
    return learner.backbone().prepare(fixed(images, part).x, parameters, prepared.next_block, learner.changing(),
                                      pass_of(pass, part));
  };
  prepared.support = again(task.support, Part::kSupport);
  if (task.query.defined()) {
    Activations query = fixed(task.query, Part::kQuery);
    prepared.query = query.x;
    prepared.query_updates = std::move(query.updates);
  }
  if (!has_class_weights(learner.head()) && !learner.adapted().empty() && task.support.size(0) == task.ways)
    prepared.views =
        again(at::cat({shifted(task.support, {task.index, 1}), shifted(task.support, {task.index, 2})}), Part::kViews);
  return prepared;
}

Tensor inner_loss(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task) {
  if (has_class_weights(learner.head()))
    return at::cross_entropy_loss(
        own_class_logits(learner, parameters, task, features(learner, parameters, task, Part::kSupport, task.support)),
        task.support_labels);
  const Comparison head = learner.comparison(parameters);
  if (!task.views.x.defined())
    return at::cross_entropy_loss(
        compared_logits_leaving_one_out(head, features(learner, parameters, task, Part::kSupport, task.support),
                                        task.support_labels, task.ways),
        task.support_labels);
  const auto halves = features(learner, parameters, task, Part::kViews, task.views).chunk(2);
  return at::cross_entropy_loss(compared_logits(head, halves[0], task.support_labels, task.ways, halves[1]),
                                task.support_labels);
}

InnerState adapt_further(const Learner& learner, InnerState state, const PreparedTask& task, int steps, Order order) {
  const LearnerOptions& options = learner.options();
  const std::vector<size_t>& adapted = learner.adapted();
  const bool keep_graph = at::GradMode::is_enabled();
  const bool create_graph = keep_graph && order == Order::kSecond;
  ParameterSet& current = state.parameters;
  if (learner.makes_head() && current.size() == learner.size()) {
    current = learner.with_task_head(current, features(learner, current, task, Part::kSupport, task.support),
                                     task.support_labels, task.ways);
    // A head made from features depends on the body; the first step's gradient by the body takes it for given all the
    // same.
    std::vector<Tensor> aliases;
    for (const Tensor& t : tensors_at(current, adapted)) aliases.push_back(t.view_as(t));
    current = current.with(adapted, aliases);
  }
  for (int end = state.step + steps; state.step < end; ++state.step) {
    at::AutoGradMode grad_mode(true);
    current = learner.at_step(current, state.step);
    if (!keep_graph) {
      std::vector<Tensor> leaves;
      for (const Tensor& t : tensors_at(current, adapted))
        leaves.push_back(t.detach().requires_grad_(true));  // of this step
      current = current.with(adapted, leaves);
    }
    const std::vector<Tensor> values = tensors_at(current, adapted);
    const Tensor loss = inner_loss(learner, current, batch_of_step(learner, task, state.step));
    const auto gradients = torch::autograd::grad({loss}, values, {}, /*retain_graph=*/{}, create_graph);
    std::vector<Tensor> moved;
    for (size_t k = 0; k < values.size(); ++k) {
      Tensor g = gradients[k];
      if (options.inner_weight_decay > 0)
        g = g + options.inner_weight_decay * (create_graph ? values[k] : values[k].detach());
      Tensor step = direction(options.inner_optimizer, g, k, state);
      const Tensor rate = learner.learned_rate(k, state.step, current);
      if (state.rate_factor != 1) step = step * state.rate_factor;
      moved.push_back(values[k] - (rate.defined() ? rate * step : learner.inner_rates()[k] * step));
    }
    current = current.with(adapted, moved);
  }
  if (keep_graph || steps == 0) return state;
  std::vector<Tensor> values;
  for (const Tensor& t : tensors_at(current, adapted)) values.push_back(t.detach());
  current = current.with(adapted, values);
  return state;
}

ParameterSet adapt(const Learner& learner, const ParameterSet& parameters, const PreparedTask& task, int steps,
                   Order order) {
  return adapt_further(learner, parameters, task, steps, order).parameters;
}

Tensor query_logits(const Learner& learner, const ParameterSet& adapted, const PreparedTask& task,
                    std::vector<StatisticUpdate>* updates) {
  if (updates) updates->insert(updates->end(), task.query_updates.begin(), task.query_updates.end());
  const Tensor query = features(learner, adapted, task, Part::kQuery, task.query, updates);
  if (has_class_weights(learner.head())) return own_class_logits(learner, adapted, task, query);
  const Tensor support = features(learner, adapted, task, Part::kSupport, task.support);
  return compared_logits(learner.comparison(adapted), support, task.support_labels, task.ways, query);
}

TaskFeatures task_features(const Learner& learner, const ParameterSet& adapted, const PreparedTask& task) {
  return {features(learner, adapted, task, Part::kSupport, task.support),
          features(learner, adapted, task, Part::kQuery, task.query)};
}

double accuracy(const Tensor& logits, const Tensor& labels) {
  const Tensor answers = logits.isnan().any(1).logical_not();  // of NaNs the first would count as the largest
  return logits.argmax(1).eq(labels).logical_and(answers).to(at::kDouble).mean().item<double>();
}

namespace {

/// The gradient of `loss` by every trainable tensor of `start`, zeros where it does not reach.
std::vector<Tensor> outer_gradients(const Tensor& loss, const ParameterSet& start) {
  const std::vector<Tensor> leaves = tensors_at(start, start.trainable());
  auto gradients =
      torch::autograd::grad({loss}, leaves, {}, /*retain_graph=*/{}, /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < leaves.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = at::zeros_like(leaves[i]);
  return gradients;
}

/// A batch of training images among all training classes.
TaskGradient class_gradient(const Learner& learner, const ParameterSet& start, const Task& batch,
                            const OuterPhase& phase) {
  TaskGradient result;
  Activations pass =
      learner.backbone().forward(batch.query, start, pass_of(training_pass(learner, batch), Part::kBatch));
  const Tensor logits =
      learner.training_class_logits(pass.x, start);  // features as they are: their mean is not known yet
  result.updates = std::move(pass.updates);
  if (learner.feature_mean()) {  // one statistic, not two: both halves of the update are it
    const Tensor mean = pass.x.detach().mean(0);
    result.updates.push_back({*learner.feature_mean(), *learner.feature_mean(), mean, mean});
  }
  const Tensor loss = smoothed_loss(logits, batch.query_labels, phase.label_smoothing);
  result.gradients = outer_gradients(loss, start);
  result.loss = loss.item<double>();
  result.accuracy = accuracy(logits.detach(), batch.query_labels);
  return result;
}

/// Reptile: nothing is differentiated outside the inner loop.
TaskGradient displacement(const Learner& learner, const ParameterSet& start, const Task& task) {
  at::NoGradGuard no_graph;
  Task all = task;
  all.support = at::cat({task.support, task.query});
  all.support_labels = at::cat({task.support_labels, task.query_labels});
  const PreparedTask prepared = prepare(learner, start, all, training_pass(learner, task));
  const ParameterSet adapted = adapt(learner, start, prepared, learner.options().inner_steps, Order::kFirst);
  TaskGradient result;
  const Tensor logits = query_logits(learner, adapted, prepared, &result.updates);
  for (const size_t i : start.trainable()) result.gradients.push_back(start.tensor(i) - adapted.tensor(i));
  result.loss = at::cross_entropy_loss(logits, task.query_labels).item<double>();
  result.accuracy = accuracy(logits, task.query_labels);
  return result;
}

}  // namespace

TaskGradient task_gradient(const Learner& learner, const ParameterSet& parameters, const Task& task,
                           const OuterPhase& phase) {
  at::AutoGradMode grad_mode(true);
  if (learner.options().outer_gradient == "displacement") return displacement(learner, parameters.leaves(false), task);
  const ParameterSet start = parameters.leaves(true);
  if (learner.trains_on_classes()) return class_gradient(learner, start, task, phase);
  const PreparedTask prepared = prepare(learner, start, task, training_pass(learner, task));
  const Order order = phase.order == Order::kFirst ? Order::kFirst : learner.order();
  const int steps = learner.options().inner_steps;
  const auto weight_of = [&](int step) {  // of the query loss after `step` steps
    return phase.step_weights.empty() ? (step == steps ? 1.0 : 0.0) : step == 0 ? 0.0 : phase.step_weights.at(step - 1);
  };
  TaskGradient result;
  InnerState state(start);
  Tensor logits, loss;
  int done = 0;
  for (int step = 0; step <= steps; ++step) {
    const double weight = weight_of(step);
    if (weight == 0 && step < steps) continue;
    state = adapt_further(learner, std::move(state), prepared, step - done, order);
    done = step;
    logits = query_logits(learner, state.parameters, prepared, step == steps ? &result.updates : nullptr);
    const Tensor here = smoothed_loss(logits, task.query_labels, phase.label_smoothing);
    if (weight == 1)
      loss = here;
    else
      loss = loss.defined() ? loss + weight * here : weight * here;
  }
  result.gradients = outer_gradients(loss, start);
  result.loss = loss.item<double>();
  result.accuracy = accuracy(logits.detach(), task.query_labels);
  return result;
}

}  // namespace fewatoms
