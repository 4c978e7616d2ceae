#pragma once

#include "backbones/kernels/norm_relu_pool.h"

namespace fewatoms {

/// Images as the first block of a network reads them again and again, with their patches' moments: those give the
/// statistics of any 3x3 convolution without computing it. For z = K p, p a patch: mean K E[p], variance K Cov[p] K^T.
struct StemImages {
  torch::Tensor padded;      // [n, h+2, w+2, in], a border of zeros
  torch::Tensor mean;        // [9*in] of the patches, double
  torch::Tensor covariance;  // [9*in, 9*in], biased, double
  bool defined() const { return padded.defined(); }
  /// n * h * w
  double pixels() const { return static_cast<double>(padded.size(0) * (padded.size(1) - 2) * (padded.size(2) - 2)); }
};

/// Whether stem_norm_relu_pool can do it: images of 1 or 3 channels that need no gradient, 16 or more output channels.
bool stem_fits(const torch::Tensor& images, int64_t out);

/// images [n, in, h, w], in 1 or 3.
StemImages stem_images(const torch::Tensor& images);

/// norm_relu_pool(conv2d(images, kernel, 1, 1), ...) without ever storing the convolution: its statistics come from the
/// patches' moments, and of each 2x2 window only the element that pooling takes is kept. kernel [out, in, 3, 3];
/// result [n, out, h/2, w/2], channels last. Differentiable to second order by kernel, scale and shift.
torch::Tensor stem_norm_relu_pool(const StemImages& images, const torch::Tensor& kernel, const torch::Tensor& scale,
                                  const torch::Tensor& shift, const NormStatistics* given, NormStatistics* own);

}  // namespace fewatoms
