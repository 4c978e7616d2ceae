#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include "episodes/image_source.h"

namespace fewatoms {

using torch::Tensor;

/// Ways to spoil images, at the strengths 1..5 of Hendrycks and Dietterich 2019 ("Benchmarking neural network
/// robustness to common corruptions and perturbations", ImageNet-C).
enum class Corruption {
  kNoise,       // normal noise of deviation 0.08 0.12 0.18 0.26 0.38 of the range
  kBlur,        // normal blur of deviation 1 2 3 4 6 pixels in images of 224, in proportion for other sizes
  kBrightness,  // the largest channel of each pixel brighter by 0.1 0.2 0.3 0.4 0.5 of the range, hue and saturation
                // kept
  kJpeg,        // what JPEG of quality 25 18 15 10 7 leaves, colours at half the resolution
};
constexpr int kCorruptionStrengths = 5;

std::vector<std::string> corruption_names();
/// Throws UsageError on a name that is not among corruption_names().
Corruption corruption_from_string(const std::string& name);

/// An image [C, H, W] float, values 0..255, C 1 or 3 (RGB), spoiled: whole values 0..255. `key` names the noise.
Tensor corrupted(const Tensor& image, Corruption kind, int strength, uint64_t key);

/// `whole` with every image spoiled, noise by image; classes and sizes are the same.
std::shared_ptr<const ImageSource> corrupted_source(std::shared_ptr<const ImageSource> whole, Corruption kind,
                                                    int strength);

}  // namespace fewatoms
