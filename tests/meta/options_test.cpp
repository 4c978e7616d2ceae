// Options of the engine that several methods share.

#include <torch/autograd.h>

#include <cmath>
#include <set>

#include "episodes/errors.h"
#include "meta/methods.h"
#include "meta/transfer.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::expect_close;
using test::message_of;
using test::SmallLearner;
using test::SyntheticSource;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string refusal(void (*change)(LearnerOptions&), const std::string& conv = "standard") {
  LearnerOptions options = test::small_options(conv);
  change(options);
  return message_of<UsageError>([&] {
    ParameterSet parameters;
    Learner(options, parameters);
  });
}

TEST(Options, UnknownNamesOfferTheNearest) {
  EXPECT_TRUE(contains(refusal([](auto& o) { o.head = "cosin"; }), "did you mean 'cosine'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.head_start = "prototypes"; }), "did you mean 'prototype'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.feature_norm = "centered"; }), "did you mean 'centred'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.norm = "perstep"; }), "did you mean 'per-step'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.inner_lr_learned = "tensors"; }), "did you mean 'tensor'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.inner_optimizer = "adan"; }), "did you mean 'adam'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.train_on = "class"; }), "did you mean 'classes'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.outer_gradient = "displacements"; }), "did you mean 'displacement'"));
}

TEST(Options, WhatWouldHaveNoEffectIsRefusedWithTheReason) {
  EXPECT_TRUE(contains(refusal([](auto& o) { o.temperature = 0; }), "temperature is 0"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.regulariser = -1; }), "regulariser is -1"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.head = "ridge", o.scope = "head"; }), "no 'head'"));
  EXPECT_TRUE(
      contains(refusal([](auto& o) { o.head = "prototype", o.head_start = "fresh"; }), "heads of class weights"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.head_learned = "yes"; }), "no temperature to learn"));
  EXPECT_TRUE(
      contains(refusal([](auto& o) { o.head_init = 0, o.scope = "body"; }), "no gradient would reach the body"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.inner_lr_per_step = "yes"; }), "inner-lr-learned is 'none'"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.inner_lr_learned = "role", o.inner_steps = 0; }), "no steps to learn"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.inner_lr_learned = "scalar", o.inner_lr = "0.1,head=0.2"; }),
                       "several to start from"));
  EXPECT_TRUE(
      contains(refusal([](auto& o) { o.norm = "per-step", o.inner_steps = 0; }), "no steps to keep scales for"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.norm = "per-step", o.scope = "norm+head"; }), "leave norm out"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.norm = "per-step", o.order = "first"; }), "second was expected"));
  EXPECT_TRUE(
      contains(refusal([](auto& o) { o.outer_gradient = "displacement", o.inner_steps = 0; }), "nothing would move"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.outer_gradient = "displacement", o.scope = "head"; }),
                       "scope all was expected"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.train_on = "classes"; }), "at least 2"));
  EXPECT_TRUE(
      contains(refusal([](auto& o) { o.train_on = "classes", o.classes = 6; }), "fresh or prototype was expected"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.feature_norm = "centred"; }), "train-on 'classes' was expected"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.head = "matching", o.inner_batch = 2; }), "whole support set"));
}

// ---- Learned step sizes.

TEST(LearnedRates, HaveTheNumberAndStartThatTheirNameSays) {
  const auto counts = [](const std::string& learned, const std::string& per_step) {
    LearnerOptions options = test::small_options("acdc");
    options.scope = "atom+head";
    options.inner_lr = learned == "scalar" ? "0.1" : "0.1,atom=0.5";
    options.inner_lr_learned = learned;
    options.inner_lr_per_step = per_step;
    ParameterSet parameters;
    const Learner learner(options, parameters);
    for (size_t k = 0; k < learner.adapted().size(); ++k) {
      const Tensor rate = learner.learned_rate(k, 1, parameters);
      EXPECT_NEAR(rate.min().item<double>(), learner.inner_rates()[k], 1e-7);
      EXPECT_NEAR(rate.max().item<double>(), learner.inner_rates()[k], 1e-7);
    }
    return parameters.count()[Role::kMeta];
  };
  EXPECT_EQ(counts("scalar", "no"), 1);
  EXPECT_EQ(counts("role", "no"), 2);
  EXPECT_EQ(counts("tensor", "no"), 5);  // three layers of atoms, head weight and bias
  EXPECT_EQ(counts("element", "no"), 3 * 54 + 3 * 4 + 3);
  EXPECT_EQ(counts("tensor", "yes"), 2 * 5);
}

