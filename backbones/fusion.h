#pragma once

#include "backbones/layer.h"

namespace fewatoms {

/// The same layers with kernels that do several at once, where there are such: batch norm, ReLU and 2x2 max-pooling;
/// and in front of these a 3x3 convolution of images. Results are equal up to rounding.
Sequence fused(const Sequence& layers);

}  // namespace fewatoms
