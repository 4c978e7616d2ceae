#pragma once

#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "episodes/image_source.h"

// Tiny images on disk, and their pixels as values.
namespace fewatoms::test {

/// Writes an image (by extension) of one colour, RGB, with the folders above it.
inline void write_image(const std::filesystem::path& file, int width = 12, int height = 12,
                        const cv::Scalar& rgb = {200, 100, 50}) {
  std::filesystem::create_directories(file.parent_path());
  const cv::Mat picture(height, width, CV_8UC3, cv::Scalar(rgb[2], rgb[1], rgb[0]));
  if (!cv::imwrite(file.string(), picture)) throw std::runtime_error("cannot write " + file.string());
}

inline std::vector<uint8_t> pixels(const ImageView& view) { return {view.pixels, view.pixels + view.bytes()}; }
inline std::vector<uint8_t> pixels(const ImageSource& source, int class_index, int image_index, uint64_t key = 0) {
  return pixels(source.image({class_index, image_index, key}));
}

inline std::vector<std::string> class_names(const ImageSource& source) {
  std::vector<std::string> names;
  for (int c = 0; c < source.classes(); ++c) names.push_back(source.class_name(c));
  return names;
}

}  // namespace fewatoms::test
