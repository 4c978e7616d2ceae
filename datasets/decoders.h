#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

namespace fewatoms {

/// A picture as its file stores it: uint8 or uint16; grey, grey with alpha, RGB, or RGB with alpha. Not turned.
struct StoredPicture {
  cv::Mat pixels;
  bool premultiplied = false;  // colours are those times alpha
  std::string damage = {};     // what the decoder made up for, in its words; empty: nothing
};

// One function for each library. The file's size has been found possible by its header where that tells it. Nothing of
// a library's own reaches standard error. Each throws DataError, naming `name`, if nothing can be decoded.

/// At 1/`reduction` of its size: 1, 2, 4 or 8.
StoredPicture decode_jpeg(std::string_view bytes, const std::string& name, int reduction);
StoredPicture decode_png(std::string_view bytes, const std::string& name);
/// The first picture of the file.
StoredPicture decode_tiff(std::string_view bytes, const std::string& name);
/// The first picture of the file, on the file's canvas.
StoredPicture decode_gif(std::string_view bytes, const std::string& name);
/// HEIC and AVIF: the primary picture, turned as the file says, which is part of these formats.
StoredPicture decode_heif(std::string_view bytes, const std::string& name);
/// What OpenCV reads: BMP, WebP, PNM, JPEG 2000.
StoredPicture decode_by_opencv(std::string_view bytes, const std::string& name);

/// The error of all of them: "'x.jpg' cannot be decoded as an image: REASON".
[[noreturn]] void cannot_decode(const std::string& name, const std::string& reason);

}  // namespace fewatoms
