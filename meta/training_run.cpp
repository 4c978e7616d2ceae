#include "meta/training_run.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include <nlohmann/json.hpp>

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "meta/checkpoint.h"

namespace fewatoms {
namespace {

using nlohmann::json;

/// Keeps the lines up to `iteration`.
void cut_metrics(const std::filesystem::path& path, int64_t iteration) {
  std::ifstream file(path);
  std::string kept;
  for (std::string line; std::getline(file, line);) {
    const json entry = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (entry.is_object() && entry.value("iteration", int64_t{0}) <= iteration) kept += line + "\n";
  }
  write_file_atomically(path, kept);
}

}  // namespace

TrainState run_training(const Learner& learner, const ImageSource& train, const ImageSource* validation,
                        const TrainingRunOptions& options, TrainState state, const RunPaths& paths) {
  if (options.val_every < 0)
    throw UsageError("val-every is " + std::to_string(options.val_every) + ", 0 or more was expected");
  if (options.checkpoint_every < 1)
    throw UsageError("checkpoint-every is " + std::to_string(options.checkpoint_every) + ", 1 or more was expected");
  if (options.val_every > 0) {
    TORCH_CHECK(validation != nullptr, "validation without images");
    require_evaluable(learner, *validation, options.validation);
  }
  const int64_t first = state.iteration;
  const double seconds_before = state.seconds;
  const auto begin = std::chrono::steady_clock::now();
  Trainer trainer(learner, train, options.trainer, std::move(state));
  const auto snapshot = [&] {
    TrainState now = trainer.state();
    now.seconds = seconds_before + std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return now;
  };
  const auto save_last = [&] {
    if (options.on_checkpoint) options.on_checkpoint(trainer.iteration(), trainer.parameters());
    save_checkpoint(paths.last(), snapshot());
  };
  if (first == 0) save_last();  // a run can be evaluated and resumed from its start on
  cut_metrics(paths.metrics(), first);
  std::ofstream metrics(paths.metrics(), std::ios::app);
  if (!metrics) throw UsageError("cannot write '" + paths.metrics().string() + "'");

  const auto require_written = [&] {  // of a full disk the stream says nothing by itself
    if (!metrics)
      throw DataError("cannot write '" + paths.metrics().string() + "': " + std::strerror(errno) +
                      "; --resume goes on from the last checkpoint once there is room");
  };

  const auto stop_requested = [&] { return options.stop_requested && options.stop_requested(); };
  EvaluationOptions validation_options = options.validation;
  validation_options.stop_requested = stop_requested;
  const auto validate = [&] {
    const StepAccuracy result =
        evaluate(learner, trainer.parameters(), *validation, validation_options).by_steps.back();
    trainer.record_validation(result.accuracy);
    const TrainState now = snapshot();
    const bool best = now.best_iteration == now.iteration;
    if (best) save_checkpoint(paths.best(), now);
    metrics << json{{"iteration", now.iteration},
                    {"val_accuracy", result.accuracy},
                    {"val_ci95", number_or_null(result.ci95)},
                    {"val_loss", result.loss}}
                   .dump()
            << "\n";
    require_written();
    if (options.on_validation) options.on_validation({now.iteration, result, best});
  };

  for (bool stopped = false; !stopped;) {
    bool checkpoint = false;
    // Also the validation in the midst of which an earlier run was stopped.
    if (validation_due(options.val_every, trainer.iteration(), trainer.last_validation())) {
      try {
        validate();
        checkpoint = true;
      } catch (const EvaluationStopped&) {
      }
    } else if (trainer.iteration() < options.trainer.iterations) {
      const IterationReport report = trainer.step();
      metrics << json{{"iteration", report.iteration},         {"loss", report.loss},
                      {"accuracy", report.accuracy},           {"lr_factor", report.outer_lr},
                      {"gradient_norm", report.gradient_norm}, {"seconds", report.seconds}}
                     .dump()
              << "\n";
      require_written();
      if (options.on_iteration) options.on_iteration(report);
      checkpoint = report.iteration % options.checkpoint_every == 0;
    } else {
      break;
    }
    stopped = stop_requested();
    if (checkpoint || stopped || trainer.iteration() == options.trainer.iterations) {
      metrics.flush();
      require_written();  // before the checkpoint, which would leave a gap behind it
      save_last();
    }
  }
  return snapshot();
}

}  // namespace fewatoms
