#pragma once

#include <cstdint>
#include <opencv2/core.hpp>

namespace fewatoms {

/// `picture` as width x height pixels: by area when it shrinks, bilinear when it grows.
cv::Mat resized(const cv::Mat& picture, int width, int height);

/// The training transformation of Chen et al., "A closer look at few-shot classification" (ICLR 2019), as torchvision
/// does it: random resized crop (area 0.08..1, aspect 3/4..4/3), brightness, contrast and saturation each times
/// 0.6..1.4 in random order, horizontal flip. `picture` is uint8 RGB or grey of any size; returns size x size, a pure
/// function of the picture and `key`.
cv::Mat crop_jitter_flip(const cv::Mat& picture, int size, uint64_t key);

/// Its counterpart for testing: resized to a square of size_before_crop(size), 1.15 x size, then the size x size
/// centre.
int size_before_crop(int size);
cv::Mat resize_centre_crop(const cv::Mat& picture, int size);

}  // namespace fewatoms
