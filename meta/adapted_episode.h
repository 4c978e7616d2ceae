#pragma once

#include <string>
#include <utility>
#include <vector>

#include "meta/evaluate.h"

namespace fewatoms {

/// One episode of an evaluation before and after adaptation, to be looked at.
struct AdaptedEpisode {
  ParameterSet before, after;                    // before: with the task's own head, if the learner makes one
  TaskFeatures features_before, features_after;  // what the head sees
};

/// Adapts to episode `index` of an evaluation as `evaluate` does. Throws UsageError as require_evaluable does.
AdaptedEpisode adapt_to_episode(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                                const EvaluationOptions& options, int index, int steps);

/// How far adaptation moved one tensor.
struct Movement {
  std::string name;
  Role role = Role::kKernel;
  double relative = 0;  // |after - before| / |before|, Frobenius norms; of a tensor that starts at zero: |after|
  bool from_zero = false;
};
/// Of every tensor that the learner adapts, in order.
std::vector<Movement> movements(const Learner& learner, const ParameterSet& before, const ParameterSet& after);

/// Points before and after, in the plane in which they differ most.
struct PlaneMap {
  Tensor before, after;                              // [n, 2] double
  double explained_before = 0, explained_after = 0;  // share of the variance that lies in the plane, 0..1
};
/// `before` and `after` [n, d], each minus its own mean (a shift common to all points drops out), in the plane of the
/// first two principal components of both together. The sign of an axis is such that its largest coordinate in
/// magnitude is positive.
PlaneMap plane_map(const Tensor& before, const Tensor& after);

}  // namespace fewatoms
