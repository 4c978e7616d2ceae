#include "meta/adapted_episode.h"

#include "episodes/errors.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::SyntheticSource;

struct Subject {
  explicit Subject(const LearnerOptions& options) : learner(options, parameters) {}
  ParameterSet parameters;
  Learner learner;
  SyntheticSource source{6, 12, 28};
  EvaluationOptions options{
      .spec = {.ways = test::kWays, .shots = 2, .queries = 3}, .episodes = 6, .inner_steps = {0, 2}};
};

LearnerOptions prototypes() {
  LearnerOptions options = test::small_options();
  options.norm = "running";
  options.head = "prototype";
  options.scope = "none";
  options.inner_steps = 0;
  return options;
}

double share_right(const std::vector<int>& predicted, const Episode& episode) {
  double right = 0;
  for (size_t q = 0; q < predicted.size(); ++q) right += predicted[q] == episode.query[q].label;
  return right / static_cast<double>(predicted.size());
}

TEST(AdaptedEpisode, PredictionsAreThoseThatAccuracyCounts) {
  for (const LearnerOptions& options : {test::small_options("acdc"), prototypes()}) {
    Subject s(options);
    if (s.learner.adapted().empty()) s.options.inner_steps = {0};
    const Evaluation plain = evaluate(s.learner, s.parameters, s.source, s.options);
    EXPECT_TRUE(plain.predictions.empty());
    s.options.keep_predictions = true;
    const Evaluation kept = evaluate(s.learner, s.parameters, s.source, s.options);
    EXPECT_EQ(kept.accuracies, plain.accuracies);
    EXPECT_EQ(kept.losses, plain.losses);
    for (int e = 0; e < 6; ++e)
      for (size_t mark = 0; mark < s.options.inner_steps.size(); ++mark) {
        ASSERT_EQ(kept.predictions[e][mark].size(), 9U);
        EXPECT_DOUBLE_EQ(share_right(kept.predictions[e][mark], evaluation_episode(s.source, s.options, e)),
                         kept.accuracies[e][mark]);
      }
  }
}

// The inner loop draws by the episode's index, too: batches of steps, views of one shot.
TEST(AdaptedEpisode, OneEpisodeOfAnEvaluationAgain) {
  LearnerOptions batches = test::small_options("acdc");
  batches.inner_batch = 3;
  LearnerOptions views = test::small_options("acdc");
  views.head = "prototype";
  views.scope = "atom";
  for (const LearnerOptions& options : {batches, views, prototypes()}) {
    Subject s(options);
    if (options.scope == "atom") s.options.spec.shots = 1;
    if (s.learner.adapted().empty()) s.options.inner_steps = {0};
    const Evaluation all = evaluate(s.learner, s.parameters, s.source, s.options);
    s.options.episodes = 1;
    s.options.first_episode = 4;
    const auto given = draw_episode(s.source, s.options.spec, s.options.seed, 4);
    for (const std::vector<Episode>& episodes : {std::vector<Episode>(), std::vector<Episode>{given}}) {
      s.options.given = episodes;
      const Evaluation one = evaluate(s.learner, s.parameters, s.source, s.options);
      EXPECT_EQ(one.accuracies[0], all.accuracies[4]) << options.head;
      for (size_t mark = 0; mark < s.options.inner_steps.size(); ++mark)
        EXPECT_NEAR(one.losses[0][mark], all.losses[4][mark], 1e-5) << options.head;
    }
  }
  Subject s(prototypes());
  s.options.inner_steps = {0};
  s.options.episodes = 1;
  s.options.first_episode = -1;
  EXPECT_THROW(evaluate(s.learner, s.parameters, s.source, s.options), UsageError);
}

TEST(AdaptedEpisode, IsThatOfTheEvaluation) {
  LearnerOptions options = test::small_options("acdc");
  options.scope = "atom+head";
  Subject s(options);
  const Evaluation all = evaluate(s.learner, s.parameters, s.source, s.options);
  const AdaptedEpisode looked = adapt_to_episode(s.learner, s.parameters, s.source, s.options, 3, 2);
  EXPECT_TRUE(test::identical(looked.before, s.parameters));
  const Tensor labels = evaluation_task(s.source, s.options, 3).query_labels;
  EXPECT_DOUBLE_EQ(accuracy(s.learner.class_logits(looked.features_before.query, looked.before), labels),
                   all.accuracies[3][0]);
  EXPECT_DOUBLE_EQ(accuracy(s.learner.class_logits(looked.features_after.query, looked.after), labels),
                   all.accuracies[3][1]);
  EXPECT_EQ(looked.features_after.support.size(0), 6);
  EXPECT_EQ(looked.features_after.query.size(0), 9);
  EXPECT_FALSE(looked.features_after.query.equal(looked.features_before.query));

  const std::vector<Movement> moved = movements(s.learner, looked.before, looked.after);
  ASSERT_EQ(moved.size(), s.learner.adapted().size());
  for (const Movement& m : moved) {
    EXPECT_GT(m.relative, 0) << m.name;
    EXPECT_EQ(m.from_zero, m.name == "head.bias");
  }
  for (const Movement& m : movements(s.learner, looked.before, looked.before)) EXPECT_EQ(m.relative, 0);
  // |2 x - x| / |x| = 1.
  const size_t index = s.learner.adapted()[0];
  const ParameterSet twice = looked.before.with({index}, {looked.before.tensor(index) * 2});
  EXPECT_NEAR(movements(s.learner, looked.before, twice)[0].relative, 1, 1e-6);
  EXPECT_THROW(adapt_to_episode(Subject(prototypes()).learner, s.parameters, s.source, s.options, 0, 1), UsageError);
}

TEST(PlaneMap, KeepsDistancesOfPointsThatLieInAPlane) {
  const Tensor flat = normal_tensor({7, 2}, 1, 3, "points").to(at::kDouble);
  const Tensor axes =
      std::get<0>(at::linalg_qr(normal_tensor({5, 2}, 1, 3, "axes").to(at::kDouble)));  // [5, 2], orthonormal
  const Tensor points = at::mm(flat, axes.t()) + 3;
  const PlaneMap map = plane_map(points, points * 2 - 7);
  test::expect_close(at::cdist(map.before, map.before), at::cdist(flat, flat), 1e-9, "distances");
  test::expect_close(map.after, map.before * 2, 1e-9, "a shift of all points drops out");
  EXPECT_NEAR(map.explained_before, 1, 1e-9);
  EXPECT_NEAR(map.explained_after, 1, 1e-9);
}

TEST(PlaneMap, TheFirstAxisHasTheMostVariance) {
  const Tensor points =
      normal_tensor({40, 3}, 1, 5, "points").to(at::kDouble) * at::tensor({1.0, 9.0, 3.0}, at::kDouble);
  const PlaneMap map = plane_map(points, points);
  EXPECT_NEAR(map.before.select(1, 0).abs().max().item<double>(),
              (points - points.mean(0)).select(1, 1).abs().max().item<double>(), 1.5);
  EXPECT_GT(map.before.select(1, 0).std().item<double>(), 2 * map.before.select(1, 1).std().item<double>());
  EXPECT_GT(map.explained_before, 0.95);
  EXPECT_LT(map.explained_before, 1);
  const PlaneMap one = plane_map(at::ones({1, 4}), at::zeros({1, 4}));  // nothing varies
  EXPECT_EQ(one.explained_after, 0);
  EXPECT_EQ(one.after.abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace fewatoms
