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
  std::vector<int> image_groups = {};                           // as ImageSource::image_groups
};

/// Makes the picture of one image: uint8, RGB order or grey (options.channels), any size. Called from several threads
/// at once; the same arguments give the same pixels.
using PictureLoader = std::function<cv::Mat(int class_index, int image_index)>;

/// How many pixels the shorter side of a decoded picture needs at least, before it is resized; 0: decode exactly.
int enough_pixels(const DatasetOptions& options);

/// What sources over stored pictures also are: the pictures before they are resized. From several threads; throws
/// DataError.
class StoredPictures {
 public:
  virtual ~StoredPictures() = default;
  virtual cv::Mat stored_picture(int class_index, int image_index) const = 0;
};

/// A source over a loader: resizes, augments as the options say, and keeps pictures in memory within `cache_mb`. The
/// first that come fill 7/8 of it and stay, so that a data set larger than memory has a constant share of hits; the
/// rest passes through the last 1/8, oldest out first, which holds what prefetch has made until it is used. What is
/// kept is the final image; with augmentation, the picture with its shorter side at most 2 x image_size.
std::shared_ptr<const ImageSource> cached_source(SourceInfo info, const std::vector<ClassSize>& classes,
                                                 const DatasetOptions& options, PictureLoader load);

}  // namespace fewatoms
