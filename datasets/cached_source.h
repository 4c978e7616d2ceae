#pragma once

#include <functional>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace fewatoms {

struct ClassSize {
  std::string name;
  int images = 0;
  std::string group = {};  // what the class belongs to: a superclass, an alphabet; empty without
  std::function<std::string(int image_index)> image_name = {};  // ImageSource::image_name; undefined: "class/number"
};

/// Makes the picture of one image: uint8, RGB order or grey (options.channels), any size. Called from several threads
/// at once; the same arguments give the same pixels.
using PictureLoader = std::function<cv::Mat(int class_index, int image_index)>;

/// A source over a loader: resizes, augments as the options say, and keeps pictures in memory until `cache_mb` is full
/// (nothing is ever thrown out). What is kept is the final image; with augmentation, the picture with its shorter side
/// at most 2 x image_size.
std::shared_ptr<const ImageSource> cached_source(SourceInfo info, const std::vector<ClassSize>& classes,
                                                 const DatasetOptions& options, PictureLoader load);

}  // namespace fewatoms
