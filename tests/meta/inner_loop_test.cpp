#include "meta/inner_loop.h"

#include <torch/autograd.h>

#include <cmath>

#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::expect_close;
using test::small_options;
using test::small_task;
using test::SmallLearner;
using torch::autograd::grad;

// ---- The same learner written by hand: no prefix, no fused kernels, every tensor by its name.

struct ByHand {
  const ParameterSet& like;  // names and roles
  const Learner& learner;

  const Tensor& at(const std::vector<Tensor>& values, const std::string& name) const {
    for (size_t i = 0; i < like.size(); ++i)
      if (like[i].name == name) return values[i];
    throw std::runtime_error("no " + name);
  }

  Tensor features(const std::vector<Tensor>& p, Tensor x) const {
    const bool acdc = learner.options().network.conv.kind == "acdc";
    for (int block = 1; block <= 4; ++block) {
      const std::string name = "block" + std::to_string(block);
      const Tensor kernel = acdc && block > 1
                                ? at::einsum("oim,mkl->oikl", {at(p, "coefficients"), at(p, name + ".conv.atoms")})
                                : at(p, name + ".conv.kernel");
      x = at::conv2d(x, kernel, {}, 1, 1);
      x = at::batch_norm(x, at(p, name + ".norm.scale"), at(p, name + ".norm.shift"), {}, {}, true, 0.1, 1e-5, false);
      x = at::max_pool2d(x.relu(), {2, 2});
    }
    return x.flatten(1);
  }

  Tensor logits(const std::vector<Tensor>& p, const Tensor& x) const {
    return at::linear(features(p, x), at(p, "head.weight"), at(p, "head.bias"));
  }

  std::vector<Tensor> leaves() const {
    std::vector<Tensor> values;
    for (const Parameter& p : like) values.push_back(p.tensor.detach().clone().requires_grad_(true));
    return values;
  }

  /// Values after the inner steps; `second`: in the graph of `p`.
  std::vector<Tensor> adapt(std::vector<Tensor> p, const Task& task, int steps, bool second) const {
    for (int step = 0; step < steps; ++step) {
      std::vector<Tensor> adapted;
      for (const size_t i : learner.adapted()) adapted.push_back(p[i]);
      const auto gradients =
          grad({at::cross_entropy_loss(logits(p, task.support), task.support_labels)}, adapted, {}, {}, second);
      for (size_t k = 0; k < adapted.size(); ++k) {
        const Tensor step_gradient = second ? gradients[k] : gradients[k].detach();
        p[learner.adapted()[k]] = adapted[k] - learner.inner_rates()[k] * step_gradient;
      }
    }
    return p;
  }

  std::vector<Tensor> outer_gradient(const Task& task, int steps, bool second) const {
    const auto start = leaves();
    const Tensor loss =
        at::cross_entropy_loss(logits(adapt(start, task, steps, second), task.query), task.query_labels);
    return grad({loss}, start, {}, {}, false, /*allow_unused=*/true);
  }
};

struct Setting {
  std::string name, conv, scope;
  int width = 4;  // 16: the stem runs as one kernel
};
void PrintTo(const Setting& s, std::ostream* out) { *out << s.name; }

const Setting kSettings[] = {
    {"StandardAll", "standard", "all"},
    {"StandardBody", "standard", "body"},
    {"StandardHead", "standard", "head"},
    {"StandardNorm", "standard", "norm"},
    {"StandardKernelHead", "standard", "kernel+head"},
    {"AcdcAll", "acdc", "all"},
    {"AcdcBody", "acdc", "body"},
    {"AcdcHead", "acdc", "head"},
    {"AcdcAtom", "acdc", "atom"},
    {"AcdcAtomHead", "acdc", "atom+head"},
    {"AcdcNorm", "acdc", "norm"},
    {"AcdcCoefficient", "acdc", "coefficient"},
    {"AcdcKernel", "acdc", "kernel"},
    {"AcdcAtomNormHead", "acdc", "atom+norm+head"},
    {"StandardAllWide", "standard", "all", 16},
    {"AcdcAllWide", "acdc", "all", 16},
    {"AcdcAtomHeadWide", "acdc", "atom+head", 16},
};

LearnerOptions options_of(const Setting& s) {
  LearnerOptions options = small_options(s.conv);
  options.network.width = s.width;
  options.scope = s.scope;
  options.inner_lr = "0.1";
  return options;
}

