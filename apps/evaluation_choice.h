#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/command_line.h"
#include "apps/run_classes.h"
#include "apps/run_folder.h"

namespace fewatoms {

/// What `eval` and `speed` are told of images and episodes. Empty and 0: as the run has it.
struct EvaluationChoice {
  std::string dataset, data_root, split = "test", crop, split_rule, split_file, split_fractions, plugin;
  bool split_given = false;  // else other data without splits are tested whole
  std::optional<uint64_t> split_seed;
  bool allow_class_overlap = false;
  std::vector<std::string> plugin_options;
  int episodes = 600;
  bool episodes_given = false;       // else an episode file says how many
  std::string ways, shots, queries;  // a number or a range
  bool imbalanced = false, within_group = false;
  uint64_t eval_seed = 0;
  int first_episode = 0;
  bool skip_bad = false;
  int min_images = -1;          // -1: as the run has it
  std::string name_encoding;    // of names in archives
  bool unique_classes = false;  // no two episodes with the same set of classes
  std::string episodes_file,
      save_episodes;  // where episodes are read from, instead of drawn; where they are written to
};
void add_choice_options(CLI::App& app, EvaluationChoice& choice);

/// The data set that a run is evaluated on: another one comes with its own root and split, and the network's image size
/// and channels.
DatasetOptions chosen_data(const Settings& settings, const EvaluationChoice& choice);

/// The classes that a run is evaluated on.
struct EvaluationData {
  DatasetOptions options;
  std::string split;
  std::shared_ptr<const ImageSource> source = {};
  SplitClasses classes = {};
  bool own = true;                        // of the run's own data, wherever they lie now
  std::vector<std::string> notices = {};  // what the user should know besides the source's own notices
};
/// Opens them. Data that are not the run's own and come without splits are tested whole, unless the choice says which
/// split, or the run was trained on some of their classes. `trained`: what is known of the run. Throws as `open` does.
EvaluationData open_evaluation_data(const Settings& settings, const std::optional<RunClasses>& trained,
                                    const EvaluationChoice& choice, const OpenSource& open = open_dataset);
/// Compares them to what the run was trained on and adds the notices. Throws as check_tested does.
void check_evaluation_data(const std::filesystem::path& run, const std::optional<RunClasses>& trained,
                           const EvaluationChoice& choice, EvaluationData& data);
/// Both, for a run folder.
EvaluationData open_evaluation_data(const std::filesystem::path& run, const Settings& settings,
                                    const EvaluationChoice& choice);

/// Whether episodes of two runs are the same: of the same classes and images, in the same numbers.
bool same_episodes(const DatasetOptions& a, const DatasetOptions& b);

/// The run's own way of evaluating, with the choice's episodes.
EvaluationOptions chosen_evaluation(const Settings& settings, const EvaluationChoice& choice);

/// Where the choice asks for it: episodes read from a file, or drawn with unique classes, go into `options`, with their
/// specification; of these, choice.episodes from choice.first_episode on. And those that `options` then means are
/// written to a file. Throws as read_episodes and draw_episodes_of_unique_classes do.
void choose_episodes(const EvaluationChoice& choice, const ImageSource& source, EvaluationOptions& options);
/// What results say of that: {"unique_classes", "episodes_file"}.
nlohmann::ordered_json describe_episodes(const EvaluationChoice& choice);

/// What results say of the episodes' shape: {"ways", "shots", "queries", "fewest_ways", "fewest_shots",
/// "fewest_queries", "imbalanced", "within_group"}; the fewest are the most where there is no range.
nlohmann::ordered_json describe_spec(const EpisodeSpec& spec);
/// "5-way 1-shot, 15 queries", "5..20-way 1-shot, 5..15 queries".
std::string spec_text(const EpisodeSpec& spec);

/// What results say about a run's network and what it adapts: names as in docs/results.md.
nlohmann::ordered_json describe_network(const Settings& settings, const Learner& learner,
                                        const ParameterSet& parameters);

/// "0.25,1,4" as numbers. Throws UsageError, naming `what`, on anything else or a number outside of low..high.
std::vector<double> parse_numbers(const std::string& what, const std::string& text, double low, double high);

}  // namespace fewatoms
