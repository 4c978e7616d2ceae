#pragma once

#include <string>

#include "meta/evaluate.h"

namespace fewatoms {

/// What an evaluation took each query image for at its last number of inner steps, as comma-separated values: "episode,
/// class,image,label,predicted,probabilities" (docs/runs.md). The evaluation must have kept predictions and
/// probabilities.
std::string predictions_csv(const ImageSource& source, const EvaluationOptions& options, const Evaluation& evaluation);

/// How often query images of each class of the source were taken for each other class at the last number of inner
/// steps, over all episodes: a row for each class, and a column for each that images were taken for. The evaluation
/// must have kept predictions.
std::string confusion_csv(const ImageSource& source, const EvaluationOptions& options, const Evaluation& evaluation);

}  // namespace fewatoms