TEST(LearnedRates, AtTheirStartChangeNothing) {
  LearnerOptions options = test::small_options();
  const SmallLearner plain(options);
  const Task task = test::small_task(2);
  const TaskGradient expected = task_gradient(plain.learner, plain.parameters, task);
  options.inner_lr_learned = "element";
  const SmallLearner learned(options);
  ParameterSet parameters;  // rates were rounded to float32
  for (const Parameter& p : learned.parameters)
    parameters.add(p.name, p.role == Role::kMeta ? at::full_like(p.tensor, 0.05) : p.tensor, p.role);
  const TaskGradient result = task_gradient(learned.learner, parameters, task);
  EXPECT_NEAR(result.loss, expected.loss, 1e-12);
  for (size_t i = 0; i < expected.gradients.size(); ++i)
    expect_close(result.gradients[i], expected.gradients[i], 1e-10, parameters[i].name);
}

TEST(LearnedRates, StepsBeyondThoseOfTrainingUseTheLast) {
  LearnerOptions options = test::small_options();
  options.inner_lr_learned = "tensor";
  options.inner_lr_per_step = "yes";
  ParameterSet parameters;
  const Learner learner(options, parameters);
  for (size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].role == Role::kMeta) parameters = parameters.with({i}, {at::tensor({0.1F, 0.2F}).unsqueeze(1)});
  EXPECT_FLOAT_EQ(learner.learned_rate(0, 0, parameters).item<float>(), 0.1F);
  EXPECT_FLOAT_EQ(learner.learned_rate(0, 1, parameters).item<float>(), 0.2F);
  EXPECT_FLOAT_EQ(learner.learned_rate(0, 9, parameters).item<float>(), 0.2F);
}

// ---- Inner optimizers.

TEST(InnerOptimizer, StepsAreThoseOfTheirFormulas) {
  for (const std::string name : {"sgd", "momentum", "adam"}) {
    LearnerOptions options = test::small_options();
    options.scope = "head";
    options.inner_lr = "0.3";
    options.inner_optimizer = name;
    options.inner_weight_decay = 0.1;
    const SmallLearner small(options);
    const Task task = test::small_task(2);
    at::NoGradGuard no_graph;
    const PreparedTask prepared = prepare(small.learner, small.parameters, task, NormMode::kBatch);
    const Tensor f = small.learner.backbone().forward(task.support, small.parameters, NormMode::kBatch).x;
    const auto adapted = small.learner.adapted();
    Tensor w = small.parameters.tensor(adapted[0]), b = small.parameters.tensor(adapted[1]);
    Tensor m = at::zeros_like(w), v = at::zeros_like(w), mb = at::zeros_like(b), vb = at::zeros_like(b);
    const auto move = [&](Tensor& x, const Tensor& gradient, Tensor& first, Tensor& second, int t) {
      const Tensor g = gradient + 0.1 * x;
      first = name == "momentum" ? 0.9 * first + g : 0.9 * first + 0.1 * g;
      second = 0.999 * second + 0.001 * g * g;
      Tensor d = g;
      if (name == "momentum") d = first;
      if (name == "adam") d = first / (1 - std::pow(0.9, t)) / (second / (1 - std::pow(0.999, t)) + 1e-10).sqrt();
      x = x - 0.3 * d;
    };
    for (int t = 1; t <= 3; ++t) {
      const Tensor error =
          (at::softmax(at::linear(f, w, b), 1) - at::one_hot(task.support_labels, test::kWays)) / f.size(0);
      move(w, at::mm(error.t(), f), m, v, t);
      move(b, error.sum(0), mb, vb, t);
    }
    const ParameterSet result = adapt(small.learner, small.parameters, prepared, 3, Order::kFirst);
    expect_close(result.tensor(adapted[0]), w, 1e-10, name);
    expect_close(result.tensor(adapted[1]), b, 1e-10, name);
    InnerState in_pieces = adapt_further(small.learner, small.parameters, prepared, 1, Order::kFirst);
    in_pieces = adapt_further(small.learner, std::move(in_pieces), prepared, 2, Order::kFirst);
    EXPECT_EQ(in_pieces.step, 3);
    expect_close(in_pieces.parameters.tensor(adapted[0]), w, 1e-10, name + " in pieces");
  }
}

