#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

#include "datasets/pixels.h"

namespace fewatoms {

/// An image file's bytes as uint8 RGB or grey, by plain_pixels: JPEG, PNG, GIF and TIFF (of several pictures the
/// first), BMP, WebP, HEIC, AVIF, JPEG 2000, PNM; 8 and 16 bits, palette, CMYK, alpha. Also a .npy file, or an .npz
/// with one array, of pixels (as picture_of takes them). What it is called does not matter. `name` is for messages.
///
/// A JPEG image comes at 1/`reduction` of its size (1, 2, 4 or 8), which takes a fraction of the time; others are left
/// as they are.
///
/// Throws DataError: empty, truncated, no image, more than 32,768 pixels on a side or 2^28 in all. Damage that a
/// decoder makes up for is noted (datasets/remarks.h), or thrown too if the rules are strict.
cv::Mat decode_image(std::string_view bytes, const std::string& name, const PixelRules& rules, int reduction = 1);

/// The same, with nothing said or done about the orientation tag.
cv::Mat decode_unturned(std::string_view bytes, const std::string& name, const PixelRules& rules, int reduction = 1);

/// The greatest reduction of an image file that leaves the shorter side of the picture, or of a part of it `part`
/// pixels wide or high (0: the whole), at least `enough` pixels. 1 for what is no JPEG.
int reduction_for(std::string_view bytes, int enough, double part = 0);

/// Keeps what OpenCV prints about a picture off standard error. Once for the process.
void quiet_opencv();

}  // namespace fewatoms
