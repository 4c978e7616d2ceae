#pragma once

#include <torch/types.h>

namespace fewatoms {

/// Normalisation statistics of one layer, [channels] each; the variance is the biased one, as batch norm uses it.
struct NormStatistics {
  torch::Tensor mean;
  torch::Tensor variance;
};

constexpr double kNormEpsilon = 1e-5;

/// Whether a variance that was found as E[x^2] - mean^2 has lost too much to be used: beyond a mean of ten deviations.
/// The moments are then taken once more, about that mean. With partial sums of x^2 in T of at most w numbers, what is
/// left has a relative error of at most 100 (w/2 + 4) roundings of T, whatever the mean (docs/mathematics.md).
inline bool cancels(double mean, double variance) { return mean * mean > 100 * variance; }

/// max_pool2x2(relu(batch_norm(x))) in one pass over memory, differentiable to second order (a third raises an error).
///
/// x [N, C, H, W] float or double; scale, shift [C]; result [N, C, H/2, W/2] (rounded down), channels last.
/// Without `given`, x is normalised by its own statistics, which are returned through `own` (cut from the graph) when
/// that is not null; with `given`, by those, which are constants: no gradient goes to them.
///
/// Batch norm is affine by channel, so that the largest element of a window is the largest (or, under a negative
/// scale, the smallest) element of x: only that one goes on. Gradients come back as one dense pass a + b*x, from
/// the statistics, plus a scatter to the positions taken.
torch::Tensor norm_relu_pool(const torch::Tensor& x, const torch::Tensor& scale, const torch::Tensor& shift,
                             const NormStatistics* given, NormStatistics* own);

/// The parts of it that other kernels share. +1 or -1 by channel: whether the largest or the smallest element of a
/// window is pooled.
torch::Tensor signs(const torch::Tensor& scale);
/// relu(norm(p)) of what was pooled before: p [N, C, H, W] channels last, the rest [C].
torch::Tensor scaled_relu(const torch::Tensor& p, const torch::Tensor& scale, const torch::Tensor& shift,
                          const torch::Tensor& mean, const torch::Tensor& variance);

/// norm_relu_pool by LibTorch's own operations, differentiable to any order: what the fast path is tested against.
torch::Tensor norm_relu_pool_reference(const torch::Tensor& x, const torch::Tensor& scale, const torch::Tensor& shift,
                                       const NormStatistics* given, NormStatistics* own);

/// Batch norm alone, by LibTorch's own operation; arguments as above.
torch::Tensor batch_norm(const torch::Tensor& x, const torch::Tensor& scale, const torch::Tensor& shift,
                         const NormStatistics* given, NormStatistics* own);

/// mean_pool2x2(softplus(batch_norm(x))): a smooth stand-in, for checks against central differences.
torch::Tensor norm_softplus_pool(const torch::Tensor& x, const torch::Tensor& scale, const torch::Tensor& shift,
                                 const NormStatistics* given, NormStatistics* own);

}  // namespace fewatoms
