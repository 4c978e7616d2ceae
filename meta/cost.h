#pragma once

#include <cstdint>
#include <vector>

#include "episodes/episode.h"
#include "meta/learner.h"

namespace fewatoms {

/// One convolution with the norm and 2x2 pooling behind it, as counts of work and memory see it.
struct LayerShape {
  int64_t in = 0, out = 0;  // channels
  int64_t kernel = 3;       // k of k x k
  int64_t size = 0;         // pixels of a side, before pooling

  /// Of the convolution of one image, with the composed kernel: out * in * k * k per output pixel.
  int64_t multiply_adds() const { return out * in * kernel * kernel * size * size; }
};

/// The layers of a network, one per block.
std::vector<LayerShape> layer_shapes(const NetworkOptions& options);

/// Multiply-adds of the convolutions of task_gradient on one task: what the mathematics needs when nothing is left out
/// or fused. Norms, pooling, head and the composition of kernels are not counted.
///
/// With f the multiply-adds of a layer's forward pass, and its gradient by the images not needed in the first block:
/// * query images: forward f, backward f by the kernel and f by the input;
/// * blocks that adaptation cannot change: the same once for the support images, the backward part where the loss
///   depends on them (second order, or prototypes);
/// * each inner step on a block that it can change: forward f, f by the kernel if that adapts, f by the input behind the
///   first such block; in second order then the backward pass of the forward part (as for query images) and of both
///   gradients, each of which has a kernel or image and an outer gradient to go back to (2 f, or f where the images
///   are given).
int64_t convolution_multiply_adds(const Learner& learner, const ParameterSet& parameters, const EpisodeSpec& spec);

}  // namespace fewatoms