class EveryScope : public ::testing::TestWithParam<Setting> {};
INSTANTIATE_TEST_SUITE_P(Scopes, EveryScope, ::testing::ValuesIn(kSettings),
                         [](const auto& info) { return info.param.name; });

TEST_P(EveryScope, SecondOrderEqualsTheLoopWrittenByHand) {
  const SmallLearner small(options_of(GetParam()));
  const Task task = small_task(2);
  const auto expected = ByHand{small.parameters, small.learner}.outer_gradient(task, 2, true);
  const TaskGradient result = task_gradient(small.learner, small.parameters, task);
  ASSERT_EQ(result.gradients.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    expect_close(result.gradients[i], expected[i], 1e-10, small.parameters[i].name);
}

TEST_P(EveryScope, FirstOrderEqualsTheDetachedReference) {
  LearnerOptions options = options_of(GetParam());
  options.order = "first";
  const SmallLearner small(options);
  const Task task = small_task(2, 1);
  const auto expected = ByHand{small.parameters, small.learner}.outer_gradient(task, 2, false);
  const TaskGradient result = task_gradient(small.learner, small.parameters, task);
  for (size_t i = 0; i < expected.size(); ++i)
    expect_close(result.gradients[i], expected[i], 1e-10, small.parameters[i].name);
}

TEST_P(EveryScope, AdaptingSharesEveryTensorThatTheScopeLeavesOut) {
  const SmallLearner small(options_of(GetParam()));
  const Task task = small_task(2);
  for (const bool grad_mode : {false, true}) {
    at::AutoGradMode mode(grad_mode);
    const ParameterSet start = small.parameters.leaves(grad_mode);
    const ParameterSet adapted =
        adapt(small.learner, start, prepare(small.learner, start, task, NormMode::kBatch), 2, Order::kSecond);
    const std::set<size_t> changed(small.learner.adapted().begin(), small.learner.adapted().end());
    const Scope scope(GetParam().scope);
    for (size_t i = 0; i < start.size(); ++i) {
      EXPECT_EQ(changed.count(i) > 0, scope.has(start[i].role));
      if (changed.count(i)) {
        EXPECT_FALSE(adapted.tensor(i).equal(start.tensor(i))) << start[i].name;
        EXPECT_EQ(adapted.tensor(i).requires_grad(), grad_mode) << start[i].name;
      } else {
        EXPECT_TRUE(adapted.tensor(i).is_same(start.tensor(i))) << start[i].name;
      }
      EXPECT_TRUE(start.tensor(i).equal(small.parameters.tensor(i))) << start[i].name << " was changed in place";
    }
  }
}

TEST_P(EveryScope, AdaptingInPiecesOrWithAGraphGivesTheSameValues) {
  const SmallLearner small(options_of(GetParam()));
  const Task task = small_task(2);
  const ParameterSet start = small.parameters.leaves(true);
  const PreparedTask prepared = prepare(small.learner, start, task, NormMode::kBatch);
  const ParameterSet with_graph = adapt(small.learner, start, prepared, 3, Order::kSecond);
  at::NoGradGuard no_graph;
  const ParameterSet bare = small.parameters.leaves(false);
  const PreparedTask again = prepare(small.learner, bare, task, NormMode::kBatch);
  const ParameterSet in_pieces =
      adapt(small.learner, adapt(small.learner, bare, again, 1, Order::kFirst), again, 2, Order::kFirst);
  for (size_t i = 0; i < start.size(); ++i)
    expect_close(in_pieces.tensor(i), with_graph.tensor(i).detach(), 1e-12, start[i].name);
}

// ---- Against central differences, on a smooth network.

struct Smooth {
  std::string name, conv, head, scope;
  int shots, steps;
  std::string norm = "batch";
  void (*change)(LearnerOptions&) = nullptr;
};
void PrintTo(const Smooth& s, std::ostream* out) { *out << s.name; }

const Smooth kSmooth[] = {
    {"StandardAll", "standard", "linear", "all", 2, 2},
    {"StandardBody", "standard", "linear", "body", 1, 2},
    {"StandardHead", "standard", "linear", "head", 2, 2},
    {"StandardNorm", "standard", "linear", "norm", 2, 2},
    {"StandardKernel", "standard", "linear", "kernel", 2, 1},
    {"AcdcAll", "acdc", "linear", "all", 2, 2},
    {"AcdcBody", "acdc", "linear", "body", 2, 1},
    {"AcdcHead", "acdc", "linear", "head", 2, 2},
    {"AcdcAtom", "acdc", "linear", "atom", 2, 2},
    {"AcdcAtomHead", "acdc", "linear", "atom+head", 1, 2},
    {"AcdcNorm", "acdc", "linear", "norm", 2, 2},
    {"AcdcCoefficient", "acdc", "linear", "coefficient", 2, 2},
    {"AcdcKernel", "acdc", "linear", "kernel", 2, 2},
    {"RunningNormAtomHead", "acdc", "linear", "atom+head", 2, 2, "running"},
    {"PrototypeAtomOneShot", "acdc", "prototype", "atom", 1, 2},
    {"PrototypeAtomTwoShots", "acdc", "prototype", "atom", 2, 2},
    {"PrototypeBodyOneShot", "standard", "prototype", "body", 1, 1},
    {"PrototypeAllThreeShots", "acdc", "prototype", "all", 3, 1},
    {"PrototypeNone", "standard", "prototype", "none", 2, 0},
    {"PrototypeNoneRunningNorm", "standard", "prototype", "none", 2, 0, "running"},
    {"CosineAll", "standard", "cosine", "all", 2, 2, "batch", [](LearnerOptions& o) { o.temperature = 0.3; }},
    {"CosineHeadLearnedTemperature", "acdc", "cosine", "head", 1, 2, "batch",
     [](LearnerOptions& o) { o.head_learned = "yes", o.temperature = 0.3; }},
    {"CosineFreshBody", "standard", "cosine", "all", 1, 2, "batch",
     [](LearnerOptions& o) { o.head_start = "fresh", o.head_init = 0.5, o.temperature = 0.5; }},
    {"CosinePrototypeStart", "standard", "cosine", "head", 2, 2, "batch",
     [](LearnerOptions& o) { o.head_start = "prototype", o.temperature = 0.5; }},
    {"RidgeNoneRunningNorm", "standard", "ridge", "none", 1, 0, "running",
     [](LearnerOptions& o) { o.head_learned = "yes", o.temperature = 0.2; }},
    {"RidgeNoneTwoShots", "acdc", "ridge", "none", 3, 0, "batch",
     [](LearnerOptions& o) { o.head_learned = "yes", o.regulariser = 0.3; }},
    {"RidgeBodyOneShot", "standard", "ridge", "body", 1, 1, "batch", [](LearnerOptions& o) { o.head_learned = "yes"; }},
    {"RidgeAtomTwoShots", "acdc", "ridge", "atom", 2, 2, "batch", [](LearnerOptions& o) { o.head_learned = "yes"; }},
    {"MatchingNone", "standard", "matching", "none", 2, 0, "running",
     [](LearnerOptions& o) { o.head_learned = "yes", o.temperature = 0.3; }},
    {"MatchingBodyTwoShots", "standard", "matching", "body", 2, 1, "batch",
     [](LearnerOptions& o) { o.temperature = 0.3; }},
    {"MatchingAtomOneShot", "acdc", "matching", "atom", 1, 2, "batch", [](LearnerOptions& o) { o.temperature = 0.3; }},
    {"RelationNone", "standard", "relation", "none", 2, 0, "running"},
    {"RelationAllTwoShots", "standard", "relation", "all", 2, 2, "batch",
     [](LearnerOptions& o) { o.head_learned = "yes"; }},
    {"RelationHeadOneShot", "acdc", "relation", "head", 1, 2, "batch"},
    {"PrototypeTemperature", "standard", "prototype", "body", 2, 1, "batch",
     [](LearnerOptions& o) { o.head_learned = "yes", o.temperature = 3; }},
    {"ProtoMaml", "standard", "linear", "all", 2, 2, "batch",
     [](LearnerOptions& o) { o.head_start = "prototype", o.inner_lr = "0.02"; }},
    {"ProtoMamlTemperatureAtomHead", "acdc", "linear", "atom+head", 1, 2, "batch",
     [](LearnerOptions& o) { o.head_start = "prototype", o.head_learned = "yes", o.temperature = 4; }},
    {"LinearFresh", "standard", "linear", "all", 2, 2, "batch",
     [](LearnerOptions& o) { o.head_start = "fresh", o.head_init = 0.5; }},
    {"ProtoMamlFeaturesScaled", "standard", "linear", "all", 2, 2, "batch",
     [](LearnerOptions& o) { o.head_start = "prototype", o.feature_norm = "scaled", o.temperature = 0.25; }},
    {"FeaturesOfLengthOne", "standard", "linear", "all", 2, 2, "batch",
     [](LearnerOptions& o) { o.feature_norm = "l2"; }},
    {"LearnedRate_scalar", "acdc", "linear", "atom+head", 2, 2, "batch",
     [](LearnerOptions& o) { o.inner_lr_learned = "scalar"; }},
    {"LearnedRate_role", "acdc", "linear", "atom+head", 2, 2, "batch",
     [](LearnerOptions& o) { o.inner_lr_learned = "role"; }},
    {"LearnedRate_tensor", "acdc", "linear", "atom+head", 2, 2, "batch",
     [](LearnerOptions& o) { o.inner_lr_learned = "tensor"; }},
    {"LearnedRate_element", "acdc", "linear", "atom+head", 2, 2, "batch",
     [](LearnerOptions& o) { o.inner_lr_learned = "element"; }},
    {"LearnedRatePerStep", "standard", "linear", "all", 2, 3, "batch",
     [](LearnerOptions& o) { o.inner_lr_learned = "element", o.inner_lr_per_step = "yes"; }},
    {"LearnedRateOfAMadeHead", "standard", "linear", "all", 1, 2, "batch",
     [](LearnerOptions& o) { o.inner_lr_learned = "element", o.head_start = "prototype", o.inner_lr = "0.02"; }},
    {"Momentum", "standard", "linear", "all", 2, 3, "batch", [](LearnerOptions& o) { o.inner_optimizer = "momentum"; }},
    {"AdamInside", "standard", "linear", "all", 2, 3, "batch",
     [](LearnerOptions& o) { o.inner_optimizer = "adam", o.inner_lr = "0.02"; }},
    {"AdamInsideLearnedRate", "acdc", "linear", "atom+head", 2, 2, "batch",
     [](LearnerOptions& o) { o.inner_optimizer = "adam", o.inner_lr_learned = "tensor", o.inner_lr = "0.02"; }},
    {"InnerWeightDecay", "standard", "linear", "all", 2, 2, "batch",
     [](LearnerOptions& o) { o.inner_weight_decay = 0.3; }},
    {"InnerBatch", "standard", "linear", "all", 2, 2, "batch", [](LearnerOptions& o) { o.inner_batch = 4; }},
    {"NormPerStep", "standard", "linear", "all", 2, 3, "per-step"},
    {"MamlPlusPlus", "acdc", "linear", "atom+head", 2, 2, "per-step",
     [](LearnerOptions& o) { o.inner_lr_learned = "tensor", o.inner_lr_per_step = "yes"; }},
};

class CentralDifferences : public ::testing::TestWithParam<Smooth> {};
INSTANTIATE_TEST_SUITE_P(Learners, CentralDifferences, ::testing::ValuesIn(kSmooth),
                         [](const auto& info) { return info.param.name; });

TEST_P(CentralDifferences, EqualTheOuterGradient) {
  const Smooth& s = GetParam();
  LearnerOptions options = small_options(s.conv);
  options.network.kernels = "smooth";
  options.head = s.head;
  options.scope = s.scope;
  options.norm = s.norm;
  options.inner_steps = s.steps;
  options.inner_lr = "0.2";
  if (s.change) s.change(options);
  const SmallLearner small(options);
  const Task task = small_task(s.shots);
  const auto loss_at = [&](const ParameterSet& parameters) {
    at::NoGradGuard no_graph;  // adapts as evaluation does
    const PreparedTask prepared = prepare(small.learner, parameters, task, NormMode::kBatch);
    const ParameterSet adapted = adapt(small.learner, parameters, prepared, s.steps, Order::kSecond);
    return at::cross_entropy_loss(query_logits(small.learner, adapted, prepared), task.query_labels).item<double>();
  };
  const TaskGradient result = task_gradient(small.learner, small.parameters, task);
  EXPECT_NEAR(result.loss, loss_at(small.parameters), 1e-12);
  const auto trainable = small.parameters.trainable();
  ASSERT_EQ(result.gradients.size(), trainable.size());
  double largest = 0;
  for (size_t k = 0; k < trainable.size(); ++k) {
    const size_t i = trainable[k];
    const Tensor value = small.parameters.tensor(i);
    const Tensor direction = normal_tensor(value.sizes(), 1.0, 3, small.parameters[i].name).to(at::kDouble);
    // Adam's direction bends sharply where a gradient is small.
    const bool adam = options.inner_optimizer == "adam";
    const double step = adam ? 1e-7 : 1e-5, tolerance = adam ? 1e-5 : 1e-6;
    const double difference = (loss_at(small.parameters.with({i}, {value + step * direction})) -
                               loss_at(small.parameters.with({i}, {value - step * direction}))) /
                              (2 * step);
    const double slope = (result.gradients[k] * direction).sum().item<double>();
    EXPECT_NEAR(slope, difference, tolerance * std::abs(difference) + 0.01 * tolerance) << small.parameters[i].name;
    largest = std::max(largest, std::abs(slope));
  }
  EXPECT_GT(largest, 1e-3);  // there was something to compare
}

// ---- Laws of the inner loop.

TEST(InnerLoop, ZeroStepsAreThePlainForwardPass) {
  for (const std::string conv : {"standard", "acdc"}) {
    LearnerOptions options = small_options(conv);
    options.scope = conv == "acdc" ? "atom+head" : "all";
    const SmallLearner small(options);
    const Task task = small_task(1);
    at::NoGradGuard no_graph;
    const PreparedTask prepared = prepare(small.learner, small.parameters, task, NormMode::kBatch);
    const ParameterSet adapted = adapt(small.learner, small.parameters, prepared, 0, Order::kSecond);
    const Tensor features = small.learner.backbone().forward(task.query, small.parameters, NormMode::kBatch).x;
    EXPECT_TRUE(test::identical(adapted, small.parameters));
    EXPECT_EQ(test::largest_difference(query_logits(small.learner, adapted, prepared),
                                       small.learner.class_logits(features, small.parameters)),
              0);
  }
}

TEST(InnerLoop, StepsLowerTheInnerLoss) {
  const SmallLearner small(options_of({"", "acdc", "atom+head"}));
  const Task task = small_task(2);
  at::NoGradGuard no_graph;
  const PreparedTask prepared = prepare(small.learner, small.parameters, task, NormMode::kBatch);
  const auto loss_after = [&](int steps) {
    return inner_loss(small.learner, adapt(small.learner, small.parameters, prepared, steps, Order::kFirst), prepared)
        .item<double>();
  };
  EXPECT_LT(loss_after(5), loss_after(0));
  EXPECT_LT(loss_after(20), 0.5 * loss_after(0));
}

TEST(InnerLoop, FixedBlocksRunOnceAndTheRestFollowsTheScope) {
  const auto first_block = [](const std::string& conv, const std::string& scope) {
    LearnerOptions options = small_options(conv);
    options.scope = scope;
    ParameterSet parameters;
    return Learner(options, parameters).first_adapted_block();
  };
  EXPECT_EQ(first_block("acdc", "atom+head"), 1);  // the stem stays plain
  EXPECT_EQ(first_block("acdc", "atom"), 1);
  EXPECT_EQ(first_block("acdc", "coefficient"), 1);
  EXPECT_EQ(first_block("acdc", "norm"), 0);
  EXPECT_EQ(first_block("acdc", "kernel"), 0);
  EXPECT_EQ(first_block("standard", "head"), 4);
  EXPECT_EQ(first_block("standard", "all"), 0);
}

TEST(InnerLoop, CoefficientsAreFrozenInsideAndLearnedOutside) {
  LearnerOptions options = options_of({"", "acdc", "atom+head"});
  const Task task = small_task(2);
  const SmallLearner second(options);
  options.order = "first";
  const SmallLearner first(options);
  const auto coefficients = [&](const SmallLearner& small) {
    const auto trainable = small.parameters.trainable();
    const auto gradients = task_gradient(small.learner, small.parameters, task).gradients;
    for (size_t k = 0; k < trainable.size(); ++k)
      if (small.parameters[trainable[k]].role == Role::kCoefficient) return gradients[k];
    return Tensor();
  };
  const Tensor a = coefficients(first), b = coefficients(second);
  EXPECT_GT(a.abs().max().item<double>(), 1e-4);                                   // the query loss alone moves them
  EXPECT_GT(test::largest_difference(a, b), 1e-3 * b.abs().max().item<double>());  // and the mixed second derivatives
}

TEST(InnerLoop, FusedKernelsEqualTheReferenceKernels) {
  for (const Setting& setting : kSettings)
    for (const char* order : {"first", "second"}) {
      LearnerOptions options = options_of(setting);
      options.order = order;
      const SmallLearner fused(options);
      options.network.kernels = "reference";
      const SmallLearner reference(options);
      const Task task = small_task(1, 2);
      const TaskGradient a = task_gradient(fused.learner, fused.parameters, task);
      const TaskGradient b = task_gradient(reference.learner, reference.parameters, task);
      EXPECT_NEAR(a.loss, b.loss, 1e-10) << setting.name;
      EXPECT_EQ(a.accuracy, b.accuracy) << setting.name;
      for (size_t i = 0; i < a.gradients.size(); ++i)
        expect_close(a.gradients[i], b.gradients[i], 1e-10,
                     setting.name + " " + order + " " + fused.parameters[i].name);
    }
}

/// Values of `options`' learner after 20 outer steps of plain gradient descent.
std::vector<Tensor> after_twenty_steps(LearnerOptions options, const char* kernels, at::ScalarType type) {
  options.network.kernels = kernels;
  const SmallLearner start(options);
  ParameterSet parameters = start.parameters.to(type);
  const std::vector<size_t> trainable = parameters.trainable();
  for (uint64_t i = 0; i < 20; ++i) {
    const TaskGradient g = task_gradient(start.learner, parameters, test::small_task(1, i, 2, type));
    std::vector<Tensor> moved;
    for (size_t k = 0; k < trainable.size(); ++k)
      moved.push_back(parameters.tensor(trainable[k]) - 0.01 * g.gradients[k]);
    parameters = parameters.with(trainable, moved);
  }
  std::vector<Tensor> values;
  for (const size_t i : trainable) values.push_back(parameters.tensor(i).to(at::kDouble));
  return values;
}

TEST(InnerLoop, TwentyIterationsStayWithTheReferenceKernels) {
  // Width 16 is the least that every fast path takes: the stem in one pass, minimal filtering, planes of mixed maps.
  for (const Setting& setting :
       {Setting{"standard all", "standard", "all"}, Setting{"acdc atom+head", "acdc", "atom+head"}}) {
    LearnerOptions options = options_of(setting);
    options.network.width = 16;
    const auto reference = after_twenty_steps(options, "reference", at::kDouble);
    const auto wide = after_twenty_steps(options, "fused", at::kDouble),
               single = after_twenty_steps(options, "fused", at::kFloat);
    for (size_t i = 0; i < reference.size(); ++i) {
      expect_close(wide[i], reference[i], 1e-9, setting.name + ", float64, tensor " + std::to_string(i));
      expect_close(single[i], reference[i], 1e-3, setting.name + ", float32, tensor " + std::to_string(i));
    }
  }
}

TEST(InnerLoop, ComposedEqualsTwoStage) {
  LearnerOptions options = options_of({"", "acdc", "all"});
  const SmallLearner composed(options);
  options.network.conv.compute = "two-stage";
  const SmallLearner two_stage(options);
  const TaskGradient a = task_gradient(composed.learner, composed.parameters, small_task(1));
  const TaskGradient b = task_gradient(two_stage.learner, two_stage.parameters, small_task(1));
  for (size_t i = 0; i < a.gradients.size(); ++i)
    expect_close(a.gradients[i], b.gradients[i], 1e-9, composed.parameters[i].name);
}

TEST(InnerLoop, WithoutGradientModeNothingOfTheStepsIsKept) {
  const SmallLearner small(options_of({"", "acdc", "all"}));
  at::NoGradGuard no_graph;
  const PreparedTask prepared = prepare(small.learner, small.parameters, small_task(1), NormMode::kBatch);
  const ParameterSet adapted = adapt(small.learner, small.parameters, prepared, 3, Order::kSecond);
  for (const Parameter& p : adapted) EXPECT_FALSE(p.tensor.requires_grad()) << p.name;
  EXPECT_FALSE(query_logits(small.learner, adapted, prepared).requires_grad());
}

TEST(InnerLoop, RatesFollowTheRoles) {
  LearnerOptions options = options_of({"", "acdc", "atom+head"});
  options.inner_lr = "0.05,atom=0.5";
  const SmallLearner small(options);
  ASSERT_EQ(small.learner.adapted().size(), small.learner.inner_rates().size());
  for (size_t k = 0; k < small.learner.adapted().size(); ++k)
    EXPECT_EQ(small.learner.inner_rates()[k],
              small.parameters[small.learner.adapted()[k]].role == Role::kAtom ? 0.5 : 0.05);
  // One step moves each by rate * gradient.
  const Task task = small_task(2);
  const auto start = ByHand{small.parameters, small.learner}.leaves();
  const auto expected = ByHand{small.parameters, small.learner}.adapt(start, task, 1, false);
  at::NoGradGuard no_graph;
  const ParameterSet adapted =
      adapt(small.learner, small.parameters, prepare(small.learner, small.parameters, task, NormMode::kBatch), 1,
            Order::kFirst);
  for (size_t i = 0; i < expected.size(); ++i)
    expect_close(adapted.tensor(i), expected[i], 1e-12, small.parameters[i].name);
}

// ---- Norm.

TEST(Norm, RunningStatisticsJudgeOneImageAsTheyDoInABatchAndBatchNormDoesNot) {
  const Task task = small_task(2, 0, 4);
  Task alone = task;
  alone.query = task.query.narrow(0, 5, 1);
  alone.query_labels = task.query_labels.narrow(0, 5, 1);
  for (const std::string norm : {"running", "batch"}) {
    LearnerOptions options = small_options("acdc");
    options.scope = "atom+head";
    options.norm = norm;
    const SmallLearner small(options);
    const NormMode mode = norm == "running" ? NormMode::kRunning : NormMode::kBatch;
    EXPECT_EQ(small.learner.transductive(), norm == "batch");
    ParameterSet parameters = small.parameters;
    if (norm == "running") {
      const TaskGradient seen = task_gradient(small.learner, parameters, task);
      EXPECT_EQ(seen.updates.size(), 4U);  // one per norm layer, the fixed stem's too
      parameters = merge_statistics(parameters, seen.updates, 1.0);
    }
    at::NoGradGuard no_graph;
    const auto logits = [&](const Task& t) {
      const PreparedTask prepared = prepare(small.learner, parameters, t, mode);
      return query_logits(small.learner, adapt(small.learner, parameters, prepared, 2, Order::kFirst), prepared);
    };
    const double difference = test::largest_difference(logits(task).narrow(0, 5, 1), logits(alone));
    if (norm == "running")
      EXPECT_LT(difference, 1e-12);
    else
      EXPECT_GT(difference, 1e-3);
  }
}

TEST(Norm, UpdatesAreThoseOfTheQueryPassAfterAdaptation) {
  LearnerOptions options = small_options("acdc");
  options.scope = "atom+head";
  options.norm = "running";
  const SmallLearner small(options);
  const Task task = small_task(2);
  const TaskGradient result = task_gradient(small.learner, small.parameters, task);
  at::NoGradGuard no_graph;
  const ParameterSet adapted =
      adapt(small.learner, small.parameters, prepare(small.learner, small.parameters, task, NormMode::kBatch), 2,
            Order::kFirst);
  const auto expected = small.learner.backbone().forward(task.query, adapted, NormMode::kBatch).updates;
  ASSERT_EQ(result.updates.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(result.updates[i].mean_index, expected[i].mean_index);
    EXPECT_EQ(result.updates[i].variance_index, expected[i].variance_index);
    expect_close(result.updates[i].mean, expected[i].mean, 1e-12, "mean");
    expect_close(result.updates[i].variance, expected[i].variance, 1e-12, "variance");
  }
}

TEST(Norm, ProtoNetTrainsOnTheWholeEpisodeAsOneBatch) {
  LearnerOptions options = small_options("standard");
  options.head = "prototype";
  options.norm = "running";
  options.scope = "none";
  options.inner_steps = 0;
  const SmallLearner small(options);
  const Task task = small_task(2);
  const TaskGradient result = task_gradient(small.learner, small.parameters, task);
  at::NoGradGuard no_graph;
  const Activations both =
      small.learner.backbone().forward(at::cat({task.support, task.query}), small.parameters, NormMode::kBatch);
  const int64_t n = task.support.size(0);
  const Tensor centres = prototypes(both.x.narrow(0, 0, n), task.support_labels, test::kWays);
  const Tensor logits = prototype_logits(both.x.narrow(0, n, both.x.size(0) - n), centres);
  EXPECT_NEAR(result.loss, at::cross_entropy_loss(logits, task.query_labels).item<double>(), 1e-12);
  ASSERT_EQ(result.updates.size(), both.updates.size());
  expect_close(result.updates[3].variance, both.updates[3].variance, 1e-12, "variance of the last block");
}

}  // namespace
}  // namespace fewatoms
