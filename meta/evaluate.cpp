#include "meta/evaluate.h"

#include <tbb/parallel_for.h>

#include <chrono>
#include <cmath>

#include "episodes/errors.h"
#include "meta/embedding.h"

namespace fewatoms {

MeanInterval mean_interval(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, 1.96 * std::sqrt(squares / n) / std::sqrt(n)};
}

void require_evaluable(const Learner& learner, const ImageSource& source, const EvaluationOptions& options) {
  if (options.episodes < 1) throw UsageError("episodes is " + std::to_string(options.episodes) + ", at least 1 is needed");
  if (options.inner_steps.empty()) throw UsageError("no inner steps to evaluate at");
  for (size_t i = 0; i < options.inner_steps.size(); ++i) {
    const int steps = options.inner_steps[i];
    if (steps < 0 || steps > 1000)
      throw UsageError("inner steps " + std::to_string(steps) + " is outside 0..1000");
    if (i > 0 && steps <= options.inner_steps[i - 1]) throw UsageError("inner steps to evaluate at must ascend");
    if (steps > 0 && learner.adapted().empty())
      throw UsageError("scope '" + learner.options().scope + "' adapts nothing: 0 is the only number of inner steps to evaluate at");
  }
  const auto require_ways = [&](int fewest, int ways) {
    if (learner.fixed_ways() && (fewest != 0 || ways != learner.options().ways))
      throw UsageError("a " + learner.options().head + " head trained for " + std::to_string(learner.options().ways) + " ways cannot be evaluated with " +
                       range_text(fewest, ways) + kAnyWays);
  };
  if (!options.given.empty()) {
    if (static_cast<int>(options.given.size()) != options.episodes)
      throw UsageError(std::to_string(options.given.size()) + " episodes were given, " + std::to_string(options.episodes) + " asked for");
    for (const Episode& episode : options.given) {
      require_ways(0, episode.spec.ways);
      require_images_to_leave_out(learner, episode.spec);
    }
    return;
  }
  require_ways(options.spec.fewest_ways, options.spec.ways);
  require_images_to_leave_out(learner, options.spec);
  require_servable(source, options.spec);
}

Episode evaluation_episode(const ImageSource& source, const EvaluationOptions& options, int index) {
  return options.given.empty() ? draw_episode(source, options.spec, options.seed, index) : options.given.at(index);
}

Evaluation evaluate(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                    const EvaluationOptions& options) {
  require_evaluable(learner, source, options);
  const auto begin = std::chrono::steady_clock::now();
  const size_t marks = options.inner_steps.size();
  Evaluation result;
  result.accuracies.assign(options.episodes, std::vector<double>(marks));
  std::vector<std::vector<double>> losses(options.episodes, std::vector<double>(marks));
  const ParameterSet start = parameters.leaves(false);

  const auto obey_stop = [&] {
    if (options.stop_requested && options.stop_requested()) throw EvaluationStopped();  // TBB starts no more episodes then
  };
  const auto run = [&](int e, const auto& make_task) {
    obey_stop();
    use_one_thread_per_operation();
    at::NoGradGuard no_graph;
    const PreparedTask task = make_task();
    InnerState state(start);
    for (size_t mark = 0; mark < marks; ++mark) {
      state = adapt_further(learner, std::move(state), task, options.inner_steps[mark] - state.step, Order::kFirst);
      const Tensor logits = query_logits(learner, state.parameters, task);
      result.accuracies[e][mark] = accuracy(logits, task.query_labels);
      losses[e][mark] = at::cross_entropy_loss(logits, task.query_labels).item<double>();
    }
  };
  if (features_are_fixed(learner)) {
    for (int first = 0; first < options.episodes;) {
      const EmbeddedEpisodes episodes(learner, start, source, options, first);
      tbb::parallel_for(first, episodes.end(), [&](int e) {
        if (!learner.plain_prototypes()) return run(e, [&] { return episodes.task(e); });
        obey_stop();
        const auto [accuracy, loss] = episodes.prototype_score(e);  // without parameters there is but one mark, 0
        result.accuracies[e][0] = accuracy;
        losses[e][0] = loss;
      });
      first = episodes.end();
    }
  } else {
    const NormMode norm = learner.running_norm() ? NormMode::kRunning : NormMode::kBatch;
    tbb::parallel_for(0, options.episodes, [&](int e) {
      run(e, [&] {
        return prepare(learner, start, load_task(source, evaluation_episode(source, options, e), e, options.pixel_norm), norm);
      });
    });
  }

  for (size_t mark = 0; mark < marks; ++mark) {
    std::vector<double> values, loss;
    for (int e = 0; e < options.episodes; ++e) {
      values.push_back(result.accuracies[e][mark]);
      loss.push_back(losses[e][mark]);
    }
    const MeanInterval over_episodes = mean_interval(values);
    result.by_steps.push_back({options.inner_steps[mark], over_episodes.mean, over_episodes.ci95, mean_interval(loss).mean});
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace fewatoms
