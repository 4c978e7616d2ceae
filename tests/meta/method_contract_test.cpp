// What every method promises, on every kind of convolution that it allows.

#include <cmath>

#include "episodes/errors.h"
#include "meta/evaluate.h"
#include "meta/methods.h"
#include "meta/trainer.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::SyntheticSource;

struct Row {
  std::string method, conv;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.method << " " << row.conv; }

std::vector<Row> rows() {
  std::vector<Row> all;
  for (const Method& method : method_registry())
    for (const std::string& conv : convolution_kinds())
      if (method.only("conv").empty() || method.only("conv") == conv) all.push_back({method.name, conv});
  return all;
}

LearnerOptions options_of(const Row& row) {
  LearnerOptions options = find_method(row.method).preset;
  options.network.width = 4;
  options.network.image_size = 28;
  options.network.channels = 1;
  options.network.conv.kind = row.conv;
  options.ways = test::kWays;
  options.inner_steps = std::min(options.inner_steps, 2);
  options.classes = 6;
  return options;
}

TrainerOptions training_of(const Row& row, int shots) {
  TrainerOptions options;
  options.spec = {.ways = test::kWays, .shots = shots, .queries = 3};
  options.iterations = 3;
  options.outer_lr = find_method(row.method).outer.outer_lr;
  options.meta_batch = find_method(row.method).outer.meta_batch;
  return options;
}

