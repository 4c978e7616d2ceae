#pragma once

#include <functional>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/image_header.h"

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
class PictureLoader {
 public:
  using Load = std::function<cv::Mat(int class_index, int image_index)>;
  using Look = std::function<ImageHeader(int class_index, int image_index)>;

  PictureLoader() = default;
  /// `look` is a cheap look at an image's file, where there is one: it throws DataError on what `load` could not
  /// decode, as far as a file's start and structure tell.
  PictureLoader(Load load, Look look) : load_(std::move(load)), look_(std::move(look)) {}
  template <class Callable>
  requires std::is_invocable_r_v<cv::Mat, const Callable&, int, int> PictureLoader(Callable load)
      : load_(std::move(load)) {}  // NOLINT: a function is a loader

  cv::Mat operator()(int class_index, int image_index) const { return load_(class_index, image_index); }
  /// Nothing is known of images without files.
  ImageHeader header(int class_index, int image_index) const {
    return look_ ? look_(class_index, image_index) : ImageHeader{};
  }

 private:
  Load load_;
  Look look_;
};

/// How many pixels the shorter side of a decoded picture needs at least, before it is resized; 0: decode exactly.
int enough_pixels(const DatasetOptions& options);

/// What sources over stored pictures also are: the pictures before they are resized, and what their files' headers
/// tell. From several threads; throws DataError.
class StoredPictures {
 public:
  virtual ~StoredPictures() = default;
  virtual cv::Mat stored_picture(int class_index, int image_index) const = 0;
  virtual ImageHeader stored_header(int, int) const { return {}; }
};

/// A source over a loader: resizes, augments as the options say, and keeps pictures in memory within `cache_mb`. The
/// first that come fill 7/8 of it and stay, so that a data set larger than memory has a constant share of hits; the
/// rest passes through the last 1/8, oldest out first, which holds what prefetch has made until it is used. What is
/// kept is the final image; with augmentation, the picture with its shorter side at most 2 x image_size.
std::shared_ptr<const ImageSource> cached_source(SourceInfo info, const std::vector<ClassSize>& classes,
                                                 const DatasetOptions& options, PictureLoader load);

}  // namespace fewatoms
