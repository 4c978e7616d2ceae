#pragma once

#include <nlohmann/json.hpp>

#include "apps/report.h"
#include "apps/report_pictures.h"
#include "apps/run_folder.h"
#include "meta/adapted_episode.h"

// What a report says of one run; docs/report.md has the keys.
namespace fewatoms {

using ReportJson = nlohmann::ordered_json;

/// A run with the episodes it is evaluated on.
struct ReportedRun {
  std::filesystem::path folder;
  Run run;
  EvaluationData data;
  EvaluationOptions options;
  std::shared_ptr<const ImageSource> source = {};
  Evaluation evaluation = {};

  size_t own_mark() const;  // index in options.inner_steps of the run's own number of steps
};

/// Loss and accuracy of training by iteration, means over equal parts where there are many, and validations: from
/// metrics.jsonl.
ReportJson training_json(const std::filesystem::path& run);

/// Its convolutions: channels, block, stage, and the coefficients that each uses.
ReportJson layers_json(const Run& run);

/// Which classes were taken for which at the run's own number of steps; the classes with the most mistakes where there
/// are many.
ReportJson confusion_json(const ReportedRun& r);

/// Positions, in the evaluation, of the episodes with the lowest accuracy at the run's own number of steps, the worst
/// first.
std::vector<int> worst_episodes(const ReportedRun& r, int count);
/// Those, with classes and the command that evaluates each alone.
ReportJson worst_json(const ReportedRun& r, const EvaluationChoice& choice);

/// What the run makes of some episodes (positions in the evaluation), before and after adaptation: "looks", predictions
/// and a map of features for each; "atom_pictures", of the first one; "moved", how far each tensor moved. Notes on what
/// was left out are added.
ReportJson looks_json(const ReportedRun& r, const std::vector<int>& episodes, std::vector<std::string>& left_out);

/// An episode's images, as numbers of pictures, with labels. Notes on what was left out are in it.
ReportJson episode_json(const ReportedRun& r, int episode, PictureStore& pictures);

}  // namespace fewatoms
