#include "meta/trainer.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "meta/evaluate.h"

namespace fewatoms {
namespace {

void require(bool good, const std::string& what, const std::string& given, const std::string& expected) {
  if (!good) throw UsageError(what + " is " + given + ", " + expected + " was expected");
}

/// Of all tensors together.
double norm_of_all(const std::vector<Tensor>& tensors) {
  double squares = 0;
  for (const Tensor& t : tensors) squares += t.pow(2).sum(at::kDouble).item<double>();
  return std::sqrt(squares);
}

}  // namespace

void require_valid(const TrainerOptions& o) {
  require(o.iterations >= 1, "iterations", std::to_string(o.iterations), "1 or more");
  require(o.meta_batch >= 1 && o.meta_batch <= 1024, "meta-batch", std::to_string(o.meta_batch), "1 to 1024");
  require(o.lr_step >= 1, "lr-step", std::to_string(o.lr_step), "1 or more");
  require(o.lr_gamma > 0 && o.lr_gamma <= 1, "lr-gamma", number_text(o.lr_gamma), "more than 0 and at most 1");
  require(o.weight_decay >= 0 && std::isfinite(o.weight_decay), "weight decay", number_text(o.weight_decay),
          "0 or more");
  require(o.clip_norm >= 0 && std::isfinite(o.clip_norm), "clip-norm", number_text(o.clip_norm), "0 or more");
  require(o.clip_value >= 0 && std::isfinite(o.clip_value), "clip-value", number_text(o.clip_value), "0 or more");
  const std::vector<std::string> schedules = {"constant", "step", "linear", "cosine"},
                                 optimizers = outer_optimizer_names();
  if (std::find(schedules.begin(), schedules.end(), o.lr_schedule) == schedules.end())
    throw UsageError(unknown_name("lr schedule", o.lr_schedule, schedules));
  if (std::find(optimizers.begin(), optimizers.end(), o.outer_optimizer) == optimizers.end())
    throw UsageError(unknown_name("outer optimizer", o.outer_optimizer, optimizers));
  require(o.outer_momentum >= 0 && o.outer_momentum < 1, "outer-momentum", number_text(o.outer_momentum),
          "0 to less than 1");
  require(o.outer_momentum == 0 || o.outer_optimizer == "sgd", "outer-momentum", number_text(o.outer_momentum),
          "0, as " + o.outer_optimizer + " has its own,");
  require(o.label_smoothing >= 0 && o.label_smoothing < 1, "label-smoothing", number_text(o.label_smoothing),
          "0 to less than 1");
  require(o.first_order_share >= 0 && o.first_order_share <= 1, "first-order-share", number_text(o.first_order_share),
          "0 to 1");
  require(o.multi_step_share >= 0 && o.multi_step_share <= 1, "multi-step-share", number_text(o.multi_step_share),
          "0 to 1");
}

void require_phases(const LearnerOptions& learner, const TrainerOptions& options) {
  const bool steps_are_differentiated =
      learner.inner_steps > 0 && learner.train_on == "episodes" && learner.outer_gradient == "query";
  require(options.multi_step_share == 0 || steps_are_differentiated, "multi-step-share",
          number_text(options.multi_step_share), "0, as this training does not differentiate inner steps,");
  require(options.first_order_share == 0 || (steps_are_differentiated && learner.order == "second"),
          "first-order-share", number_text(options.first_order_share), "0, as this training is never of second order,");
  require(options.label_smoothing == 0 || learner.outer_gradient == "query", "label-smoothing",
          number_text(options.label_smoothing), "0, as outer gradient 'displacement' has no outer loss,");
}

void require_trainable(const Learner& learner, const ImageSource& source, const TrainerOptions& options) {
  require_valid(options);
  EpisodeSpec spec = options.spec;
  if (learner.trains_on_classes()) {  // query images alone
    if (!spec.fixed() || spec.fewest_queries != 0 || spec.within_group)
      throw UsageError(
          "training on classes takes batches of ways * queries images: ranges of ways, shots or queries and groups are "
          "for episodes");
    if (options.augmented == Augmented::kSupport)
      throw UsageError("training on classes has no support images to augment");
    spec.shots = 1;
    spec.queries = std::max(1, spec.queries - 1);
    if (learner.options().classes != source.classes())
      throw UsageError("a network for " + std::to_string(learner.options().classes) +
                       " training classes cannot train on " + std::to_string(source.classes()) + " classes");
  }
  require_servable(source, spec);
  require_phases(learner.options(), options);
  if (learner.fixed_ways() && (options.spec.fewest_ways != 0 || options.spec.ways != learner.options().ways))
    throw UsageError("a " + learner.options().head + " head with learned weights for " +
                     std::to_string(learner.options().ways) + " ways cannot train on episodes of " +
                     range_text(options.spec.fewest_ways, options.spec.ways) + kAnyWays);
  require_images_to_leave_out(learner, options.spec);
  RoleRates("outer rate", options.outer_lr).require(roles_of(*learner.schema(), learner.schema()->trainable()));
}

Trainer::Trainer(const Learner& learner, const ImageSource& source, TrainerOptions options, TrainState state)
    : learner_(learner), source_(source), options_(std::move(options)), state_(std::move(state)) {
  require_trainable(learner_, source_, options_);
  TORCH_CHECK(state_.parameters.schema()->digest() == learner_.schema()->digest(),
              "the parameters to train are not those of the learner: names, shapes or roles differ");
  trainable_ = state_.parameters.trainable();
  const RoleRates rates("outer rate", options_.outer_lr);
  for (const size_t i : trainable_) {
    values_.push_back(state_.parameters.tensor(i).detach().clone());
    // A step size or a temperature's logarithm has no reason to shrink.
    const Role role = state_.parameters[i].role;
    sizes_.push_back({.rate = rates[role], .weight_decay = role.decays ? options_.weight_decay : 0});
  }
  state_.parameters = state_.parameters.leaves(false).with(trainable_, values_);
  state_.optimizer = state_.optimizer.clone();  // steps change it in place
  optimizer_ = outer_optimizer(options_.outer_optimizer, options_.outer_momentum);
}

Trainer::~Trainer() = default;

void Trainer::start_loading(int64_t iteration) {
  next_iteration_ = iteration;
  next_ = std::async(std::launch::async, [this, iteration] {
    return load_tasks(source_, options_.spec, options_.seed, static_cast<uint64_t>(iteration) * options_.meta_batch,
                      options_.meta_batch, options_.augmented, options_.pixel_norm,
                      learner_.trains_on_classes() ? TaskLabels::kClasses : TaskLabels::kWithinEpisode);
  });
}

double Trainer::schedule(int64_t iteration) const {
  if (options_.lr_schedule == "step")
    return std::pow(options_.lr_gamma, static_cast<double>(iteration / options_.lr_step));
  if (options_.lr_schedule == "linear") return 1 - static_cast<double>(iteration) / options_.iterations;
  if (options_.lr_schedule == "cosine")
    return 0.5 * (1 + std::cos(std::numbers::pi * static_cast<double>(iteration) / options_.iterations));
  return 1;
}

OuterPhase Trainer::phase(int64_t iteration) const {
  const double done = static_cast<double>(iteration) / options_.iterations;
  OuterPhase phase{.order = done < options_.first_order_share ? Order::kFirst : Order::kSecond,
                   .label_smoothing = options_.label_smoothing,
                   .step_weights = {}};
  if (done < options_.multi_step_share) {
    const int steps = learner_.options().inner_steps;
    const double each = (1 - done / options_.multi_step_share) / steps;  // Antoniou et al. 2019, section 3
    phase.step_weights.assign(steps, each);
    phase.step_weights.back() = 1 - (steps - 1) * each;
  }
  return phase;
}

IterationReport Trainer::step() {
  const auto begin = std::chrono::steady_clock::now();
  const int64_t iteration = state_.iteration;
  if (next_iteration_ != iteration) start_loading(iteration);
  next_iteration_ = -1;
  const std::vector<Task> tasks = next_.get();
  if (iteration + 1 < options_.iterations) start_loading(iteration + 1);
  IterationReport report = step(tasks);
  report.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();  // the wait for images too
  return report;
}

IterationReport Trainer::step(const std::vector<Task>& tasks) {
  TORCH_CHECK(!tasks.empty(), "an outer step needs at least one task");
  const auto begin = std::chrono::steady_clock::now();
  const OneThreadPerOperation one_thread;
  const int64_t iteration = state_.iteration;
  const OuterPhase phase_now = phase(iteration);
  std::vector<TaskGradient> results(tasks.size());
  tbb::parallel_for(
      size_t{0}, tasks.size(),
      [&](size_t t) {
        const OneThreadPerOperation one_thread;
        results[t] = task_gradient(learner_, state_.parameters, tasks[t], phase_now);
      },
      tbb::simple_partitioner());

  const auto count = static_cast<double>(tasks.size());
  IterationReport report;
  report.iteration = iteration + 1;
  report.outer_lr = schedule(iteration);
  std::vector<Tensor> sums;
  for (size_t t = 0; t < results.size(); ++t) {
    if (!std::isfinite(results[t].loss))
      throw NonFiniteLoss("the loss is no longer finite: iteration " + std::to_string(iteration + 1) + ", episode " +
                          std::to_string(tasks[t].index) + " (smaller inner or outer rates, or clipping, may help)");
    report.loss += results[t].loss / count;
    report.accuracy += results[t].accuracy / count;
    for (size_t i = 0; i < results[t].gradients.size(); ++i) {
      if (t == 0)
        sums.push_back(results[t].gradients[i] / count);
      else
        sums[i].add_(results[t].gradients[i] / count);
    }
  }

  report.gradient_norm = norm_of_all(sums);
  if (!std::isfinite(report.gradient_norm))
    throw NonFiniteLoss("the gradient is no longer finite: iteration " + std::to_string(iteration + 1) + ", episodes " +
                        std::to_string(tasks.front().index) + " to " + std::to_string(tasks.back().index));
  double norm = report.gradient_norm;
  if (options_.clip_value > 0) {
    for (Tensor& sum : sums) sum.clamp_(-options_.clip_value, options_.clip_value);
    norm = norm_of_all(sums);  // the elements' limit comes first: what is left of the gradient has another norm
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    if (options_.clip_norm > 0 && norm > options_.clip_norm) sums[i].mul_(options_.clip_norm / norm);
  }
  std::vector<StepSize> sizes = sizes_;
  for (StepSize& size : sizes) size.rate *= report.outer_lr;
  optimizer_step(optimizer_, values_, sums, sizes, state_.optimizer);
  for (const TaskGradient& result : results) state_.parameters = merge_statistics(state_.parameters, result.updates);
  ++state_.iteration;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

TrainState Trainer::state() const {
  TrainState copy = state_;
  std::vector<Tensor> values;
  for (const Tensor& value : values_) values.push_back(value.detach().clone());
  copy.optimizer = state_.optimizer.clone();
  copy.parameters = copy.parameters.with(trainable_, values);
  return copy;
}

void Trainer::record_validation(double accuracy) {
  state_.last_validation = state_.iteration;
  if (accuracy <= state_.best_accuracy) return;
  state_.best_accuracy = accuracy;
  state_.best_iteration = state_.iteration;
}

}  // namespace fewatoms
