#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "apps/config_file.h"
#include "meta/adapter.h"

namespace fewatoms {

/// A trained run: its settings, its learner and one of its checkpoints.
struct Run {
  Settings settings;
  std::shared_ptr<const Learner> learner;
  TrainState state;
  std::string checkpoint;  // best or last
};

/// Reads a run folder. `checkpoint` is best, last, or empty: best if there is one. Throws as read_run_settings and
/// load_checkpoint do.
Run read_run(const std::filesystem::path& folder, const std::string& checkpoint = {});

/// The run folder that an adapter, called `where` in messages, is used with; without `checkpoint` the adapter's.
Run read_run_of(const Adapter& adapter, const std::string& where, const std::filesystem::path& folder,
                const std::string& checkpoint = {});

/// Throws UsageError if the folder holds a run.
void require_no_run(const std::filesystem::path& folder);

/// Makes a folder, and those above it. Throws UsageError if it cannot be made.
void make_folder(const std::filesystem::path& folder);

/// Makes a run folder, with the configuration in it. Throws UsageError if it cannot be made.
void make_run_folder(const std::filesystem::path& folder, const Settings& settings);

}  // namespace fewatoms
