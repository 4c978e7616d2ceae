#pragma once

#include <filesystem>

#include "apps/settings.h"

namespace fewatoms {

/// Prints on standard output what a training would be: the resolved configuration as TOML and, as comments of it,
/// parameters by role, estimates of memory and time, and the first episode, which `picture` (a PNG file) shows. The
/// time is that of a few iterations and validation episodes from `state`, whose results are thrown away. Call within
/// with_threads. Throws UsageError if the picture cannot be written.
void dry_run(const Settings& settings, const Learner& learner, const TrainState& state, const TrainingSources& sources,
             const std::filesystem::path& picture);

}  // namespace fewatoms
