#include "meta/adapter.h"

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::expect_close;
using test::message_of;
using test::SyntheticSource;
using test::TemporaryFolder;

/// A learner of every kind that has a way of its own to keep a task.
struct Kind {
  std::string name, head, norm, scope;
  int steps;
  std::string start = "learned";
  std::string conv = "standard";
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

LearnerOptions options_of(const Kind& kind) {
  LearnerOptions options = test::small_options(kind.conv);
  options.head = kind.head;
  options.norm = kind.norm;
  options.scope = kind.scope;
  options.head_start = kind.start;
  options.inner_steps = kind.steps;
  options.inner_lr = "0.05";
  return options;
}

struct Subject {
  explicit Subject(const Kind& kind, uint64_t seed = 0, int images = 2) : source(test::kWays, images, 28) {
    LearnerOptions options = options_of(kind);
    options.seed = seed;
    learner = std::make_unique<Learner>(options, initial);
    for (const Parameter& p : test::SmallLearner::spread(initial).to(at::kFloat))
      parameters.add(p.name, p.role == Role::kStatistic ? p.tensor + 0.3 : p.tensor, p.role);
    task = support_task(source, PixelNorm::kUnit);
    for (int c = 0; c < source.classes(); ++c) classes.push_back(source.class_name(c));
  }
  Adapter adapted(int steps) const { return make_adapter(*learner, parameters, task, classes, steps); }

