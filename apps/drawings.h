#pragma once

#include <string>
#include <vector>

#include <torch/types.h>

#include "episodes/episode.h"

namespace fewatoms {

/// A picture in colour.
struct Drawing {
  int width = 0, height = 0;    // pixels
  std::vector<uint8_t> pixels;  // [height, width, 3], RGB
};

/// An episode: a row for each class with its name, the support images, a gap, the query images. Small images are
/// enlarged; at most the first 25 classes and 12 images of each kind are shown. Throws what the source throws.
Drawing draw_episode_picture(const ImageSource& source, const Episode& episode);

/// The atoms of a layer, [M, k, k] side by side, or [P, Q, M, k, k] with a row for each pair of channel groups (the
/// first 32 pairs): white is 0, red and blue are the layer's largest magnitude.
Drawing draw_atoms(const torch::Tensor& atoms);

/// The drawing as a PNG file's bytes.
std::string png_bytes(const Drawing& drawing);

}  // namespace fewatoms
