// Evaluations that went wrong without a word.

#include <limits>

#include "episodes/errors.h"
#include "meta/adaptation_curve.h"
#include "meta/adapted_episode.h"
#include "meta/embedding.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::SyntheticSource;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

LearnerOptions prototype_options() {
  LearnerOptions options = test::small_options();
  options.head = "prototype";
  options.norm = "running";
  options.scope = "none";
  options.inner_steps = 0;
  return options;
}

EvaluationOptions options_of(std::vector<int> steps, int episodes = 6) {
  EvaluationOptions options;
  options.spec = {.ways = test::kWays, .shots = 2, .queries = 3};
  options.episodes = episodes;
  options.inner_steps = std::move(steps);
  return options;
}

TEST(EvaluationLaws, ScoresThatAreNoNumbersAreWrongAndNotTheFirstClass) {
  const Tensor labels = at::tensor({0, 0, 1, 2}, at::kLong);
  EXPECT_EQ(accuracy(at::full({4, 3}, kNaN), labels), 0);
  Tensor logits = at::zeros({4, 3});
  logits[0][0] = logits[2][1] = logits[3][2] = 1;  // three are right
  logits[1][2] = 1;
  EXPECT_EQ(accuracy(logits, labels), 0.75);
  logits[0][1] = kNaN;
  EXPECT_EQ(accuracy(logits, labels), 0.5);
}

TEST(EvaluationLaws, ANetworkThatHasDivergedIsRightNowhere) {
  const SyntheticSource source(6, 10, 28);
  for (const LearnerOptions& options : {prototype_options(), test::small_options()}) {  // features of a table, and not
    ParameterSet parameters;
    const Learner learner(options, parameters);
    const size_t kernel = learner.backbone().block_parameters(3).front();
    const ParameterSet broken = parameters.with({kernel}, {at::full_like(parameters.tensor(kernel), kNaN)});
    const Evaluation evaluation = evaluate(learner, broken, source, options_of({0}));
    EXPECT_EQ(evaluation.by_steps[0].accuracy, 0) << options.head;
    EXPECT_TRUE(std::isnan(evaluation.by_steps[0].loss)) << options.head;
  }
}

TEST(EvaluationLaws, TheOrderOfGivenSupportImagesDoesNotMatter) {
  const SyntheticSource source(6, 10, 28);
  ParameterSet parameters;
  const Learner learner(prototype_options(), parameters);
  EvaluationOptions options = options_of({0});
  for (int e = 0; e < options.episodes; ++e) options.given.push_back(draw_episode(source, options.spec, 3, e));
  const Evaluation in_order = evaluate(learner, parameters, source, options);
  for (Episode& episode : options.given) {
    std::vector<EpisodeImage> mixed;  // labels 0 1 2 0 1 2
    for (int shot = 0; shot < 2; ++shot)
      for (int label = 0; label < test::kWays; ++label) mixed.push_back(episode.support[2 * label + shot]);
    episode.support = mixed;
  }
  const Evaluation out_of_order = evaluate(learner, parameters, source, options);
  EXPECT_EQ(in_order.accuracies, out_of_order.accuracies);
  for (size_t e = 0; e < in_order.losses.size(); ++e)
    EXPECT_NEAR(in_order.losses[e][0], out_of_order.losses[e][0], 1e-6);
}

TEST(EvaluationLaws, NumbersOutOfRangeAreRefusedByName) {
  const SyntheticSource source(6, 10, 28);
  ParameterSet parameters;
  const Learner learner(test::small_options(), parameters);
  const EvaluationOptions options = options_of({0, 1});
  const auto refusal = [&](const auto& call) { return message_of<UsageError>(call); };
  EXPECT_EQ(refusal([&] { adapt_to_episode(learner, parameters, source, options, 0, -1); }),
            "steps is -1, 0 or more was expected");
  EXPECT_EQ(refusal([&] { adaptation_seconds(learner, parameters, source, options, 0); }),
            "tasks to measure times on is 0, 1 or more was expected");
  EvaluationOptions last = options;
  last.first_episode = std::numeric_limits<int>::max() - 2;
  EXPECT_NE(refusal([&] { evaluate(learner, parameters, source, last); }).find("the first episode is 2147483645"),
            std::string::npos);
  EvaluationOptions endless = options;
  endless.rate_factor = std::numeric_limits<double>::infinity();
  EXPECT_THROW(evaluate(learner, parameters, source, endless), UsageError);
}

TEST(EvaluationLaws, TimesAreTakenOnNoMoreEpisodesThanWereGiven) {
  const SyntheticSource source(6, 10, 28);
  ParameterSet parameters;
  const Learner learner(test::small_options(), parameters);
  EvaluationOptions options = options_of({0, 1}, 2);
  for (int e = 0; e < 2; ++e) options.given.push_back(draw_episode(source, options.spec, 3, e));
  EXPECT_EQ(adaptation_seconds(learner, parameters, source, options, 5).size(), 2U);
}

TEST(EvaluationLaws, OneMarkStandsForOthersOnlyWhereNothingAdapts) {
  EXPECT_EQ(accuracies_after({{0.1}, {0.3}}, {5}, 5), (std::vector<double>{0.1, 0.3}));
  EXPECT_EQ(message_of<std::out_of_range>([] {
              accuracies_after({{0.1}, {0.3}}, {5}, 10);
            }),
            "there is no accuracy after 10 inner steps, it was measured after 5");
}

}  // namespace
}  // namespace fewatoms
