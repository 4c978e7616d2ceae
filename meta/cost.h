#pragma once

#include <cstdint>
#include <vector>

#include "episodes/episode.h"
#include "meta/learner.h"

namespace fewatoms {

/// Multiply-adds of the convolutions of task_gradient on one task: what the mathematics needs when nothing is left out
/// or fused. Norms, pooling, head and the composition of kernels are not counted.
///
/// With f the multiply-adds of a layer's forward pass, and its gradient by the images not needed in the first layer:
/// * query images: forward f, backward f by the kernel and f by the input;
/// * blocks that adaptation cannot change: the same once for the support images, the backward part where the loss
///   depends on them (second order, or prototypes);
/// * each inner step on a block that it can change: forward f, f by the kernel if that adapts, f by the input behind
/// the
///   first layer of the first such block; in second order then the backward pass of the forward part (as for query
///   images) and of both gradients, each of which has a kernel or image and an outer gradient to go back to (2 f, or f
///   where the images are given).
int64_t convolution_multiply_adds(const Learner& learner, const EpisodeSpec& spec);

}  // namespace fewatoms
