#pragma once

#include <filesystem>

#include "meta/trainer.h"

namespace fewatoms {

/// Writes a checkpoint as safetensors: each parameter under its own name, Adam's moments under "adam.m." and "adam.v."
/// + name (those of sgd with momentum under "sgd.m."), counters in the metadata. Whole or not at all: on a full disk,
/// which throws DataError, the file that was there stays.
void save_checkpoint(const std::filesystem::path& path, const TrainState& state);

/// Reads it back, as values over `schema`, whose names, shapes and types it must have: a file of another architecture
/// is refused. Throws UsageError if the file is not there or does not fit the network; DataError if it is damaged.
TrainState load_checkpoint(const std::filesystem::path& path, const std::shared_ptr<const Schema>& schema);

/// How far a checkpoint is, from its header alone: no tensor is read. Throws as load_checkpoint does.
struct CheckpointProgress {
  int64_t iteration = 0, last_validation = 0;
};
CheckpointProgress read_progress(const std::filesystem::path& path);

}  // namespace fewatoms