  ParameterSet initial, parameters;
  std::unique_ptr<Learner> learner;
  SyntheticSource source;
  Task task;
  std::vector<std::string> classes;
};

class EveryKind : public ::testing::TestWithParam<Kind> {};

TEST_P(EveryKind, AnImageAloneAndAmongOthersAndFromAFileGetsTheSameAnswer) {
  const Kind& kind = GetParam();
  const Subject s(kind);
  const Adapter adapter = s.adapted(kind.steps);
  const TaskClassifier classifier(*s.learner, s.parameters, adapter, "it");
  const SyntheticSource others(5, 4, 28);
  const Tensor images = support_task(others, PixelNorm::kUnit).support;
  const Tensor together = classifier.probabilities(images);
  ASSERT_EQ(together.sizes(), (std::vector<int64_t>{20, test::kWays}));
  expect_close(together.sum(1), at::ones(20), 1e-5, "sums");
  EXPECT_TRUE(classifier.probabilities(images.narrow(0, 7, 1)).equal(together.narrow(0, 7, 1)));

  const TemporaryFolder folder;
  save_adapter(folder / "a.safetensors", adapter);
  const Adapter back = load_adapter(folder / "a.safetensors");
  EXPECT_EQ(back.classes, adapter.classes);
  EXPECT_EQ(back.inner_steps, kind.steps);
  EXPECT_EQ(back.support_images, 2 * test::kWays);
  EXPECT_TRUE(TaskClassifier(*s.learner, s.parameters, back, "it").probabilities(images).equal(together));
}

TEST_P(EveryKind, AnswersAreThoseOfTheEngineWhereNormsSeeTheSupportImages) {
  const Kind& kind = GetParam();
  const Subject s(kind);
  Task task = s.task;
  task.query = task.support;  // whose statistics as a batch are those that the adapter keeps
  task.query_labels = task.support_labels;
  at::NoGradGuard no_graph;
  const PreparedTask prepared = prepare(*s.learner, s.parameters, task, s.learner->evaluation_norm());
  const ParameterSet adapted = adapt(*s.learner, s.parameters, prepared, kind.steps, Order::kFirst);
  const Tensor expected = query_logits(*s.learner, adapted, prepared).softmax(1);
  const Tensor given =
      TaskClassifier(*s.learner, s.parameters, s.adapted(kind.steps), "it").probabilities(task.support);
  // Running statistics hold the unbiased variance, which is a few percent larger for six small images.
  expect_close(given, expected, s.learner->transductive() ? 0.06 : 1e-4, "probabilities");
}

TEST_P(EveryKind, KeepsWhatTheScopeSelectsAndNoMore) {
  const Kind& kind = GetParam();
  const Subject s(kind);
  const Adapter adapter = s.adapted(kind.steps);
  int64_t numbers = 0, expected = 0;
  for (const Parameter& p : adapter.values) numbers += p.tensor.numel();
  for (const auto& [role, count] : s.learner->adapted_count())
    expected += kind.steps > 0 || role == Role::kHead ? count : 0;
  EXPECT_EQ(numbers, expected);
  EXPECT_EQ(adapter.statistics.empty(), !s.learner->transductive());
  EXPECT_EQ(adapter.support_features.defined(), !has_class_weights(s.learner->head()));
  if (kind.head == "prototype") {
    EXPECT_EQ(adapter.support_features.size(0), test::kWays);
  }
  if (kind.head == "ridge") {
    EXPECT_EQ(adapter.support_features.size(0), 2 * test::kWays);
  }
}

INSTANTIATE_TEST_SUITE_P(Adapter, EveryKind,
                         ::testing::Values(Kind{"AtomHeadBatch", "linear", "batch", "atom+head", 2, "learned", "acdc"},
                                           Kind{"AllRunning", "linear", "running", "all", 2},
                                           Kind{"HeadPerStep", "linear", "per-step", "head", 2},
                                           Kind{"AllGroup", "linear", "group", "all", 1},
                                           Kind{"MadeHead", "linear", "batch", "all", 2, "prototype"},
                                           Kind{"FreshCosine", "cosine", "running", "head", 3, "fresh"},
                                           Kind{"ProtoNet", "prototype", "running", "none", 0},
                                           Kind{"ProtoBatch", "prototype", "batch", "none", 0},
                                           Kind{"AtomProto", "prototype", "batch", "atom", 1, "learned", "acdc"},
                                           Kind{"Ridge", "ridge", "running", "none", 0},
                                           Kind{"Matching", "matching", "running", "none", 0},
                                           Kind{"Relation", "relation", "running", "none", 0}),
                         [](const auto& info) { return info.param.name; });

const Kind kAtomHead{"", "linear", "batch", "atom+head", 2, "learned", "acdc"};

TEST(Adapter, AtomsOfATaskAreUnderAKilobyte) {
  const Subject s(kAtomHead);
  EXPECT_EQ(s.adapted(2).values.count().at(Role::kAtom), 3 * 6 * 9);  // 648 bytes
}

TEST(Adapter, SpareOutputsOfALearnedHeadAreMasked) {
  const Subject s(kAtomHead);
  const SyntheticSource two(2, 3, 28);
  const Task task = support_task(two, PixelNorm::kUnit);
  require_adaptable(*s.learner, two, 2);
  const TaskClassifier classifier(*s.learner, s.parameters, make_adapter(*s.learner, s.parameters, task, {"a", "b"}, 2),
                                  "it");
  const Tensor p = classifier.probabilities(task.support);
  EXPECT_EQ(p.size(1), 2);
  expect_close(p.sum(1), at::ones(6), 1e-5, "sums");

  // What the spare output says before adaptation decides nothing.
  std::vector<size_t> bias;
  for (size_t i = 0; i < s.parameters.size(); ++i)
    if (s.parameters[i].name == "head.bias") bias.push_back(i);
  Tensor moved = s.parameters.tensor(bias.at(0)).clone();
  moved[2] += 5.0F;
  const ParameterSet other = s.parameters.with(bias, {moved});
  const Adapter same = make_adapter(*s.learner, other, task, {"a", "b"}, 2);
  EXPECT_TRUE(TaskClassifier(*s.learner, other, same, "it").probabilities(task.support).equal(p));
}

TEST(Adapter, StepsLearnTheTask) {
  const Subject s({"", "linear", "running", "all", 2}, 0, 4);
  const auto right = [&](int steps) {
    return accuracy(TaskClassifier(*s.learner, s.parameters, s.adapted(steps), "it").probabilities(s.task.support),
                    s.task.support_labels);
  };
  EXPECT_GT(right(60), right(0));
}

TEST(Adapter, AnotherRunsIsRefused) {
  const Subject a(kAtomHead), b(kAtomHead, 1);
  EXPECT_EQ(network_identity(*a.learner, a.parameters), network_identity(*a.learner, a.parameters));
  EXPECT_NE(network_identity(*a.learner, a.parameters), network_identity(*b.learner, b.parameters));
  const std::string text =
      message_of<UsageError>([&] { TaskClassifier(*b.learner, b.parameters, a.adapted(1), "adapter 'x'"); });
  EXPECT_NE(text.find("adapter 'x' belongs to another run"), std::string::npos) << text;
}

TEST(Adapter, ARefusalSaysWhichRunItBelongsToAndWhatIsDifferent) {
  const Subject a(kAtomHead);
  Adapter adapter = a.adapted(1);
  adapter.run_name = "first";
  adapter.checkpoint = "best";
  adapter.iteration = 600;
  const TemporaryFolder folder;
  save_adapter(folder / "a", adapter);
  const Adapter back = load_adapter(folder / "a");
  EXPECT_EQ(back.network, adapter.network);
  const auto refusal = [&](const Subject& s) {
    return message_of<UsageError>([&] { TaskClassifier(*s.learner, s.parameters, back, "adapter 'x'"); });
  };
  EXPECT_EQ(
      refusal(Subject(kAtomHead, 1)),
      "adapter 'x' belongs to another run, 'first' (method 'maml', best checkpoint, iteration 600): seed is 0 there "
      "and 1 here; name its run");
  EXPECT_NE(refusal(Subject({"", "linear", "running", "atom+head", 2, "learned", "acdc"}))
                .find("norm is batch there and running here"),
            std::string::npos);
  Subject further(kAtomHead);  // the same run, trained further
  further.parameters = further.parameters.with({0}, {further.parameters.tensor(0) + 0.1});
  EXPECT_NE(refusal(further).find("iteration 600): the weights are others here, of another training or of more"),
            std::string::npos);
}

TEST(Adapter, TemperatureAndRegulariserAreOfTheIdentity) {
  const auto identity = [](double temperature, double regulariser) {
    LearnerOptions options = options_of({"", "ridge", "running", "none", 0});
    options.temperature = temperature;
    options.regulariser = regulariser;
    ParameterSet parameters;
    const Learner learner(options, parameters);
    return network_identity(learner, parameters);
  };
  EXPECT_EQ(identity(1, 1), identity(1, 1));
  EXPECT_NE(identity(1, 1), identity(0.5, 1));
  EXPECT_NE(identity(1, 1), identity(1, 2));
}

TEST(Adapter, WhatCannotBeLearnedIsRefused) {
  const Subject s(kAtomHead);
  const auto refusal = [&](const Subject& subject, const SyntheticSource& source, int steps) {
    return message_of<UsageError>([&] { require_adaptable(*subject.learner, source, steps); });
  };
  EXPECT_NE(
      refusal(s, SyntheticSource(4, 1, 28), 1).find("4 classes to learn, but the linear head of this run has 3 ways"),
      std::string::npos);
  EXPECT_NE(refusal(s, SyntheticSource(1, 2, 28), 1).find("1 class to learn, at least 2"), std::string::npos);
  EXPECT_NE(refusal(s, SyntheticSource(2, 2, 28), 1001).find("1001"), std::string::npos);
  const Subject prototype({"", "prototype", "batch", "atom", 1, "learned", "acdc"}),
      fixed({"", "prototype", "running", "none", 0});
  EXPECT_NE(refusal(fixed, SyntheticSource(2, 2, 28), 1).find("adapts nothing"), std::string::npos);
  EXPECT_NE(message_of<DataError>([&] {
              require_adaptable(*prototype.learner, SyntheticSource({3, 1}, 28), 1);
            }).find("class 'class1' has 1 image"),
            std::string::npos);
  EXPECT_NO_THROW(require_adaptable(*prototype.learner, SyntheticSource({1, 1, 1, 1}, 28), 1));  // views instead
  EXPECT_NO_THROW(require_adaptable(*prototype.learner, SyntheticSource({3, 1}, 28), 0));
}

TEST(Adapter, BadFilesAreRefused) {
  const TemporaryFolder folder;
  const Subject s(kAtomHead);
  Adapter adapter = s.adapted(1);
  EXPECT_NE(message_of<UsageError>([&] { load_adapter(folder / "none"); }).find("none"), std::string::npos);
  write_safetensors(folder / "other", {{{"a", at::zeros({2})}}, {}});
  EXPECT_NE(message_of<UsageError>([&] { load_adapter(folder / "other"); }).find("is not an adapter"),
            std::string::npos);
  save_adapter(folder / "whole", adapter);
  SafeTensors file = read_safetensors(folder / "whole");
  const auto damaged = [&](auto&& change) {
    SafeTensors copy = file;
    change(copy);
    write_safetensors(folder / "damaged", copy);
    return message_of<DataError>(
        [&] { TaskClassifier(*s.learner, s.parameters, load_adapter(folder / "damaged"), "adapter 'damaged'"); });
  };
  EXPECT_NE(damaged([](SafeTensors& f) { f.tensors.erase("head.bias"); }).find("head.bias"), std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.tensors.erase("block1.norm.mean"); }).find("block1.norm.mean"),
            std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.tensors["head.bias"] = at::zeros({7}); }).find("head.bias"),
            std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.metadata["classes"] = "["; }).find("'classes'"), std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.metadata["classes"] = "[\"one\"]"; }).find("1 classes"), std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.metadata.erase("inner_steps"); }).find("'inner_steps'"), std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.metadata["classes"] = R"(["a","b","c","d"])"; }).find("4 classes"),
            std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.metadata["classes"] = R"(["a","b","a"])"; }).find("class 'a' twice"),
            std::string::npos);
  EXPECT_NE(
      damaged([](SafeTensors& f) { f.metadata["inner_steps"] = "1001"; }).find("'1001' is not a whole number from 0"),
      std::string::npos);
  EXPECT_NE(damaged([](SafeTensors& f) { f.metadata["roles"] = R"({"head.bias":"haed"})"; }).find("'haed'"),
            std::string::npos);
}

