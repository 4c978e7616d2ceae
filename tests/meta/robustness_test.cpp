// Evaluation under other conditions than those of training: what `speed` reports.
#include "episodes/errors.h"
#include "meta/corruption.h"
#include "meta/evaluate.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

struct Subject {
  explicit Subject(const LearnerOptions& options) : learner(options, parameters) {}
  ParameterSet parameters;
  Learner learner;
  test::SyntheticSource source{6, 12, 28};
  EvaluationOptions options{
      .spec = {.ways = test::kWays, .shots = 2, .queries = 3}, .episodes = 6, .inner_steps = {0, 1, 3}};
};

TEST(Robustness, MeansAreThoseOfTheEpisodes) {
  const Subject s(test::small_options());
  const Evaluation e = evaluate(s.learner, s.parameters, s.source, s.options);
  ASSERT_EQ(e.accuracies.size(), 6U);
  ASSERT_EQ(e.losses.size(), 6U);
  for (size_t mark = 0; mark < 3; ++mark) {
    std::vector<double> accuracy, loss;
    for (size_t i = 0; i < 6; ++i) {
      accuracy.push_back(e.accuracies[i][mark]);
      loss.push_back(e.losses[i][mark]);
    }
    EXPECT_DOUBLE_EQ(mean_interval(accuracy).mean, e.by_steps[mark].accuracy);
    EXPECT_DOUBLE_EQ(mean_interval(loss).mean, e.by_steps[mark].loss);
  }
}

TEST(Robustness, ARateFactorIsThatOfTheRates) {
  LearnerOptions options = test::small_options();
  options.inner_lr = "0.04";
  const Subject twice(options);
  options.inner_lr = "0.08";
  const Subject plain(options);
  EvaluationOptions changed = twice.options;
  changed.rate_factor = 2;
  EXPECT_EQ(evaluate(twice.learner, twice.parameters, twice.source, changed).losses,
            evaluate(plain.learner, plain.parameters, plain.source, plain.options).losses);
  options.inner_lr_learned = "tensor";
  options.inner_lr = "0.04";
  const Subject learned(options);
  const Evaluation moved = evaluate(learned.learner, learned.parameters, learned.source, changed);
  EXPECT_NEAR(moved.by_steps[2].loss,
              evaluate(plain.learner, plain.parameters, plain.source, plain.options).by_steps[2].loss, 1e-5);
}

TEST(Robustness, ExchangedLabelsKeepClassSizesAndTheShareOnAverage) {
  for (const int shots : {1, 2, 5}) {
    const Tensor labels = at::arange(5, at::kLong).repeat_interleave(shots);
    EXPECT_TRUE(with_wrong_labels(labels, 0, 1).equal(labels));
    double wrong = 0;
    constexpr int kKeys = 400;
    for (uint64_t key = 0; key < kKeys; ++key) {
      const Tensor noisy = with_wrong_labels(labels, 0.2, key);
      EXPECT_TRUE(std::get<0>(noisy.sort()).equal(labels));
      wrong += noisy.ne(labels).to(at::kDouble).mean().item<double>() / kKeys;
    }
    EXPECT_NEAR(wrong, 0.2, 0.03) << shots;
    EXPECT_TRUE(with_wrong_labels(labels, 0.4, 9).equal(with_wrong_labels(labels, 0.4, 9)));
    EXPECT_FALSE(with_wrong_labels(labels, 1, 9).eq(labels).any().item<bool>()) << "with all chosen none stays";
  }
}

TEST(Robustness, SpoiledSupportSetsChangeAdaptationAndNothingElse) {
  for (const std::string head : {"linear", "prototype"}) {
    LearnerOptions options = test::small_options();
    options.norm = "running";  // the query's own images decide nothing
    options.head = head;
    if (head == "prototype") {
      options.scope = "none";
      options.inner_steps = 0;
    }
    Subject s(options);
    if (head == "prototype") s.options.inner_steps = {0};
    const auto whole = std::make_shared<const test::SyntheticSource>(6, 12, 28);
    const auto spoiled = corrupted_source(whole, Corruption::kNoise, 5);
    EvaluationOptions same = s.options, noisy = s.options, wrong = s.options;
    same.support_source = whole.get();
    noisy.support_source = spoiled.get();
    wrong.label_noise = 1;
    const Evaluation clean = evaluate(s.learner, s.parameters, s.source, s.options);
    const Evaluation other = evaluate(s.learner, s.parameters, s.source, noisy),
                     mislabelled = evaluate(s.learner, s.parameters, s.source, wrong);
    EXPECT_NEAR(evaluate(s.learner, s.parameters, s.source, same).by_steps.back().loss, clean.by_steps.back().loss,
                1e-4);
    EXPECT_NE(other.by_steps.back().loss, clean.by_steps.back().loss);
    EXPECT_GT(mislabelled.by_steps.back().loss, clean.by_steps.back().loss);
    if (head == "linear") {
      EXPECT_EQ(other.by_steps.front().loss, clean.by_steps.front().loss);  // before any step
    }
  }
}

TEST(Robustness, TimesGrowWithTheSteps) {
  const Subject s(test::small_options());
  const std::vector<double> seconds = adaptation_seconds(s.learner, s.parameters, s.source, s.options, 3);
  ASSERT_EQ(seconds.size(), 3U);
  EXPECT_GT(seconds[0], 0);
  EXPECT_GT(seconds[1], seconds[0]);
  EXPECT_GT(seconds[2], seconds[1]);
}

TEST(Robustness, NonsenseIsRefused) {
  const Subject s(test::small_options());
  EvaluationOptions options = s.options;
  options.rate_factor = 0;
  EXPECT_THROW(require_evaluable(s.learner, s.source, options), UsageError);
  options = s.options;
  options.label_noise = 1.5;
  EXPECT_THROW(require_evaluable(s.learner, s.source, options), UsageError);
}

}  // namespace
}  // namespace fewatoms
