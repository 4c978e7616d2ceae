#pragma once

#include "apps/event_file.h"
#include "apps/settings.h"

namespace fewatoms {

/// A run folder's TensorBoard event file while it trains (docs/runs.md). It follows `state`: what an earlier, longer
/// attempt wrote behind it is removed, so that no step comes twice.
class TrainingLog {
 public:
  /// `level`: off (nothing is written), scalars, or all (histograms and images of atoms at checkpoints too).
  TrainingLog(const RunPaths& run, const std::string& level, const TrainState& state);

  /// The episode that training starts with; at level all, once in a run.
  void first_episode(const ImageSource& source, const Settings& settings);
  void iteration(const IterationReport& report);
  void validation(const ValidationReport& report);
  void checkpoint(int64_t iteration, const ParameterSet& parameters);

 private:
  std::unique_ptr<EventFile> file_;  // null: off
  bool all_ = false;
  int64_t pictured_ = -1;  // the last iteration of which there are histograms and images
};

}  // namespace fewatoms