class EveryMethod : public ::testing::TestWithParam<Row> {};
INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, ::testing::ValuesIn(rows()), [](const auto& info) {
  std::string name = info.param.method + "_" + info.param.conv;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

TEST_P(EveryMethod, PresetIsConsistentAndDescribed) {
  const Method& method = find_method(GetParam().method);
  EXPECT_NO_THROW(require_consistent(options_of(GetParam())));
  EXPECT_EQ(method.preset.method, method.name);
  EXPECT_FALSE(method.citation.empty());
  EXPECT_FALSE(method.algorithm.empty());
  EXPECT_GE(method.outer.meta_batch, 1);
  ParameterSet parameters;
  const Learner learner(options_of(GetParam()), parameters);
  EXPECT_EQ(learner.transductive(), method.preset.norm != "running");
}

TEST_P(EveryMethod, TrainsAtOneAndSeveralShots) {
  const SyntheticSource source(6, 10, 28);
  for (const int shots : {1, 3}) {
    TrainState state;
    const Learner learner(options_of(GetParam()), state.parameters);
    Trainer trainer(learner, source, training_of(GetParam(), shots), state);
    for (int i = 1; i <= 3; ++i) {
      const IterationReport report = trainer.step();
      EXPECT_EQ(report.iteration, i);
      EXPECT_TRUE(std::isfinite(report.loss) && report.loss > 0);
      EXPECT_TRUE(report.accuracy >= 0 && report.accuracy <= 1);
      EXPECT_GT(report.gradient_norm, 0);
    }
    const ParameterSet after = trainer.state().parameters;
    for (const size_t i : after.trainable()) {
      EXPECT_TRUE(after.tensor(i).isfinite().all().item<bool>()) << after[i].name;
      EXPECT_FALSE(after.tensor(i).equal(state.parameters.tensor(i))) << after[i].name << " was not trained";
    }
  }
}

TEST_P(EveryMethod, OuterStepsOnOneEpisodeLowerItsLoss) {
  ParameterSet parameters;
  const Learner learner(options_of(GetParam()), parameters);
  const Task task = test::small_task(2, 0, 4, at::kFloat);
  const double before = task_gradient(learner, parameters, task).loss;
  for (int step = 0; step < 12; ++step) {
    const TaskGradient gradient = task_gradient(learner, parameters, task);
    std::vector<Tensor> moved;
    const auto trainable = parameters.trainable();
    for (size_t k = 0; k < trainable.size(); ++k)
      moved.push_back(parameters.tensor(trainable[k]) - 0.01 * gradient.gradients[k]);
    parameters = parameters.with(trainable, moved);
  }
  EXPECT_LT(task_gradient(learner, parameters, task).loss, before);
}

TEST_P(EveryMethod, EvaluatesWithAndWithoutSteps) {
  const SyntheticSource source(6, 10, 28);
  ParameterSet parameters;
  const Learner learner(options_of(GetParam()), parameters);
  EvaluationOptions options;
  options.spec = {.ways = test::kWays, .shots = 2, .queries = 3};
  options.episodes = 5;
  options.inner_steps = learner.adapted().empty() ? std::vector<int>{0} : std::vector<int>{0, 1, 4};
  const Evaluation result = evaluate(learner, parameters, source, options);
  ASSERT_EQ(result.by_steps.size(), options.inner_steps.size());
  for (const StepAccuracy& mark : result.by_steps) {
    EXPECT_TRUE(mark.accuracy >= 0 && mark.accuracy <= 1);
    EXPECT_TRUE(std::isfinite(mark.loss));
  }
}

TEST_P(EveryMethod, GradientIsAPureFunctionOfParametersAndTask) {
  ParameterSet parameters;
  const Learner learner(options_of(GetParam()), parameters);
  const Task task = test::small_task(1, 3, 2, at::kFloat);
  const TaskGradient a = task_gradient(learner, parameters, task), b = task_gradient(learner, parameters, task);
  EXPECT_EQ(a.loss, b.loss);
  ASSERT_EQ(a.gradients.size(), parameters.trainable().size());
  for (size_t i = 0; i < a.gradients.size(); ++i) EXPECT_TRUE(a.gradients[i].equal(b.gradients[i]));
}

TEST(Methods, ContradictionsAreRefused) {
  const auto refusal = [](const Row& row, const auto& change) {
    LearnerOptions options = options_of(row);
    change(options);
    const std::string message = message_of<UsageError>([&] { require_consistent(options); });
    EXPECT_NE(message.find("'" + row.method + "'"), std::string::npos) << message;
  };
  refusal({"fomaml", "standard"}, [](auto& o) { o.order = "second"; });
  refusal({"anil", "standard"}, [](auto& o) { o.scope = "all"; });
  refusal({"protonet", "standard"}, [](auto& o) { o.scope = "body"; });
  refusal({"protonet", "standard"}, [](auto& o) { o.head = "linear"; });
  refusal({"acdc-maml", "acdc"}, [](auto& o) { o.network.conv.kind = "standard"; });
  refusal({"acdc-proto", "acdc"}, [](auto& o) { o.network.conv.kind = "standard"; });
  refusal({"acdc-proto", "acdc"}, [](auto& o) { o.head = "linear"; });
}

TEST(Methods, ExplicitOptionsOverrideAPreset) {
  const auto fine = [](const Row& row, const auto& change) {
    LearnerOptions options = options_of(row);
    change(options);
    EXPECT_NO_THROW(require_consistent(options)) << row.method;
    ParameterSet parameters;
    EXPECT_NO_THROW(Learner(options, parameters)) << row.method;
  };
  fine({"maml", "standard"}, [](auto& o) { o.order = "first"; });
  fine({"maml", "acdc"}, [](auto& o) { o.scope = "atom"; });
  fine({"acdc-maml", "acdc"}, [](auto& o) { o.scope = "atom", o.inner_lr = "0.1"; });
  fine({"acdc-maml", "acdc"}, [](auto& o) { o.order = "first"; });
  fine({"acdc-proto", "acdc"}, [](auto& o) { o.inner_steps = 0; });
  fine({"protonet", "acdc"}, [](auto& o) { o.norm = "batch"; });
}

TEST(Methods, UnknownNamesOfferTheNearest) {
  EXPECT_NE(message_of<UsageError>([] { find_method("mamml"); }).find("did you mean 'maml'"), std::string::npos);
  EXPECT_NE(message_of<UsageError>([] { find_method("acdc_maml"); }).find("did you mean 'acdc-maml'"),
            std::string::npos);
  EXPECT_EQ(method_names().size(), method_registry().size());
}

TEST(Methods, TheMissionAdaptsAtomsAndHeadAlone) {
  ParameterSet parameters;
  const Learner learner(options_of({"acdc-maml", "acdc"}), parameters);
  const auto adapted = learner.adapted_count();
  EXPECT_EQ(adapted, (std::map<Role, int64_t>{{Role::kAtom, 3 * 6 * 9}, {Role::kHead, 3 * 4 + 3}}));
  EXPECT_EQ(learner.first_adapted_block(), 1);
}

}  // namespace
}  // namespace fewatoms
