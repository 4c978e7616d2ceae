#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "apps/settings.h"

namespace fewatoms {

/// A configuration file as the command-line arguments it stands for: {"--width=32", ...}.
/// Keys are option names; `method` is one of them. Throws UsageError if the file is not there, is not TOML, has a key
/// that is not an option, or a value that is neither number, text nor truth value.
std::vector<std::string> arguments_from_config(const std::filesystem::path& path);

/// The whole of the settings as TOML, in the order of the help text: arguments_from_config reads it back to the same.
std::string config_text(Settings settings);

/// Settings of an existing run folder. Throws UsageError if it is none.
Settings read_run_settings(const std::filesystem::path& run);

/// Differences that a resumed run must not have, as one line; empty if there are none.
std::string forbidden_changes(Settings stored, Settings asked);

/// Whether those are about how training goes on alone, not about network or data: a new run can start from this one's
/// weights.
bool only_training_changes(Settings stored, Settings asked);

}  // namespace fewatoms
