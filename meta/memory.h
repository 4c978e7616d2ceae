#pragma once

#include <cstdint>

#include "episodes/episode.h"
#include "meta/learner.h"

namespace fewatoms {

/// Bytes of resident memory that training on such episodes takes at its peak, estimated: what the graphs of the tasks
/// in flight keep, the images of this and the next meta-batch, the parameters with their moments, and the program
/// itself. Image cache of the data set not included. Within a factor of 1.5 of what was measured (tests/bench); the
/// constants, in memory.cpp, belong to the kernels.
int64_t estimated_bytes(const Learner& learner, const EpisodeSpec& spec, int meta_batch, int tasks_in_flight);

/// Bytes of memory that this process may have: the machine's, or the limit of its control group if that is less.
/// A very large number where the system does not say.
int64_t memory_limit();

/// Throws UsageError, with the estimate and the limit, if such episodes would not fit.
void require_memory(const Learner& learner, const EpisodeSpec& spec, int meta_batch, int tasks_in_flight);

}  // namespace fewatoms