TEST(Adapter, TensorsOfAnotherTypeShapeOrNameAreRefused) {
  const TemporaryFolder folder;
  const auto expect_damaged = [&](const Subject& s, int steps, const std::string& words, auto&& change) {
    save_adapter(folder / "whole", s.adapted(steps));
    SafeTensors file = read_safetensors(folder / "whole");
    change(file);
    write_safetensors(folder / "damaged", file);
    const std::string text = message_of<DataError>(
        [&] { TaskClassifier(*s.learner, s.parameters, load_adapter(folder / "damaged"), "adapter 'damaged'"); });
    EXPECT_NE(text.find("adapter 'damaged' is damaged: " + words), std::string::npos) << text;
  };
  const Subject learned(kAtomHead);
  expect_damaged(learned, 1, "tensor 'head.bias' is of type Double, float32 was expected",
                 [](SafeTensors& f) { f.tensors["head.bias"] = f.tensors["head.bias"].to(at::kDouble); });
  expect_damaged(learned, 1, "tensor 'head.bias' is [7], [3] was expected",
                 [](SafeTensors& f) { f.tensors["head.bias"] = at::zeros({7}); });
  expect_damaged(learned, 1, "tensor 'block1.norm.mean' is of type Long",
                 [](SafeTensors& f) { f.tensors["block1.norm.mean"] = at::zeros({4}, at::kLong); });
  expect_damaged(learned, 1, "tensor 'spare' has no place in its run's network",
                 [](SafeTensors& f) { f.tensors["spare"] = at::zeros({1}); });
  expect_damaged(learned, 1, "tensor 'head.bias' has role 'atom', 'head' was expected", [](SafeTensors& f) {
    std::string& roles = f.metadata["roles"];
    const std::string bias = "\"head.bias\":\"head\"";
    roles.replace(roles.find(bias), bias.size(), "\"head.bias\":\"atom\"");
  });
  const Subject made({"", "linear", "batch", "all", 2, "prototype"});
  const int64_t features = made.learner->backbone().features();
  for (const auto& shape : {std::vector<int64_t>{}, {3}, {3, 1}, {2, features}})
    expect_damaged(made, 1, "tensor 'head.weight' is " + shape_text(shape),
                   [&](SafeTensors& f) { f.tensors["head.weight"] = at::zeros(shape); });
  const Subject compared({"", "matching", "running", "none", 0});
  const std::string expected = "tensors 'support.features' and 'support.labels' are not float32 n x";
  expect_damaged(compared, 0, expected, [](SafeTensors& f) { f.tensors["support.labels"].fill_(0); });  // of one class
  expect_damaged(compared, 0, expected, [](SafeTensors& f) { f.tensors["support.labels"].fill_(3); });
  expect_damaged(compared, 0, expected,
                 [](SafeTensors& f) { f.tensors["support.features"] = f.tensors["support.features"].to(at::kDouble); });
}

}  // namespace
}  // namespace fewatoms
