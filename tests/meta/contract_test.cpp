// One suite over method, convolution with its sharing, scope, norm and backbone: every pair of values in the quick run.
// The slow one has every combination of method, convolution, scope and norm on conv4, and of backbone, convolution and
// norm for a method of each kind.

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <set>

#include "episodes/errors.h"
#include "meta/checkpoint.h"
#include "meta/methods.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::SyntheticSource;

struct Combination {
  std::string method, conv, scope, norm, backbone = "conv4";  // conv: kind, or kind/sharing, or acdc/group

  std::string text() const { return method + ", " + conv + ", scope " + scope + ", norm " + norm + ", " + backbone; }
  ConvOptions convolutions() const {
    const size_t slash = conv.find('/');
    ConvOptions o{.kind = conv.substr(0, slash)};
    if (slash == std::string::npos) return o;
    const std::string sharing = conv.substr(slash + 1);
    if (sharing == "group")
      o.group = 4;
    else
      o.sharing = sharing;
    return o;
  }
  LearnerOptions options() const {
    LearnerOptions o = find_method(method).preset;
    o.network.width = 8;
    o.network.image_size = 28;
    o.network.channels = 1;
    o.network.backbone = backbone;
    if (!backbone.starts_with("conv")) {
      o.network.pool = "mean";
      if (o.feature_norm == "none")
        o.feature_norm = "l2";  // long features of random networks leave no loss to learn from
    }
    o.network.conv = convolutions();
    if (scope != "preset") o.scope = scope;
    if (norm != "preset") o.norm = norm;
    o.inner_steps = std::min(o.inner_steps, 2);
    o.ways = test::kWays;
    o.classes = 6;
    return o;
  }
  TrainerOptions training() const {
    TrainerOptions t = find_method(method).outer;
    t.spec = {.ways = test::kWays, .shots = 2, .queries = 3};
    t.meta_batch = 2;
    t.iterations = 4;
    return t;
  }
};

/// Whether the options are refused; the reason must be a sentence.
bool refused(const Combination& c) {
  try {
    require_consistent(c.options());
    ParameterSet parameters;
    const Learner learner(c.options(), parameters);
  } catch (const UsageError& e) {
    EXPECT_GT(std::string(e.what()).size(), 20U) << c.text();
    return true;
  }
  return false;
}

/// Every combination with this method and backbone that is not refused.
std::vector<Combination> combinations(const std::string& method, const std::string& backbone,
                                      const std::vector<std::string>& scopes) {
  std::vector<Combination> all;
  for (const std::string conv :
       {"standard", "separable", "acdc/net", "acdc/stage", "acdc/block", "acdc/layer", "acdc/group"})
    for (const std::string& scope : scopes)
      for (const std::string norm : {"preset", "batch", "running", "per-step", "group", "layer", "none"}) {
        const Combination c{method, conv, scope, norm, backbone};
        if (!refused(c)) all.push_back(c);
      }
  return all;
}
const std::vector<std::string> kScopes = {"preset", "all", "body", "head", "norm", "atom+head", "kernel+head", "none"};

/// Combinations that together hold every pair of values which occurs in `all`: each is taken if it brings a new pair.
std::vector<Combination> pairwise(const std::vector<Combination>& all) {
  std::vector<Combination> chosen;
  std::set<std::string> seen;
  for (const size_t least : {8U, 4U, 1U})  // those that bring many first
    for (const Combination& c : all) {
      const std::vector<std::string> values = {"m" + c.method, "c" + c.conv, "s" + c.scope, "n" + c.norm,
                                               "b" + c.backbone};
      std::set<std::string> pairs;
      for (size_t i = 0; i < values.size(); ++i)
        for (size_t k = 0; k < i; ++k) pairs.insert(values[k] + "|" + values[i]);
      const size_t fresh =
          std::count_if(pairs.begin(), pairs.end(), [&](const std::string& p) { return !seen.count(p); });
      if (fresh < least) continue;
      chosen.push_back(c);
      seen.merge(pairs);
    }
  return chosen;
}

const SyntheticSource& source() {
  static const SyntheticSource images(6, 10, 28);
  return images;
}

TrainState trained(const Learner& learner, const Combination& c, const TrainState& from, int until, int threads) {
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
  tbb::task_arena arena(threads);
  return arena.execute([&] {
    Trainer trainer(learner, source(), c.training(), from);
    while (trainer.iteration() < until) trainer.step();
    return trainer.state();
  });
}

void zero_steps_are_the_forward_pass(const Learner& learner, const ParameterSet& parameters, const Task& task) {
  at::NoGradGuard no_graph;
  const NormMode norm = learner.evaluation_norm();
  const PreparedTask prepared = prepare(learner, parameters, task, norm);
  const Tensor given = query_logits(learner, adapt(learner, parameters, prepared, 0, Order::kFirst), prepared);
  const auto features = [&](const Tensor& x) {
    return learner.head_features(learner.backbone().forward(x, parameters, norm).x, parameters);
  };
  const Tensor support = features(task.support), query = features(task.query);
  Tensor expected;
  if (learner.makes_head())
    expected = learner.class_logits(query, learner.with_task_head(parameters, support, task.support_labels, task.ways));
  else if (has_class_weights(learner.head()))
    expected = learner.class_logits(query, parameters);
  else
    expected = compared_logits(learner.comparison(parameters), support, task.support_labels, task.ways, query);
  test::expect_close(given, expected, 1e-4, "scores without steps");
}

