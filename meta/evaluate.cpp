#include "meta/evaluate.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "episodes/errors.h"
#include "episodes/random.h"
#include "meta/embedding.h"

namespace fewatoms {

Tensor with_wrong_labels(const Tensor& labels, double noise, uint64_t key) {
  const int64_t n = labels.size(0);
  Random random{key, stream(Stream::kLabelNoise)};
  const double expected = noise * static_cast<double>(n), whole = std::floor(expected);
  auto count = static_cast<int64_t>(whole) + (random.uniform() < expected - whole ? 1 : 0);
  if (count == 1) count = random.below(2) == 0 ? 0 : 2;  // one alone has nobody to exchange with
  count = std::min(count, n);
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto* from = labels.data_ptr<int64_t>();
  int64_t largest = 0;  // class among the chosen
  for (int attempt = 0; attempt < 100; ++attempt) {
    random.shuffle(order);
    std::map<int64_t, int64_t> sizes;
    for (int64_t i = 0; i < count; ++i) ++sizes[from[order[i]]];
    largest = 0;
    for (const auto& [label, size] : sizes) largest = std::max(largest, size);
    if (2 * largest <= count) break;
  }
  // Sorted by class and moved on by the largest class's size, nobody gets the own label again.
  std::stable_sort(order.begin(), order.begin() + count, [&](int64_t a, int64_t b) { return from[a] < from[b]; });
  Tensor wrong = labels.clone();
  for (int64_t i = 0; i < count; ++i) wrong.data_ptr<int64_t>()[order[i]] = from[order[(i + largest) % count]];
  return wrong;
}

void require_evaluable(const Learner& learner, const ImageSource& source, const EvaluationOptions& options) {
  if (options.episodes < 1)
    throw UsageError("episodes is " + std::to_string(options.episodes) + ", at least 1 is needed");
  if (options.first_episode < 0)
    throw UsageError("the first episode is " + std::to_string(options.first_episode) + ", but 0 is the first there is");
  if (options.first_episode > std::numeric_limits<int>::max() - options.episodes)
    throw UsageError("the first episode is " + std::to_string(options.first_episode) + ", with " +
                     std::to_string(options.episodes) + " more than there are numbers for");
  if (options.inner_steps.empty()) throw UsageError("no inner steps to evaluate at");
  for (size_t i = 0; i < options.inner_steps.size(); ++i) {
    const int steps = options.inner_steps[i];
    if (steps < 0 || steps > 1000) throw UsageError("inner steps " + std::to_string(steps) + " is outside 0..1000");
    if (i > 0 && steps <= options.inner_steps[i - 1])
      throw UsageError("inner steps to evaluate at must ascend, but " + std::to_string(steps) + " comes after " +
                       std::to_string(options.inner_steps[i - 1]));
    if (steps > 0 && learner.adapted().empty())
      throw UsageError("scope '" + learner.options().scope +
                       "' adapts nothing: 0 is the only number of inner steps to evaluate at");
  }
  const auto require_ways = [&](int fewest, int ways) {
    if (learner.fixed_ways() && (fewest != 0 || ways != learner.options().ways))
      throw UsageError("a " + learner.options().head + " head trained for " + std::to_string(learner.options().ways) +
                       " ways cannot be evaluated with " + range_text(fewest, ways) + kAnyWays);
  };
  if (!(options.rate_factor > 0 && std::isfinite(options.rate_factor)))
    throw UsageError("an inner rate's factor must be more than 0");
  if (!(options.label_noise >= 0 && options.label_noise <= 1))
    throw UsageError("label noise is a share, 0 to 1 was expected");
  if (!options.given.empty()) {
    if (static_cast<int>(options.given.size()) != options.episodes)
      throw UsageError(std::to_string(options.given.size()) + " episodes were given, " +
                       std::to_string(options.episodes) + " asked for");
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
  return options.given.empty() ? draw_episode(source, options.spec, options.seed, options.first_episode + index)
                               : options.given.at(index);
}

Task evaluation_task(const ImageSource& source, const EvaluationOptions& options, int index) {
  const Episode episode = evaluation_episode(source, options, index);
  Task task = load_task(source, episode, options.first_episode + index, options.pixel_norm);
  if (options.support_source != nullptr) {
    std::vector<ImageRef> images;
    for (const EpisodeImage& image : episode.support) images.push_back(image.ref);
    task.support = load_images(*options.support_source, images, options.pixel_norm);
  }
  if (options.label_noise > 0)
    task.support_labels =
        with_wrong_labels(task.support_labels, options.label_noise, mix_key({options.seed, task.index}));
  return task;
}

namespace {

InnerState start_of(const ParameterSet& parameters, const EvaluationOptions& options) {
  InnerState state(parameters);
  state.rate_factor = options.rate_factor;
  return state;
}

}  // namespace

std::vector<double> adaptation_seconds(const Learner& learner, const ParameterSet& parameters,
                                       const ImageSource& source, const EvaluationOptions& options, int tasks) {
  require_evaluable(learner, source, options);
  if (tasks < 1) throw UsageError("tasks to measure times on is " + std::to_string(tasks) + ", 1 or more was expected");
  if (!options.given.empty()) tasks = std::min(tasks, options.episodes);
  const OneThreadPerOperation one_thread;
  at::NoGradGuard no_graph;
  const ParameterSet start = parameters.leaves(false);
  std::vector<std::vector<double>> seconds(options.inner_steps.size());
  for (int e = -1; e < tasks; ++e) {  // the first warms caches up
    Task task = evaluation_task(source, options, std::max(e, 0));
    task.query = Tensor();
    const auto begin = std::chrono::steady_clock::now();
    const PreparedTask prepared = prepare(learner, start, task, learner.evaluation_norm());
    InnerState state = start_of(start, options);
    for (size_t mark = 0; mark < seconds.size(); ++mark) {
      if (options.stop_requested && options.stop_requested()) throw EvaluationStopped();
      state = adapt_further(learner, std::move(state), prepared, options.inner_steps[mark] - state.step, Order::kFirst);
      if (e >= 0)
        seconds[mark].push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
  }
  std::vector<double> medians;
  for (std::vector<double>& values : seconds) medians.push_back(median(std::move(values)));
  return medians;
}

Evaluation evaluate(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                    const EvaluationOptions& options) {
  require_evaluable(learner, source, options);
  const auto begin = std::chrono::steady_clock::now();
  const size_t marks = options.inner_steps.size();
  Evaluation result;
  result.accuracies.assign(options.episodes, std::vector<double>(marks));
  result.losses = result.accuracies;
  if (options.keep_predictions) result.predictions.assign(options.episodes, std::vector<std::vector<int>>(marks));
  if (options.keep_probabilities) result.probabilities.resize(options.episodes);
  const ParameterSet start = parameters.leaves(false);

  const auto obey_stop = [&] {
    if (options.stop_requested && options.stop_requested())
      throw EvaluationStopped();  // TBB starts no more episodes then
  };
  const auto run = [&](int e, const auto& make_task) {
    obey_stop();
    const OneThreadPerOperation one_thread;
    at::NoGradGuard no_graph;
    const PreparedTask task = make_task();
    InnerState state = start_of(start, options);
    for (size_t mark = 0; mark < marks; ++mark) {
      state = adapt_further(learner, std::move(state), task, options.inner_steps[mark] - state.step, Order::kFirst);
      const Tensor logits = query_logits(learner, state.parameters, task);
      result.accuracies[e][mark] = accuracy(logits, task.query_labels);
      result.losses[e][mark] = at::cross_entropy_loss(logits, task.query_labels).item<double>();
      if (options.keep_probabilities && mark + 1 == marks) {
        const Tensor p = logits.softmax(1).to(at::kFloat).contiguous();
        result.probabilities[e].assign(p.data_ptr<float>(), p.data_ptr<float>() + p.numel());
      }
      if (!options.keep_predictions) continue;
      const Tensor best = logits.argmax(1);
      result.predictions[e][mark].assign(best.data_ptr<int64_t>(), best.data_ptr<int64_t>() + best.size(0));
    }
  };
  if (features_are_fixed(learner) && options.support_source == nullptr && options.label_noise == 0) {
    const std::optional<double> unit = learner.distance_unit(start);
    for (int first = 0; first < options.episodes;) {
      const EmbeddedEpisodes episodes(learner, start, source, options, first);
      tbb::parallel_for(first, episodes.end(), [&](int e) {
        if (!unit) return run(e, [&] { return episodes.task(e); });
        obey_stop();
        const auto [accuracy, loss] =
            episodes.prototype_score(e, *unit, options.keep_predictions ? result.predictions[e].data() : nullptr,
                                     options.keep_probabilities ? &result.probabilities[e]
                                                                : nullptr);  // without parameters there is one mark, 0
        result.accuracies[e][0] = accuracy;
        result.losses[e][0] = loss;
      });
      first = episodes.end();
    }
  } else {
    tbb::parallel_for(0, options.episodes, [&](int e) {
      run(e, [&] { return prepare(learner, start, evaluation_task(source, options, e), learner.evaluation_norm()); });
    });
  }

  for (size_t mark = 0; mark < marks; ++mark) {
    std::vector<double> values, loss;
    for (int e = 0; e < options.episodes; ++e) {
      values.push_back(result.accuracies[e][mark]);
      loss.push_back(result.losses[e][mark]);
    }
    const MeanInterval over_episodes = mean_interval(values);
    result.by_steps.push_back(
        {options.inner_steps[mark], over_episodes.mean, over_episodes.ci95, mean_interval(loss).mean});
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace fewatoms