TEST(InnerOptimizer, BatchesAreDrawnByEpisodeAndStepAlone) {
  LearnerOptions options = test::small_options();
  options.inner_batch = 2;
  const SmallLearner small(options);
  at::NoGradGuard no_graph;
  const auto adapted = [&](uint64_t index) {
    Task task = test::small_task(2);
    task.index = index;
    return adapt(small.learner, small.parameters, prepare(small.learner, small.parameters, task, NormMode::kBatch), 2,
                 Order::kFirst);
  };
  EXPECT_TRUE(test::identical(adapted(1), adapted(1)));
  EXPECT_FALSE(test::identical(adapted(1), adapted(2)));
}

// ---- What the outer loop changes.

TEST(OuterPhase, MultiStepLossWeighsTheLossAfterEveryStep) {
  LearnerOptions options = test::small_options("acdc");
  options.scope = "atom+head";
  options.network.kernels = "smooth";
  options.inner_lr = "0.2";
  const SmallLearner small(options);
  const Task task = test::small_task(2);
  const std::vector<double> weights = {0.3, 0.7};
  const auto loss_at = [&](const ParameterSet& parameters) {
    at::NoGradGuard no_graph;
    const PreparedTask prepared = prepare(small.learner, parameters, task, NormMode::kBatch);
    double loss = 0;
    for (int steps : {1, 2})
      loss +=
          weights[steps - 1] *
          at::cross_entropy_loss(
              query_logits(small.learner, adapt(small.learner, parameters, prepared, steps, Order::kFirst), prepared),
              task.query_labels)
              .item<double>();
    return loss;
  };
  const TaskGradient result = task_gradient(small.learner, small.parameters, task,
                                            {.order = Order::kSecond, .label_smoothing = 0, .step_weights = weights});
  EXPECT_NEAR(result.loss, loss_at(small.parameters), 1e-12);
  const auto trainable = small.parameters.trainable();
  for (size_t k = 0; k < trainable.size(); ++k) {
    const Tensor value = small.parameters.tensor(trainable[k]);
    const Tensor direction = normal_tensor(value.sizes(), 1.0, 3, small.parameters[trainable[k]].name).to(at::kDouble);
    const double difference = (loss_at(small.parameters.with({trainable[k]}, {value + 1e-5 * direction})) -
                               loss_at(small.parameters.with({trainable[k]}, {value - 1e-5 * direction}))) /
                              2e-5;
    EXPECT_NEAR((result.gradients[k] * direction).sum().item<double>(), difference, 1e-6 * std::abs(difference) + 1e-8)
        << small.parameters[trainable[k]].name;
  }
}

TEST(OuterPhase, LabelSmoothingSpreadsTheTargets) {
  const SmallLearner small(test::small_options());
  const Task task = test::small_task(2);
  at::NoGradGuard no_graph;
  const PreparedTask prepared = prepare(small.learner, small.parameters, task, NormMode::kBatch);
  const Tensor logits =
      query_logits(small.learner, adapt(small.learner, small.parameters, prepared, 2, Order::kFirst), prepared);
  const Tensor targets = 0.7 * at::one_hot(task.query_labels, test::kWays).to(at::kDouble) + 0.3 / test::kWays;
  const double expected = -(targets * at::log_softmax(logits, 1)).sum(1).mean().item<double>();
  EXPECT_NEAR(task_gradient(small.learner, small.parameters, task,
                            {.order = Order::kSecond, .label_smoothing = 0.3, .step_weights = {}})
                  .loss,
              expected, 1e-12);
}

