#include "apps/training_log.h"

namespace fewatoms {

TrainingLog::TrainingLog(const RunPaths& run, const std::string& level, const TrainState& state) {
  if (level == "off") return;
  all_ = level == "all";
  file_ = std::make_unique<EventFile>(run.events(), [&](int64_t step, const std::string& tag) {
    const bool kept =
        state.iteration > 0 && step <= (tag.starts_with("validation/") ? state.last_validation : state.iteration);
    if (kept && (tag.starts_with("atoms/") || tag.starts_with("learned/"))) pictured_ = std::max(pictured_, step);
    return kept;
  });
}

void TrainingLog::first_episode(const ImageSource& source, const Settings& settings) {
  if (!all_) return;
  EpisodeSpec spec = settings.trainer.spec;
  if (settings.learner.train_on == "classes") spec.shots = 0;
  file_->image(
      0, "episode/first",
      draw_episode_picture(source, draw_episode(source, spec, settings.trainer.seed, 0, settings.trainer.augmented)));
}

void TrainingLog::iteration(const IterationReport& r) {
  if (file_)
    file_->scalars(r.iteration, {{"train/loss", r.loss},
                                 {"train/accuracy", r.accuracy},
                                 {"train/lr_factor", r.outer_lr},
                                 {"train/gradient_norm", r.gradient_norm},
                                 {"train/seconds", r.seconds}});
}

void TrainingLog::validation(const ValidationReport& r) {
  if (!file_) return;
  std::vector<std::pair<std::string, double>> numbers = {{"validation/accuracy", r.result.accuracy}};
  if (r.result.ci95) numbers.emplace_back("validation/ci95", *r.result.ci95);
  numbers.emplace_back("validation/loss", r.result.loss);
  file_->scalars(r.iteration, numbers);
}

void TrainingLog::checkpoint(int64_t iteration, const ParameterSet& parameters) {
  if (!file_) return;
  if (all_ && iteration > pictured_) {
    pictured_ = iteration;
    std::vector<std::pair<std::string, double>> learned;  // step sizes, temperatures
    for (const Parameter& p : parameters) {
      if (p.role == Role::kMeta) learned.emplace_back("learned/" + p.name, p.tensor.mean().item<double>());
      if (p.role != Role::kAtom) continue;
      const std::string tag = "atoms/" + p.name.substr(0, p.name.rfind(".atoms"));
      file_->histogram(iteration, tag, p.tensor);
      file_->image(iteration, tag, draw_atoms(p.tensor));
    }
    if (!learned.empty()) file_->scalars(iteration, learned);
  }
  file_->flush();
}

}  // namespace fewatoms
