#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

namespace fewatoms {

/// An image file's bytes as uint8 RGB or grey, whatever OpenCV reads: 8 and 16 bits (of which the upper byte is taken),
/// palette, CMYK; alpha is dropped. Also a .npy file, or an .npz with one array, of pixels (as picture_of takes them).
/// `channels` is 1 or 3; with `exif`, the camera's orientation is followed. `name` is for messages.
/// Throws DataError: empty, truncated or damaged, no image, more than 32,768 pixels on a side or 2^28 in all.
/// A JPEG image comes at 1/`reduction` of its size (1, 2, 4 or 8), which takes a fraction of the time; others are left
/// as they are.
cv::Mat decode_image(std::string_view bytes, const std::string& name, int channels, bool exif = false,
                     int reduction = 1);

/// The greatest reduction of an image file that leaves the shorter side of the picture, or of a part of it `part`
/// pixels wide or high (0: the whole), at least `enough` pixels. 1 for what is no JPEG.
int reduction_for(std::string_view bytes, int enough, double part = 0);

}  // namespace fewatoms