TEST(OuterPhase, ReptileMovesToWhereALoopOverAllImagesEnds) {
  LearnerOptions options = test::small_options();
  options.outer_gradient = "displacement";
  const SmallLearner small(options);
  const Task task = test::small_task(1);
  const TaskGradient result = task_gradient(small.learner, small.parameters, task);
  at::NoGradGuard no_graph;
  Task all = task;
  all.support = at::cat({task.support, task.query});
  all.support_labels = at::cat({task.support_labels, task.query_labels});
  const ParameterSet end = adapt(small.learner, small.parameters,
                                 prepare(small.learner, small.parameters, all, NormMode::kBatch), 2, Order::kFirst);
  for (size_t i = 0; i < result.gradients.size(); ++i)
    expect_close(small.parameters.tensor(i) - result.gradients[i], end.tensor(i), 1e-12, small.parameters[i].name);
}

TEST(OuterPhase, SharesOfTheIterations) {
  const SyntheticSource source(6, 10, 28);
  const auto train = [&](const std::string& order, double first_order, double multi_step, int iterations) {
    LearnerOptions options = test::small_options();
    options.order = order;
    TrainState state;
    const Learner learner(options, state.parameters);
    TrainerOptions training;
    training.spec = {.ways = test::kWays, .shots = 1, .queries = 2};
    training.iterations = 4;
    training.first_order_share = first_order;
    training.multi_step_share = multi_step;
    Trainer trainer(learner, source, training, state);
    for (int i = 0; i < iterations; ++i) trainer.step();
    return trainer.state().parameters;
  };
  EXPECT_TRUE(test::identical(train("second", 0.5, 0, 2), train("first", 0, 0, 2)));
  EXPECT_FALSE(test::identical(train("second", 0.5, 0, 3), train("first", 0, 0, 3)));
  EXPECT_FALSE(test::identical(train("second", 0, 0.25, 1), train("second", 0, 0, 1)));
}

// ---- Outer optimizers.

TEST(OuterOptimizer, StepSizesAndTemperaturesDoNotDecay) {
  const SyntheticSource source(6, 10, 28);
  LearnerOptions options = test::small_options();
  options.inner_lr_learned = "role";
  TrainState state;
  const Learner learner(options, state.parameters);
  TrainerOptions training;
  training.spec = {.ways = test::kWays, .shots = 1, .queries = 2};
  training.outer_optimizer = "adamw";
  training.outer_lr = "1e-9,meta=1e-9";
  training.weight_decay = 1e8;  // a tenth each step
  Trainer trainer(learner, source, training, state);
  trainer.step();
  for (const size_t i : state.parameters.trainable()) {
    const Tensor before = state.parameters.tensor(i), after = trainer.parameters().tensor(i);
    if (before.abs().max().item<float>() == 0) continue;
    expect_close(after, state.parameters[i].role == Role::kMeta ? before : before * 0.9F, 1e-5,
                 state.parameters[i].name);
  }
}

// ---- Training on classes, and bodies of other runs.

TEST(Classes, ABatchIsImagesWithTheirClassesAndNoSupport) {
  const SyntheticSource source(6, 10, 28);
  const auto batches = load_tasks(source, {.ways = 4, .shots = 1, .queries = 2}, 3, 0, 5, Augmented::kNone,
                                  PixelNorm::kUnit, TaskLabels::kClasses);
  std::set<int64_t> seen;
  for (const Task& batch : batches) {
    EXPECT_EQ(batch.support.size(0), 0);
    ASSERT_EQ(batch.query.size(0), 8);
    for (int64_t i = 0; i < 8; ++i) {
      const auto c = batch.query_labels[i].item<int64_t>();
      seen.insert(c);
      bool found = false;
      for (int k = 0; k < 10 && !found; ++k) {
        const ImageRef ref{static_cast<int>(c), k, 0};
        found = load_images(source, std::span(&ref, 1), PixelNorm::kUnit)[0].equal(batch.query[i]);
      }
      EXPECT_TRUE(found) << "image " << i << " is not of class " << c;
    }
  }
  EXPECT_EQ(seen.size(), 6U);
}

