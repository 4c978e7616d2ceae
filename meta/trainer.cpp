#include "meta/trainer.h"

#include <tbb/parallel_for.h>
#include <torch/optim/adam.h>

#include <chrono>
#include <cmath>
#include <numbers>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

void require(bool good, const std::string& what, const std::string& given, const std::string& expected) {
  if (!good) throw UsageError(what + " is " + given + ", " + expected + " was expected");
}

torch::optim::AdamParamState& adam_state(torch::optim::Adam& adam, const Tensor& value) {
  auto& slot = adam.state()[c10::guts::to_string(value.unsafeGetTensorImpl())];
  if (!slot) slot = std::make_unique<torch::optim::AdamParamState>();
  return static_cast<torch::optim::AdamParamState&>(*slot);
}

}  // namespace

void require_valid(const TrainerOptions& o) {
  const auto number = [](double x) { return std::to_string(x); };
  require(o.iterations >= 1, "iterations", std::to_string(o.iterations), "1 or more");
  require(o.meta_batch >= 1 && o.meta_batch <= 1024, "meta-batch", std::to_string(o.meta_batch), "1 to 1024");
  require(o.lr_step >= 1, "lr-step", std::to_string(o.lr_step), "1 or more");
  require(o.lr_gamma > 0 && o.lr_gamma <= 1, "lr-gamma", number(o.lr_gamma), "more than 0 and at most 1");
  require(o.weight_decay >= 0 && std::isfinite(o.weight_decay), "weight decay", number(o.weight_decay), "0 or more");
  require(o.clip_norm >= 0 && std::isfinite(o.clip_norm), "clip-norm", number(o.clip_norm), "0 or more");
  require(o.clip_value >= 0 && std::isfinite(o.clip_value), "clip-value", number(o.clip_value), "0 or more");
  if (o.lr_schedule != "constant" && o.lr_schedule != "step" && o.lr_schedule != "cosine")
    throw UsageError(unknown_name("lr schedule", o.lr_schedule, {"constant", "step", "cosine"}));
}

void require_trainable(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                       const TrainerOptions& options) {
  require_valid(options);
  require_servable(source, options.spec);
  if (learner.head() == HeadKind::kLinear && options.spec.ways != learner.options().ways)
    throw UsageError("a linear head for " + std::to_string(learner.options().ways) + " ways cannot train on episodes of " +
                     std::to_string(options.spec.ways));
  RoleRates("outer rate", options.outer_lr).require(roles_of(parameters, parameters.trainable()));
}

Trainer::Trainer(const Learner& learner, const ImageSource& source, TrainerOptions options, TrainState state)
    : learner_(learner), source_(source), options_(std::move(options)), state_(std::move(state)) {
  require_trainable(learner_, state_.parameters, source_, options_);
  trainable_ = state_.parameters.trainable();
  const RoleRates rates("outer rate", options_.outer_lr);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (const size_t i : trainable_) {
    values_.push_back(state_.parameters.tensor(i).detach().clone());
    rates_.push_back(rates[state_.parameters[i].role]);
    groups.emplace_back(std::vector<Tensor>{values_.back()}, std::make_unique<torch::optim::AdamOptions>(
        torch::optim::AdamOptions(rates_.back()).weight_decay(options_.weight_decay)));
  }
  state_.parameters = state_.parameters.leaves(false).with(trainable_, values_);
  adam_ = std::make_unique<torch::optim::Adam>(std::move(groups), torch::optim::AdamOptions(1e-3));
  for (size_t i = 0; i < state_.first_moment.size(); ++i) {
    auto& slot = adam_state(*adam_, values_[i]);
    slot.step(state_.iteration);
    slot.exp_avg(state_.first_moment[i].clone());
    slot.exp_avg_sq(state_.second_moment[i].clone());
  }
  state_.first_moment.clear();
  state_.second_moment.clear();
}

Trainer::~Trainer() = default;

void Trainer::start_loading(int64_t iteration) {
  next_iteration_ = iteration;
  next_ = std::async(std::launch::async, [this, iteration] {
    return load_tasks(source_, options_.spec, options_.seed, static_cast<uint64_t>(iteration) * options_.meta_batch,
                      options_.meta_batch, options_.augment, options_.pixel_norm);
  });
}

double Trainer::schedule(int64_t iteration) const {
  if (options_.lr_schedule == "step") return std::pow(options_.lr_gamma, static_cast<double>(iteration / options_.lr_step));
  if (options_.lr_schedule == "cosine")
    return 0.5 * (1 + std::cos(std::numbers::pi * static_cast<double>(iteration) / options_.iterations));
  return 1;
}

IterationReport Trainer::step() {
  const auto begin = std::chrono::steady_clock::now();
  const int64_t iteration = state_.iteration;
  if (next_iteration_ != iteration) start_loading(iteration);
  next_iteration_ = -1;
  const std::vector<Task> tasks = next_.get();
  if (iteration + 1 < options_.iterations) start_loading(iteration + 1);
  IterationReport report = step(tasks);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();  // the wait for images too
  return report;
}

IterationReport Trainer::step(const std::vector<Task>& tasks) {
  TORCH_CHECK(!tasks.empty(), "an outer step needs at least one task");
  const auto begin = std::chrono::steady_clock::now();
  use_one_thread_per_operation();
  const int64_t iteration = state_.iteration;
  std::vector<TaskGradient> results(tasks.size());
  tbb::parallel_for(
      size_t{0}, tasks.size(),
      [&](size_t t) {
        use_one_thread_per_operation();
        results[t] = task_gradient(learner_, state_.parameters, tasks[t]);
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

  double squares = 0;
  for (const Tensor& sum : sums) squares += sum.pow(2).sum(at::kDouble).item<double>();
  report.gradient_norm = std::sqrt(squares);
  if (!std::isfinite(report.gradient_norm))
    throw NonFiniteLoss("the gradient is no longer finite: iteration " + std::to_string(iteration + 1) + ", episodes " +
                        std::to_string(tasks.front().index) + " to " + std::to_string(tasks.back().index));
  for (size_t i = 0; i < sums.size(); ++i) {
    if (options_.clip_value > 0) sums[i].clamp_(-options_.clip_value, options_.clip_value);
    if (options_.clip_norm > 0 && report.gradient_norm > options_.clip_norm) sums[i].mul_(options_.clip_norm / report.gradient_norm);
    values_[i].mutable_grad() = sums[i];
    static_cast<torch::optim::AdamOptions&>(adam_->param_groups()[i].options()).lr(rates_[i] * report.outer_lr);
  }
  adam_->step();
  for (const TaskGradient& result : results) state_.parameters = merge_statistics(state_.parameters, result.updates);
  ++state_.iteration;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

TrainState Trainer::state() const {
  TrainState copy = state_;
  std::vector<Tensor> values;
  for (const Tensor& value : values_) {
    values.push_back(value.detach().clone());
    if (state_.iteration == 0) continue;
    const auto& slot = adam_state(*adam_, value);
    copy.first_moment.push_back(slot.exp_avg().clone());
    copy.second_moment.push_back(slot.exp_avg_sq().clone());
  }
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
