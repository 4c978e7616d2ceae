#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "meta/evaluate.h"
#include "meta/trainer.h"

namespace fewatoms {

/// Files of a run folder.
struct RunPaths {
  explicit RunPaths(std::filesystem::path folder) : folder(std::move(folder)) {}
  std::filesystem::path folder;
  std::filesystem::path config() const { return folder / "config.toml"; }
  std::filesystem::path classes() const { return folder / "classes.json"; }  // the program's: what it was trained on
  std::filesystem::path metrics() const { return folder / "metrics.jsonl"; }
  std::filesystem::path events() const {
    return folder / "events.out.tfevents.fewatoms";
  }  // the program's, for TensorBoard
  std::filesystem::path last() const { return folder / "last.safetensors"; }
  std::filesystem::path best() const { return folder / "best.safetensors"; }
};

struct ValidationReport {
  int64_t iteration = 0;
  StepAccuracy result;  // at the learner's own number of inner steps
  bool best = false;
};

/// A run validates after every `val_every` iterations (0: never); true from then until it has done so.
inline bool validation_due(int val_every, int64_t iteration, int64_t last_validation) {
  return val_every > 0 && iteration > 0 && iteration % val_every == 0 && last_validation < iteration;
}

struct TrainingRunOptions {
  TrainerOptions trainer;
  EvaluationOptions validation;
  int val_every = 500;         // iterations; 0: no validation
  int checkpoint_every = 250;  // iterations; also at every validation, at the end and when stopped
  /// All optional.
  std::function<void(const IterationReport&)> on_iteration;
  std::function<void(const ValidationReport&)> on_validation;
  std::function<void(int64_t iteration, const ParameterSet&)> on_checkpoint;  // before last.safetensors gets them
  std::function<bool()> stop_requested;  // asked after every iteration and in validations, from any thread
};

/// Trains from `state` until the options' iterations are done or a stop is requested, keeping the run folder: a
/// checkpoint and one line of metrics.jsonl per iteration and validation. Lines that a stopped run wrote after its
/// checkpoint are dropped first, so that the file is that of an uninterrupted run, but for the seconds. Returns the
/// last state. `validation` may be null if val_every is 0. A non-finite loss raises NonFiniteLoss, a full disk
/// DataError; the last checkpoint stays.
TrainState run_training(const Learner& learner, const ImageSource& train, const ImageSource* validation,
                        const TrainingRunOptions& options, TrainState state, const RunPaths& paths);

}  // namespace fewatoms