TEST(Classes, TheOuterGradientIsThatOfPlainClassification) {
  LearnerOptions options = test::small_options();
  options.train_on = "classes";
  options.classes = 5;
  options.head_start = "fresh";
  options.scope = "head";
  const SmallLearner small(options);
  const Task batch = test::small_task(2);
  const TaskGradient result = task_gradient(small.learner, small.parameters, batch);
  const ParameterSet start = small.parameters.leaves(true);
  const Tensor f = small.learner.backbone().forward(batch.query, start, NormMode::kBatch).x;
  std::vector<Tensor> leaves;
  Tensor weight, bias;
  for (const size_t i : start.trainable()) {
    leaves.push_back(start.tensor(i));
    if (start[i].name == "classes.weight") weight = start.tensor(i);
    if (start[i].name == "classes.bias") bias = start.tensor(i);
  }
  ASSERT_EQ(weight.size(0), 5);
  const auto expected =
      torch::autograd::grad({at::cross_entropy_loss(at::linear(f, weight, bias), batch.query_labels)}, leaves);
  ASSERT_EQ(result.gradients.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) expect_close(result.gradients[i], expected[i], 1e-10, std::to_string(i));
}

TEST(Classes, ADifferentNumberOfTrainingClassesIsRefused) {
  LearnerOptions options = find_method("baseline").preset;
  options.network.image_size = 28;
  options.network.channels = 1;
  options.classes = 5;
  TrainState state;
  const Learner learner(options, state.parameters);
  const SyntheticSource source(6, 10, 28);
  TrainerOptions training;
  training.spec = {.ways = 3, .shots = 1, .queries = 2};
  EXPECT_TRUE(contains(message_of<UsageError>([&] { Trainer(learner, source, training, state); }), "6 classes"));
}

TEST(Transfer, TheBodyGoesOverAndTheHeadStays) {
  LearnerOptions options = test::small_options();
  ParameterSet maml, proto, steps;
  options.seed = 1;
  const Learner first(options, maml);
  options.seed = 2;
  options.head = "prototype";
  options.norm = "running";
  const Learner second(options, proto);
  const ParameterSet made = with_body(proto, maml, "run");
  ASSERT_EQ(made.size(), proto.size());
  for (size_t i = 0; i < made.size(); ++i) {
    bool from_maml = false;
    for (const Parameter& p : maml) from_maml |= p.name == made[i].name && p.tensor.equal(made.tensor(i));
    EXPECT_EQ(from_maml, made[i].role != Role::kStatistic) << made[i].name;
  }
  options = test::small_options();
  options.norm = "per-step";
  const Learner third(options, steps);
  const ParameterSet scaled = with_body(steps, SmallLearner(test::small_options()).parameters.to(at::kFloat), "run");
  for (const Parameter& p : scaled)
    if (p.name == "block1.norm.scale.later")
      for (const Parameter& base : scaled)
        if (base.name == "block1.norm.scale") {
          EXPECT_TRUE(p.tensor[0].equal(base.tensor));
        }
  options = test::small_options("acdc");
  ParameterSet other;
  const Learner fourth(options, other);
  EXPECT_TRUE(contains(message_of<UsageError>([&] { with_body(other, maml, "run 'x'"); }), "run 'x' has another body"));
  options = test::small_options();
  options.network.width = 5;
  ParameterSet wider;
  const Learner fifth(options, wider);
  EXPECT_TRUE(contains(message_of<UsageError>([&] { with_body(wider, maml, "run 'x'"); }), "block1.conv.kernel"));
}

TEST(Transfer, TheMeanFeatureIsThatOfAllImages) {
  LearnerOptions options = find_method("simpleshot").preset;
  options.network.image_size = 28;
  options.network.channels = 1;
  options.network.width = 4;
  options.classes = 6;
  ParameterSet parameters;
  const Learner learner(options, parameters);
  const SyntheticSource source(6, 4, 28);
  const ParameterSet made = with_feature_mean(learner, parameters, source, PixelNorm::kUnit);
  const Tensor expected = embed_images(learner, parameters, source, all_images(source), PixelNorm::kUnit).mean(0);
  expect_close(made.tensor(*learner.feature_mean()), expected, 1e-6, "mean");
  const Tensor seen = learner.head_features(expected.unsqueeze(0) + 1, made);
  EXPECT_NEAR(seen.norm().item<double>(), 1, 1e-5);
  expect_close(seen, at::full_like(seen, 1 / std::sqrt(static_cast<double>(seen.numel()))), 1e-4,
               "centred and normalised");
}

}  // namespace
}  // namespace fewatoms
