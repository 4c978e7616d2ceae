// The libraries leave the process as they found it.

#include <ATen/Parallel.h>

#include <atomic>
#include <thread>

#include "meta/adapted_episode.h"
#include "meta/embedding.h"
#include "meta/trainer.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

/// Remembers how many threads an operation would have had where images were asked for.
class WatchingSource : public test::SyntheticSource {
 public:
  WatchingSource() : SyntheticSource(6, 10, 28) {}
  ImageView image(const ImageRef& ref) const override {
    if (at::get_num_threads() != 1) several_ = true;
    return SyntheticSource::image(ref);
  }
  bool several() const { return several_; }

 private:
  mutable std::atomic<bool> several_ = false;
};

/// Everything that runs tasks, from a thread whose operations have `threads` threads.
std::vector<Tensor> everything(int threads) {
  std::vector<Tensor> results;
  std::thread([&] {
    at::set_num_threads(threads);
    const auto unchanged = [&](const char* what) {
      EXPECT_EQ(at::get_num_threads(), threads) << what;
      EXPECT_TRUE(at::GradMode::is_enabled()) << what;
    };
    ParameterSet parameters;
    LearnerOptions options = test::small_options("acdc");
    options.scope = "atom+head";
    const Learner learner(options, parameters);
    const WatchingSource source;
    const EpisodeSpec spec{.ways = test::kWays, .shots = 2, .queries = 3};
    EvaluationOptions evaluation;
    evaluation.spec = spec;
    evaluation.episodes = 4;
    evaluation.inner_steps = {0, 2};

    load_tasks(source, spec, 1, 0, 3, Augmented::kNone, PixelNorm::kUnit);
    unchanged("load_tasks");
    TrainerOptions training;
    training.spec = spec;
    training.iterations = 2;
    Trainer trainer(learner, source, training, {.parameters = parameters});
    trainer.step();
    trainer.step();
    unchanged("Trainer");
    for (const Parameter& p : trainer.parameters()) results.push_back(p.tensor.clone());
    for (const auto& by_mark : evaluate(learner, parameters, source, evaluation).losses)
      results.push_back(at::tensor(by_mark, at::kDouble));
    unchanged("evaluate");
    results.push_back(adapt_to_episode(learner, parameters, source, evaluation, 0, 2).features_after.query);
    unchanged("adapt_to_episode");
    adaptation_seconds(learner, parameters, source, evaluation, 1);
    unchanged("adaptation_seconds");
    results.push_back(embed_images(learner, parameters, source, all_images(source), PixelNorm::kUnit));
    unchanged("embed_images");
    evaluation.stop_requested = [] { return true; };
    EXPECT_THROW(evaluate(learner, parameters, source, evaluation), EvaluationStopped);
    unchanged("what throws");
    EXPECT_FALSE(source.several());
    at::set_num_threads(1);  // what new threads start with
  }).join();
  return results;
}

TEST(ProcessState, TheThreadsOfTheCallersOperationsAreItsOwnAndChangeNothing) {
  const auto one = everything(1), three = everything(3);
  ASSERT_EQ(one.size(), three.size());
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(three[i])) << i;
}

}  // namespace
}  // namespace fewatoms
