#pragma once

#include <torch/types.h>

namespace fewatoms {

/// 2-D convolution y[n,o] = sum_i x[n,i] * w[o,i], square stride and zero padding, no bias, no dilation.
/// x [N, in, H, W], w [out, in, k, k]; differentiable to any order.
///
/// The convolution and its two gradients are a family closed under differentiation: each derivative of one is written
/// by the other two, so that every order runs in three kernels instead of autograd's generic double backward. 3x3
/// kernels of stride and padding 1 with 16 or more channels on both sides are convolved by minimal filtering (Lavin,
/// Gray 2016) in our own loops, all others in oneDNN. Gradients that nobody asked for are not computed.
torch::Tensor conv2d(const torch::Tensor& x, const torch::Tensor& w, int64_t stride, int64_t padding);

}  // namespace fewatoms
