#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/settings.h"

// What a run remembers of the classes it was made with (classes.json, docs/runs.md), and what has changed since.
namespace fewatoms {

struct KnownClass {
  std::string name;  // before it was turned, where `rotations` turns classes
  int images = 0;
  std::string files = {};  // a hash of the names of its images in their order; empty: they have no names of their own
  double brightness = -1;  // mean of the pixels of its first image, 0 to 255; below 0: not looked at
};

struct SplitClasses {
  std::string split;    // "train", "val", "test", "all"; "val-from-train": those that left train for validation
  int64_t skipped = 0;  // images left out because they cannot be decoded
  std::vector<KnownClass> classes;
};

struct RunClasses {
  std::string dataset, form, split_rule;
  std::vector<SplitClasses> splits;         // those that were there
  std::vector<std::string> trained_before;  // by the run that --init named, or by this run before its data changed
};

/// Opens a split, as open_dataset does.
using OpenSource = std::function<std::shared_ptr<const ImageSource>(const DatasetOptions&, const std::string& split)>;

/// Classes of a split; `data` are the options that it was opened with.
SplitClasses classes_of(const ImageSource& source, const DatasetOptions& data);

/// SHA-256 of class names, numbers and names of images.
std::string hash_of(const SplitClasses& classes);

/// Classes of every split that can be opened; those that training does not use are opened for it.
RunClasses classes_of(const Settings& settings, const TrainingSources& sources, const OpenSource& open = open_dataset);

/// Looks at the first image of some training classes, so that other pictures under the same names can be told.
void look_at_images(RunClasses& classes, const ImageSource& train, const DatasetOptions& data);

/// What a run folder holds; nothing where it has no classes.json. Throws DataError if that is damaged.
std::optional<RunClasses> read_run_classes(const std::filesystem::path& run);
void write_run_classes(const std::filesystem::path& run, const RunClasses& classes);

/// That a run does not know its classes, as a notice.
std::string unknown_classes_notice(const std::filesystem::path& run);

/// Compares what a run would go on with to what it was trained with. Returns notices: classes that were added or left
/// out. Throws UsageError if a class is in another split now, unless `allow_overlap`; and with `same_images`, for data
/// that lie elsewhere now, on any difference.
std::vector<std::string> check_resumed(const std::filesystem::path& run, const RunClasses& before,
                                       const RunClasses& now, bool same_images, bool allow_overlap);

/// What the run remembers from then on: classes that it was trained on and that are no longer there stay known.
RunClasses with_history(RunClasses now, const RunClasses& before);

/// Whether both name the same classes and images.
bool same_classes(const RunClasses& a, const RunClasses& b);

/// The classes that were trained on.
std::vector<std::string> trained_classes(const RunClasses& classes);

/// Compares classes that a run would be tested on to what it was trained on. Returns notices. Throws UsageError if the
/// run was trained on some of them, or one was in another split, unless `allow_overlap`. `own`: they are a split of the
/// run's own data, where split train means what it says.
std::vector<std::string> check_tested(const std::filesystem::path& run, const RunClasses& trained,
                                      const SplitClasses& tested, bool own, bool allow_overlap);

}  // namespace fewatoms
