#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

#include "episodes/errors.h"
#include "meta/embedding.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::SyntheticSource;

LearnerOptions fixed_options(const std::string& head) {
  LearnerOptions options = test::small_options();
  options.norm = "running";
  options.head = head;
  options.scope = head == "linear" ? "head" : "none";
  options.inner_steps = head == "linear" ? 2 : 0;
  return options;
}

/// A learner whose running statistics are not those of the start.
struct Subject {
  explicit Subject(const LearnerOptions& options) : learner(options, initial) {
    for (const Parameter& p : test::SmallLearner::spread(initial).to(at::kFloat))
      parameters.add(p.name, p.role == Role::kStatistic ? p.tensor + 0.3 : p.tensor, p.role);
  }
  ParameterSet initial, parameters;
  Learner learner;
};

EvaluationOptions options_for(const std::string& head, int episodes = 20) {
  EvaluationOptions options;
  options.spec = {.ways = test::kWays, .shots = 2, .queries = 3};
  options.episodes = episodes;
  options.inner_steps = head == "linear" ? std::vector<int>{0, 2} : std::vector<int>{0};
  options.seed = 3;
  return options;
}

/// Counts what is read.
struct CountingSource : SyntheticSource {
  using SyntheticSource::SyntheticSource;
  ImageView image(const ImageRef& ref) const override {
    ++reads;
    return SyntheticSource::image(ref);
  }
  mutable std::atomic<int> reads = 0;
};

TEST(Embedding, EvaluationOnItEqualsEpisodeByEpisode) {
  for (const auto& [head, feature_norm, learned] : {std::tuple{std::string("prototype"), "none", "no"},
                                                    {"prototype", "scaled", "no"},
                                                    {"prototype", "scaled", "yes"},
                                                    {"prototype", "l2", "no"},
                                                    {"linear", "none", "no"}}) {
    LearnerOptions how = fixed_options(head);
    how.feature_norm = feature_norm;
    how.head_learned = learned;
    if (head == "prototype") how.temperature = 0.25;
    const Subject subject(how);
    ASSERT_TRUE(features_are_fixed(subject.learner));
    const CountingSource source(6, 10, 28);
    const EvaluationOptions options = options_for(head);
    const Evaluation cached = evaluate(subject.learner, subject.parameters, source, options);
    EXPECT_LE(source.reads, 60) << "an image was read twice";
    std::vector<double> losses(options.inner_steps.size());
    for (int e = 0; e < options.episodes; ++e) {
      at::NoGradGuard no_graph;
      const Task task = load_task(source, draw_episode(source, options.spec, options.seed, e), e, options.pixel_norm);
      const PreparedTask prepared = prepare(subject.learner, subject.parameters, task, NormMode::kRunning);
      for (size_t mark = 0; mark < losses.size(); ++mark) {
        const ParameterSet adapted = adapt(subject.learner, subject.parameters.leaves(false), prepared,
                                           options.inner_steps[mark], Order::kFirst);
        const Tensor logits = query_logits(subject.learner, adapted, prepared);
        EXPECT_NEAR(cached.accuracies[e][mark], accuracy(logits, task.query_labels), 1e-9) << head << " " << e;
        losses[mark] += at::cross_entropy_loss(logits, task.query_labels).item<double>() / options.episodes;
      }
    }
    for (size_t mark = 0; mark < losses.size(); ++mark)
      EXPECT_NEAR(cached.by_steps[mark].loss, losses[mark], 1e-5 * (1 + losses[mark]));
  }
}

TEST(Embedding, GivenEpisodesAreEvaluatedInTheirOrderWhateverTheirShape) {
  const SyntheticSource source(6, 10, 28);
  LearnerOptions adapting = fixed_options("prototype");
  adapting.norm = "batch";  // nothing is embedded in advance
  for (const LearnerOptions& learner : {fixed_options("prototype"), adapting}) {
    const Subject subject(learner);
    EvaluationOptions options = options_for("prototype");
    options.spec.fewest_ways = 2;
    options.spec.fewest_shots = 1;
    const Evaluation drawn = evaluate(subject.learner, subject.parameters, source, options);
    for (int e = options.episodes - 1; e >= 0; --e)
      options.given.push_back(draw_episode(source, options.spec, options.seed, e));
    Evaluation backwards = evaluate(subject.learner, subject.parameters, source, options);
    std::reverse(backwards.accuracies.begin(), backwards.accuracies.end());
    EXPECT_EQ(backwards.accuracies, drawn.accuracies) << learner.norm;
    options.given.pop_back();
    EXPECT_NE(test::message_of<UsageError>([&] {
                evaluate(subject.learner, subject.parameters, source, options);
              }).find("19 episodes were given, 20"),
              std::string::npos);
  }
}

