#pragma once

#include <opencv2/core.hpp>
#include <string>

#include "datasets/dataset.h"

namespace fewatoms {

/// How stored pictures become the pixels that a network sees.
struct PixelRules {
  int channels = 3;                 // 1 grey or 3 RGB
  std::string background = "auto";  // what transparent pictures are laid on: "auto", "white" or "black"
  bool exif = true;                 // the camera's orientation tag is followed
  bool strict = false;              // damage that a decoder can make up for throws DataError too
};
PixelRules pixel_rules(const DatasetOptions& options);

/// uint8 pixels, grey or RGB, of a stored picture of uint8 or uint16 with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB,
/// alpha) channels. May point into it.
///
/// 16 bits: of the fewest bits among 8, 10, 12, 14 and 16 that hold the picture's greatest value, the upper eight are
/// taken, since cameras store 12 bits in 16.
///
/// Alpha: the picture is laid on `background`. "auto" is white where the visible pixels, weighted by their opacity, are
/// darker on average than the middle of the scale, else black, so that ink of any colour stays apart from its ground. A
/// picture that is opaque everywhere, or invisible everywhere, keeps its colours. `premultiplied`: whether they are
/// those times alpha.
///
/// What was decided is noted under `name` (datasets/remarks.h).
cv::Mat plain_pixels(const cv::Mat& stored, const PixelRules& rules, const std::string& name,
                     bool premultiplied = false);

/// RGB or grey as 3 or 1 channels.
cv::Mat with_channels(const cv::Mat& picture, int channels);

/// A picture as the orientation tag of its file says, 1 (as it is) to 8.
cv::Mat turned_upright(const cv::Mat& picture, int orientation);

}  // namespace fewatoms
