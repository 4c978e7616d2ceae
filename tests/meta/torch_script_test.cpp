#include "meta/torch_script.h"

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <gmock/gmock.h>

#include "episodes/errors.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::expect_close;
using test::message_of;
using test::SyntheticSource;
using test::TemporaryFolder;

/// A run's network away from its start, and a task of three classes.
struct Subject {
  explicit Subject(const LearnerOptions& options) : source(test::kWays, /*images=*/2, 28) {
    learner = std::make_unique<Learner>(options, initial);
    task = support_task(source, PixelNorm::kUnit);
    at::NoGradGuard no_graph;
    for (const Parameter& p : test::SmallLearner::spread(initial).to(at::kFloat))
      parameters.add(p.name, p.tensor, p.role);
    // Running statistics of such images, so that deep networks tell them apart.
    parameters = merge_statistics(parameters,
                                  learner->backbone().forward(task.support, parameters, NormMode::kBatch).updates, 1);
    adapter = make_adapter(*learner, parameters, task, {"x", "y", "z"}, learner->adapted().empty() ? 0 : 2);
  }
  torch::jit::Module reopened(const TorchScript& script) const {
    const TemporaryFolder folder;
    save_torch_script(folder / "net.pt", script);
    return torch::jit::load((folder / "net.pt").string());
  }

  ParameterSet initial, parameters;
  std::unique_ptr<Learner> learner;
  SyntheticSource source;
  Task task;
  Adapter adapter;
};

Tensor call(torch::jit::Module& module, const char* method, const Tensor& x) {
  at::NoGradGuard no_graph;
  return module.get_method(method)({x}).toTensor();
}

/// Scores of a task as predict has them, and features of the network as it was trained.
void expect_same_answers(const LearnerOptions& options) {
  const Subject s(options);
  const Tensor images = s.task.support;
  torch::jit::Module adapted = s.reopened(torch_script(*s.learner, s.parameters, s.adapter, "it"));
  const Tensor expected = TaskClassifier(*s.learner, s.parameters, s.adapter, "it").probabilities(images);
  expect_close(call(adapted, "forward", images).softmax(1), expected, 2e-5, "probabilities");
  expect_close(call(adapted, "forward", images.narrow(0, 1, 1)).softmax(1), expected.narrow(0, 1, 1), 2e-5,
               "of an image alone");
  EXPECT_EQ(adapted.attr("classes").toListRef()[2].toStringRef(), "z");

  at::NoGradGuard no_graph;
  torch::jit::Module plain = s.reopened(torch_script(*s.learner, s.parameters));
  const Tensor features = s.learner->head_features(
      s.learner->backbone().forward(images, s.parameters, s.learner->evaluation_norm()).x, s.parameters);
  const double scale = features.abs().max().item<double>();
  EXPECT_GT((features[0] - features[2]).abs().max().item<double>(), 1e-2 * scale)
      << "the images look alike, nothing is compared";
  expect_close(call(plain, "embed", images) / scale, features / scale, 2e-5, "features");
  expect_close(call(plain, "forward", images),
               s.learner->fixed_ways() ? s.learner->class_logits(features, s.parameters) : features, 2e-5, "answer");
}

LearnerOptions with(const std::function<void(LearnerOptions&)>& change) {
  LearnerOptions options = test::small_options();
  options.network.width = 16;
  change(options);
  return options;
}

TEST(TorchScript, EveryBackboneAndConvolutionAnswersAlike) {
  for (const std::string& backbone : backbone_names())
    for (const char* conv : {"standard", "acdc", "separable"}) {
      SCOPED_TRACE(backbone + " " + conv);
      expect_same_answers(with([&](LearnerOptions& o) {
        o.network.backbone = backbone;
        o.network.conv.kind = conv;
        o.norm = "running";
        o.scope = "head";
        if (backbone == "resnet12") o.network.pool = "mean";
      }));
    }
}

TEST(TorchScript, EveryNormAnswersAlike) {
  for (const char* norm : {"batch", "running", "per-step", "group", "layer", "none"}) {
    SCOPED_TRACE(norm);
    expect_same_answers(with([&](LearnerOptions& o) {
      o.norm = norm;
      o.network.width = 32;  // two groups
      if (o.norm == "per-step") o.scope = "head";
    }));
  }
}

TEST(TorchScript, EveryHeadAnswersAlike) {
  for (const std::string& head : head_names()) {
    SCOPED_TRACE(head);
    expect_same_answers(with([&](LearnerOptions& o) {
      o.head = head;
      o.norm = "running";
      const bool weights = head == "linear" || head == "cosine";
      o.scope = weights ? "head" : "none";
      o.inner_steps = weights ? 2 : 0;
      o.temperature = head == "linear" ? 1 : 0.5;
      if (!weights) o.head_learned = head == "ridge" ? "yes" : "no";
      o.feature_norm = head == "prototype" ? "l2" : head == "ridge" ? "scaled" : "none";
    }));
  }
  SCOPED_TRACE("a head made for each task, features centred");
  expect_same_answers(with([](LearnerOptions& o) {
    o.head_start = "fresh";
    o.scope = "head";
    o.train_on = "classes";
    o.classes = 4;
    o.feature_norm = "centred";
  }));
}

TEST(TorchScript, NoLocaleChangesTheText) {
  for (const char* backbone : {"conv4", "resnet12"}) {
    const LearnerOptions options = with([&](LearnerOptions& o) {
      o.network.backbone = backbone;
      o.network.width = 16;
      o.norm = "running";
      o.scope = "head";
      o.temperature = 0.3;
      o.feature_norm = "scaled";
    });
    const Subject s(options);
    const std::string text = torch_script(*s.learner, s.parameters, s.adapter, "it").source;
    EXPECT_THAT(text, ::testing::HasSubstr("/ 0.3"));
    const test::CommaLocale locale;
    EXPECT_EQ(torch_script(*s.learner, s.parameters, s.adapter, "it").source, text);
    expect_same_answers(options);
  }
}

TEST(TorchScript, SpareOutputsAreLeftOutAndOtherRunsRefused) {
  Subject s(with([](LearnerOptions& o) { o.norm = "running"; }));
  const SyntheticSource two(2, 2, 28);
  const Adapter pair = make_adapter(*s.learner, s.parameters, support_task(two, PixelNorm::kUnit), {"a", "b"}, 1);
  torch::jit::Module module = s.reopened(torch_script(*s.learner, s.parameters, pair, "it"));
  EXPECT_EQ(call(module, "forward", s.task.support).size(1), 2);
  EXPECT_EQ(module.attr("image_size").toInt(), 28);
  for (const auto& p : module.named_parameters()) EXPECT_EQ(p.name.find("running_"), std::string::npos) << p.name;
  s.adapter.run_id = "another";
  EXPECT_THAT(message_of<UsageError>([&] { torch_script(*s.learner, s.parameters, s.adapter, "adapter 'a'"); }),
              ::testing::HasSubstr("another run"));
}

}  // namespace
}  // namespace fewatoms