TEST(Embedding, ProbabilitiesArePredictionsAccuracyAndLossWhereClassesAreShortToo) {
  const SyntheticSource source({10, 4, 10, 3, 10, 6}, 28);
  LearnerOptions adapting = test::small_options();
  adapting.inner_steps = 1;
  LearnerOptions prototype = fixed_options("prototype");
  prototype.feature_norm = "scaled";
  for (const LearnerOptions& learner : {prototype, fixed_options("ridge"), adapting}) {
    const Subject subject(learner);
    EvaluationOptions options = options_for("prototype", 10);
    options.spec = {.ways = test::kWays, .shots = 1, .queries = 5, .fewest_queries = 2};
    options.inner_steps = learner.inner_steps == 0 ? std::vector<int>{0} : std::vector<int>{0, 1};
    options.keep_predictions = options.keep_probabilities = true;
    const Evaluation evaluation = evaluate(subject.learner, subject.parameters, source, options);
    size_t fewest = 100;
    for (int e = 0; e < options.episodes; ++e) {
      const Episode episode = evaluation_episode(source, options, e);
      const std::vector<int>& predicted = evaluation.predictions[e].back();
      const std::vector<float>& p = evaluation.probabilities[e];
      const size_t n = episode.query.size();
      fewest = std::min(fewest, n);
      ASSERT_EQ(predicted.size(), n);
      ASSERT_EQ(p.size(), n * test::kWays);
      double hits = 0, loss = 0;
      for (size_t q = 0; q < n; ++q) {
        const auto begin = p.begin() + static_cast<std::ptrdiff_t>(q * test::kWays), end = begin + test::kWays;
        EXPECT_NEAR(std::accumulate(begin, end, 0.0), 1, 1e-5);
        EXPECT_EQ(*std::max_element(begin, end), begin[predicted[q]]);  // scores may be equal as probabilities
        hits += predicted[q] == episode.query[q].label ? 1 : 0;
        loss -= std::log(static_cast<double>(begin[episode.query[q].label]));
      }
      EXPECT_NEAR(evaluation.accuracies[e].back(), hits / static_cast<double>(n), 1e-6);
      EXPECT_NEAR(evaluation.losses[e].back(), loss / static_cast<double>(n), 1e-4 * (1 + loss));
    }
    EXPECT_LT(fewest, 15U) << "no class was short";
  }
}

TEST(Embedding, EvaluationIsBitIdenticalForAnyNumberOfThreads) {
  const Subject subject(fixed_options("prototype"));
  const SyntheticSource source(12, 20, 28);  // several batches
  const auto run = [&](int threads) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
    tbb::task_arena arena(threads);
    return arena.execute(
        [&] { return evaluate(subject.learner, subject.parameters, source, options_for("prototype", 60)); });
  };
  const Evaluation one = run(1);
  for (const int threads : {2, 4}) {
    const Evaluation more = run(threads);
    EXPECT_EQ(more.accuracies, one.accuracies);
    EXPECT_EQ(more.by_steps[0].loss, one.by_steps[0].loss);
  }
}

TEST(Embedding, LittleMemoryServesFewerEpisodesAtATime) {
  const Subject subject(fixed_options("prototype"));
  const SyntheticSource source(6, 10, 28);
  const EvaluationOptions options = options_for("prototype");
  const EmbeddedEpisodes all(subject.learner, subject.parameters, source, options, 0);
  EXPECT_EQ(all.end(), 20);
  const int64_t image = 4 * subject.learner.backbone().features();
  EXPECT_EQ(EmbeddedEpisodes(subject.learner, subject.parameters, source, options, 4, 1).end(), 5);
  for (int first = 0; first < 20;) {
    const EmbeddedEpisodes some(subject.learner, subject.parameters, source, options, first, 40 * image);
    ASSERT_GT(some.end(), first);
    EXPECT_LT(some.end(), first + 10);
    for (int e = first; e < some.end(); ++e) {
      test::expect_close(some.task(e).support.x, all.task(e).support.x, 1e-5, "support");
      test::expect_close(some.task(e).query.x, all.task(e).query.x, 1e-5, "query");
    }
    first = some.end();
  }
}

TEST(Embedding, IsForFixedFeaturesAlone) {
  for (const auto& change : std::vector<std::function<void(LearnerOptions&)>>{[](auto& o) { o.norm = "batch"; },
                                                                              [](auto& o) { o.scope = "norm+head"; },
                                                                              [](auto& o) { o.scope = "all"; }}) {
    LearnerOptions options = fixed_options("linear");
    change(options);
    EXPECT_FALSE(features_are_fixed(Subject(options).learner)) << options.scope << " " << options.norm;
  }
}

TEST(Embedding, AStopIsObeyed) {
  const Subject subject(fixed_options("prototype"));
  const SyntheticSource source(12, 20, 28);
  EvaluationOptions options = options_for("prototype", 30);
  for (const int after : {0, 10, 30, 32, 40}) {  // while drawing, embedding, classifying
    std::atomic<int> asked = 0;
    options.stop_requested = [&] { return ++asked > after; };
    EXPECT_THROW(evaluate(subject.learner, subject.parameters, source, options), EvaluationStopped) << after;
  }
}

}  // namespace
}  // namespace fewatoms
