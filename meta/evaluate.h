#pragma once

#include <exception>
#include <functional>
#include <vector>

#include "meta/inner_loop.h"

namespace fewatoms {

struct EvaluationOptions {
  EpisodeSpec spec;
  int episodes = 600;
  std::vector<Episode> given = {};   // episodes to evaluate on, as many as `episodes` says; empty: they are drawn
  uint64_t seed = 0;                 // of the episodes; runs with equal seeds see the same ones
  std::vector<int> inner_steps = {5};  // accuracies are reported after each of these; ascending, >= 0
  PixelNorm pixel_norm = PixelNorm::kUnit;
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
  double accuracy = 0;  // mean, fraction
  double ci95 = 0;      // 1.96 * deviation / sqrt(episodes), fraction
  double loss = 0;      // mean query cross-entropy
};

struct Evaluation {
  std::vector<StepAccuracy> by_steps;
  std::vector<std::vector<double>> accuracies;  // [episode][step mark], for paired comparisons
  double seconds = 0;
};

/// The episodes that an evaluation sees: given or drawn.
Episode evaluation_episode(const ImageSource& source, const EvaluationOptions& options, int index);

/// Throws UsageError unless the learner can be evaluated so: marks ascending, none above 0 where nothing is adapted, ways that
/// a linear head has; and what require_servable throws.
void require_evaluable(const Learner& learner, const ImageSource& source, const EvaluationOptions& options);

/// Adapts to each episode once and classifies its query images after every mark. Episodes run in parallel; the result
/// does not depend on how many at a time. Where the features of an image are the same in every episode, each image is
/// embedded once (meta/embedding.h). Throws UsageError as require_evaluable does, and EvaluationStopped.
Evaluation evaluate(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                    const EvaluationOptions& options);

/// Mean and half-width of the 95 % interval.
struct MeanInterval {
  double mean = 0, ci95 = 0;
};
MeanInterval mean_interval(const std::vector<double>& values);

}  // namespace fewatoms
