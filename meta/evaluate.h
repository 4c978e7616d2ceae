#pragma once

#include <exception>
#include <functional>
#include <vector>

#include "meta/inner_loop.h"
#include "meta/statistics.h"

namespace fewatoms {

struct EvaluationOptions {
  EpisodeSpec spec;
  int episodes = 600;
  std::vector<Episode> given = {};  // episodes to evaluate on, as many as `episodes` says; empty: they are drawn
  uint64_t seed = 0;                // of the episodes; runs with equal seeds see the same ones
  int first_episode =
      0;  // index of the first one drawn or given, >= 0: one episode of a larger evaluation can be looked at again
  std::vector<int> inner_steps = {5};  // accuracies are reported after each of these; ascending, >= 0
  PixelNorm pixel_norm = PixelNorm::kUnit;
  bool keep_predictions = false;    // whether Evaluation::predictions is wanted
  bool keep_probabilities = false;  // whether Evaluation::probabilities is
  // What may be different from the way the learner was trained, to see how well it bears it:
  double rate_factor = 1;  // inner step sizes are multiplied by it, > 0
  double label_noise = 0;  // share of the support labels that are wrong, 0..1: see with_wrong_labels
  const ImageSource* support_source =
      nullptr;  // where support images come from: `source`'s, changed (meta/corruption.h); null: source
  std::function<bool()> stop_requested = {};  // asked before every episode, from any thread; optional
};

/// Raised by evaluate when a stop was requested.
class EvaluationStopped : public std::exception {
 public:
  const char* what() const noexcept override { return "the evaluation was stopped"; }
};

/// Accuracy after some number of inner steps, over episodes.
struct StepAccuracy {
  int inner_steps = 0;
  double accuracy = 0;         // mean, fraction
  std::optional<double> ci95;  // mean_interval over episodes, fraction; nothing of one episode
  double loss = 0;             // mean query cross-entropy
};

struct Evaluation {
  std::vector<StepAccuracy> by_steps;
  std::vector<std::vector<double>> accuracies;  // [episode][step mark], for paired comparisons
  std::vector<std::vector<double>> losses;      // the same of the mean query cross-entropy
  std::vector<std::vector<std::vector<int>>>
      predictions;                                // [episode][step mark][query image] labels, if they were to be kept
  std::vector<std::vector<float>> probabilities;  // [episode][query image * ways + label] after the last mark, likewise
  double seconds = 0;
};

/// The episodes that an evaluation sees, 0 the first: given, or drawn from options.first_episode on.
Episode evaluation_episode(const ImageSource& source, const EvaluationOptions& options, int index);
/// Such an episode with its pixels, changed as the options say.
Task evaluation_task(const ImageSource& source, const EvaluationOptions& options, int index);

/// Throws UsageError unless the learner can be evaluated so: marks ascending, none above 0 where nothing is adapted,
/// ways that a linear head has; and what require_servable throws.
void require_evaluable(const Learner& learner, const ImageSource& source, const EvaluationOptions& options);

/// Adapts to each episode once and classifies its query images after every mark. Episodes run in parallel; the result
/// does not depend on how many at a time. Where the features of an image are the same in every episode, each image is
/// embedded once (meta/embedding.h). Throws UsageError as require_evaluable does, and EvaluationStopped.
Evaluation evaluate(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                    const EvaluationOptions& options);

/// Labels [n] of which on average a share of `noise` is exchanged among the images, so that every class keeps its
/// number of images: a pure function of labels, noise and key. Chosen images get another class's label, unless more
/// than half of them are of one class.
Tensor with_wrong_labels(const Tensor& labels, double noise, uint64_t key);

/// Seconds from a task's support images to its adapted parameters, after each of options.inner_steps: medians over the
/// first `tasks` episodes (at most those that were given), run one after the other on one thread. What adaptation
/// cannot change is computed once, before the first step.
std::vector<double> adaptation_seconds(const Learner& learner, const ParameterSet& parameters,
                                       const ImageSource& source, const EvaluationOptions& options, int tasks);

}  // namespace fewatoms