void adaptation_changes_what_the_scope_names(const Learner& learner, const ParameterSet& parameters, const Task& task) {
  if (learner.adapted().empty()) return;
  at::NoGradGuard no_graph;
  const ParameterSet adapted =
      adapt(learner, parameters, prepare(learner, parameters, task, learner.evaluation_norm()), 2, Order::kFirst);
  const Scope scope(learner.options().scope);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    const bool apart =
        (p.role == Role::kNorm && learner.options().norm == "per-step") || p.name.starts_with("classes.");
    EXPECT_EQ(!adapted.tensor(i).equal(p.tensor), scope.has(p.role) && !apart) << p.name;
  }
  EXPECT_EQ(adapted.size() - parameters.size(),
            learner.makes_head() ? (learner.head() == HeadKind::kLinear ? 2U : 1U) : 0U);
}

void gradients_reach_what_should_train(const Learner& learner, const ParameterSet& parameters, const Task& task) {
  const TaskGradient result = task_gradient(learner, parameters, task);
  const auto trainable = parameters.trainable();
  ASSERT_EQ(result.gradients.size(), trainable.size());
  for (size_t k = 0; k < trainable.size(); ++k) {
    EXPECT_NE(parameters[trainable[k]].role, Role::kStatistic);
    EXPECT_TRUE(result.gradients[k].isfinite().all().item<bool>()) << parameters[trainable[k]].name;
    EXPECT_GT(result.gradients[k].abs().max().item<double>(), 0) << parameters[trainable[k]].name;
  }
  for (const Parameter& p : parameters) EXPECT_FALSE(p.tensor.requires_grad()) << p.name;
}

void one_episode_is_learned_by_heart(const Learner& learner, const Combination& c, const TrainState& start,
                                     const Task& task, int most_iterations) {
  TrainerOptions options = c.training();
  options.lr_schedule = "constant";
  options.iterations = 1000;
  options.first_order_share = options.multi_step_share = 0;
  double accuracy = 0;
  for (const char* rate :
       {"0.01", "0.001", "0.0001"}) {  // where no norm keeps the activations' size, larger ones may destroy them
    if (options.outer_optimizer != "sgd") options.outer_lr = rate;
    Trainer trainer(learner, source(), options, start);
    for (int i = 0; i < most_iterations && accuracy < 1; ++i) accuracy = trainer.step({task}).accuracy;
    if (accuracy == 1) return;
  }
  ADD_FAILURE() << "accuracy " << accuracy << ", 1 was expected";
}

void expect_same(const TrainState& a, const TrainState& b, const std::string& what) {
  EXPECT_TRUE(test::identical(a.parameters, b.parameters)) << what;
  ASSERT_EQ(a.optimizer.first.size(), b.optimizer.first.size()) << what;
  ASSERT_EQ(a.optimizer.second.size(), b.optimizer.second.size()) << what;
  for (size_t i = 0; i < a.optimizer.first.size(); ++i)
    EXPECT_TRUE(a.optimizer.first[i].equal(b.optimizer.first[i])) << what;
  for (size_t i = 0; i < a.optimizer.second.size(); ++i)
    EXPECT_TRUE(a.optimizer.second[i].equal(b.optimizer.second[i])) << what;
}

void keeps_its_contract(const Combination& c, int most_iterations = 150) {
  SCOPED_TRACE(c.text());
  TrainState start;
  const Learner learner(c.options(), start.parameters);
  const Task task = test::small_task(2, 1, 3, at::kFloat);
  zero_steps_are_the_forward_pass(learner, start.parameters, task);
  adaptation_changes_what_the_scope_names(learner, start.parameters, task);
  gradients_reach_what_should_train(learner, start.parameters, task);
  one_episode_is_learned_by_heart(learner, c, start, task, most_iterations);

  const TrainState half = trained(learner, c, start, 2, 1), whole = trained(learner, c, half, 4, 1);
  expect_same(trained(learner, c, start, 4, 2), whole, "two threads");
  const test::TemporaryFolder folder;
  save_checkpoint(folder / "c.safetensors", half);
  const TrainState loaded = load_checkpoint(folder / "c.safetensors", start.parameters.schema());
  expect_same(loaded, half, "checkpoint");
  expect_same(trained(learner, c, loaded, 4, 1), whole, "resumed");
}

TEST(Contract, EveryPairOfMethodConvolutionScopeNormAndBackbone) {
  std::vector<Combination> all;
  for (const std::string& method : method_names())
    for (const Combination& c : combinations(method, "conv4", kScopes))
      for (const std::string& backbone : backbone_names()) {
        all.push_back(c);
        all.back().backbone = backbone;
      }
  const auto chosen = pairwise(all);
  EXPECT_GT(all.size(), 3000U);
  RecordProperty("combinations", static_cast<int>(chosen.size()));
  for (const Combination& c : chosen) keeps_its_contract(c);
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = c == '+' ? 'p' : '_';
  return name;
}

constexpr int kSlowIterations = 400;  // conv6 with atoms by stage under group and layer norm needs 170

class MethodSlow : public testing::TestWithParam<std::string> {};
TEST_P(MethodSlow, EveryConvolutionScopeAndNorm) {
  for (const Combination& c : combinations(GetParam(), "conv4", kScopes)) keeps_its_contract(c, kSlowIterations);
}
INSTANTIATE_TEST_SUITE_P(Contract, MethodSlow, testing::ValuesIn(method_names()), test_name);

class BackboneSlow : public testing::TestWithParam<std::string> {};
TEST_P(BackboneSlow, EveryConvolutionAndNorm) {
  for (const std::string method :
       {"maml", "acdc-maml", "protonet", "baseline"})  // adapts all, atoms, nothing; trained on classes
    for (const Combination& c : combinations(method, GetParam(), {"preset"})) keeps_its_contract(c, kSlowIterations);
}
INSTANTIATE_TEST_SUITE_P(Contract, BackboneSlow, testing::ValuesIn(backbone_names()), test_name);

}  // namespace
}  // namespace fewatoms
