#include "datasets/pixels.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "datasets/remarks.h"

namespace fewatoms {
namespace {

bool has_alpha(const cv::Mat& picture) { return picture.channels() % 2 == 0; }

/// Eight of the 16 bits of each value; alpha always uses all 16.
cv::Mat eight_bits(const cv::Mat& picture, const std::string& name) {
  const int channels = picture.channels(), colours = channels - (has_alpha(picture) ? 1 : 0);
  uint16_t most = 0;
  for (int y = 0; y < picture.rows; ++y) {
    const auto* row = picture.ptr<uint16_t>(y);
    for (int x = 0; x < picture.cols; ++x)
      for (int c = 0; c < colours; ++c) most = std::max(most, row[x * channels + c]);
  }
  int bits = 8;
  while (most >> bits != 0) bits += 2;
  if (bits < 16)
    remark(RemarkKind::kFewBits, name,
           "has 16 bits for each value and uses " + std::to_string(bits) +
               ": such pictures are scaled by the bits they use (8, 10, 12, 14 or 16)");
  cv::Mat result(picture.rows, picture.cols, CV_8UC(channels));
  for (int y = 0; y < picture.rows; ++y) {
    const auto* from = picture.ptr<uint16_t>(y);
    uint8_t* to = result.ptr(y);
    for (int x = 0; x < picture.cols; ++x)
      for (int c = 0; c < channels; ++c)
        to[x * channels + c] = static_cast<uint8_t>(from[x * channels + c] >> (c < colours ? bits - 8 : 8));
  }
  return result;
}

/// The picture without its alpha, laid on a ground.
cv::Mat laid_on_ground(const cv::Mat& picture, const std::string& background, bool premultiplied,
                       const std::string& name) {
  const int channels = picture.channels(), colours = channels - 1;
  int least = 255, most = 0;
  int64_t opacity = 0, brightness = 0;  // sums; of brightness times opacity
  for (int y = 0; y < picture.rows; ++y) {
    const uint8_t* row = picture.ptr(y);
    for (int x = 0; x < picture.cols; ++x, row += channels) {
      const int alpha = row[colours];
      least = std::min(least, alpha);
      most = std::max(most, alpha);
      opacity += alpha;
      const int light = colours == 1 ? row[0] : (299 * row[0] + 587 * row[1] + 114 * row[2]) / 1000;
      brightness += static_cast<int64_t>(light) * (premultiplied ? 255 : alpha);
    }
  }
  const bool as_it_is = least == 255 || most == 0;
  const bool white = background == "white" || (background == "auto" && 2 * brightness < 255 * opacity);
  if (!as_it_is && background == "auto")
    remark(RemarkKind::kTransparent, name,
           std::string("is transparent in part and laid on ") + (white ? "white" : "black") +
               ": such pictures get the ground that differs more from what is seen of them (--background white or "
               "black sets one for all)");
  cv::Mat result(picture.rows, picture.cols, CV_8UC(colours));
  const int ground = white ? 255 : 0;
  for (int y = 0; y < picture.rows; ++y) {
    const uint8_t* from = picture.ptr(y);
    uint8_t* to = result.ptr(y);
    for (int x = 0; x < picture.cols; ++x, from += channels, to += colours) {
      const int alpha = as_it_is ? 255 : from[colours];
      for (int c = 0; c < colours; ++c)
        to[c] = static_cast<uint8_t>(
            std::min(255, (from[c] * (premultiplied ? 255 : alpha) + ground * (255 - alpha) + 127) / 255));
    }
  }
  return result;
}

}  // namespace

PixelRules pixel_rules(const DatasetOptions& options) {
  return {options.channels, options.background, options.exif, options.strict_decode};
}

cv::Mat plain_pixels(const cv::Mat& stored, const PixelRules& rules, const std::string& name, bool premultiplied) {
  cv::Mat picture = stored.depth() == CV_16U ? eight_bits(stored, name) : stored;
  if (has_alpha(picture)) picture = laid_on_ground(picture, rules.background, premultiplied, name);
  return with_channels(picture, rules.channels);
}

cv::Mat with_channels(const cv::Mat& picture, int channels) {
  if (picture.channels() == channels) return picture;
  cv::Mat result;
  cv::cvtColor(picture, result, channels == 1 ? cv::COLOR_RGB2GRAY : cv::COLOR_GRAY2RGB);
  return result;
}

cv::Mat turned_upright(const cv::Mat& picture, int orientation) {
  if (orientation < 2 || orientation > 8) return picture;
  cv::Mat result;
  if (orientation >= 5)
    cv::transpose(picture, result);
  else
    result = picture.clone();
  // Of 5 to 8 the transposed picture is left to be mirrored: not at all, left to right, both ways, or top to bottom.
  switch (orientation) {
    case 2:
    case 6:
      cv::flip(result, result, 1);
      break;
    case 3:
    case 7:
      cv::flip(result, result, -1);
      break;
    case 4:
    case 8:
      cv::flip(result, result, 0);
      break;
    default:
      break;
  }
  return result;
}

}  // namespace fewatoms
