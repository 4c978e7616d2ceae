#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "apps/run_folder.h"

namespace fewatoms {

/// The last part of a run's folder: what tables call it.
std::string run_name(const std::filesystem::path& folder);

/// Inner steps that a run is evaluated at by default, the last of them; 0 where nothing adapts.
int own_steps(const Run& run);

/// Numbers that a task changes.
int64_t adapted_numbers(const Run& run);

/// {inner_steps, accuracy, ci95, loss}
nlohmann::ordered_json step_json(const StepAccuracy& step);

/// What results say of a run besides its network: checkpoint, iteration, what it was trained on and how it is
/// evaluated, then what describe_network says, and adapted_bytes.
nlohmann::ordered_json run_json(const std::string& folder, const Run& run);

}  // namespace fewatoms
