#include "datasets/file_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>
#include <utility>

#include "datasets/cached_source.h"
#include "datasets/files.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

uint32_t big_endian(std::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      made[i] = i;
      for (int bit = 0; bit < 8; ++bit) made[i] = made[i] >> 1 ^ (made[i] & 1 ? 0xEDB88320U : 0U);
    }
    return made;
  }();
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

// libjpeg and libpng fill up what is missing from a truncated file, or write to stderr: so whole files are told from
// cut ones before they are decoded.

/// Whether an end marker follows the first scan. The segments before it are skipped, as they may hold a thumbnail.
bool jpeg_is_whole(std::string_view bytes) {
  size_t at = 2;
  while (at + 4 <= bytes.size() && bytes[at] == '\xFF') {
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    at += 2 + big_endian(bytes, at + 2, 2);
    if (marker != 0xDA) continue;
    const size_t end = bytes.rfind("\xFF\xD9");
    return end != std::string_view::npos && end >= at;
  }
  return false;
}

/// Whether every chunk is there with a right checksum, up to the end chunk.
bool png_is_whole(std::string_view bytes) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = big_endian(bytes, at, 4);
    if (length > bytes.size() - at - 12) return false;
    if (crc32(bytes.substr(at + 4, length + 4)) != big_endian(bytes, at + 8 + length, 4)) return false;
    if (bytes.substr(at + 4, 4) == "IEND") return true;
    at += 12 + length;
  }
  return false;
}

/// RGB or grey. The camera's orientation is followed unless `as_stored`.
cv::Mat decode(const std::string& file, int channels, bool as_stored) {
  const std::string bytes = read_bytes(file);
  const std::string name = in_quotes(file);
  if (bytes.empty()) throw DataError(name + " is empty, expected an image");
  if (bytes.starts_with("\xFF\xD8") && !jpeg_is_whole(bytes))
    throw DataError(name + " is truncated or damaged: expected a JPEG image up to its end marker");
  if (bytes.starts_with("\x89PNG\r\n\x1A\n") && !png_is_whole(bytes))
    throw DataError(name + " is truncated or damaged: expected a PNG image with valid chunks up to IEND");

  int flags = channels == 1 ? cv::IMREAD_GRAYSCALE : cv::IMREAD_COLOR;
  if (as_stored) flags |= cv::IMREAD_IGNORE_ORIENTATION;
  cv::Mat picture;
  try {
    picture = cv::imdecode(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data())), flags);
  } catch (const cv::Exception&) {
    picture.release();  // too large, or a decoder's complaint over several lines
  }
  if (picture.empty()) throw DataError(name + " cannot be decoded as an image");
  if (channels == 3) cv::cvtColor(picture, picture, cv::COLOR_BGR2RGB);
  return picture;
}

/// Whole pixels nearest to the box's edges, clipped to the picture.
cv::Rect pixels_of(const Box& box, const cv::Mat& picture) {
  const auto clipped = [](double edge, int limit) {
    return static_cast<int>(std::lround(std::clamp(edge, 0.0, static_cast<double>(limit))));
  };
  const int left = clipped(box.x, picture.cols), right = clipped(box.x + box.width, picture.cols);
  const int top = clipped(box.y, picture.rows), bottom = clipped(box.y + box.height, picture.rows);
  return {left, top, right - left, bottom - top};
}

}  // namespace

std::shared_ptr<const ImageSource> file_source(SourceInfo info, std::vector<FileClass> classes,
                                               const DatasetOptions& options, bool inverted) {
  std::vector<ClassSize> sizes;
  for (const FileClass& c : classes) sizes.push_back({c.name, static_cast<int>(c.images.size())});

  auto load = [classes = std::move(classes), channels = options.channels, inverted](int class_index, int image_index) {
    const FileClass& from = classes[class_index];
    const FileImage& image = from.images[image_index];
    cv::Mat picture = decode(image.path, channels, image.crop.has_value());  // boxes were measured on stored pixels
    if (image.crop) {
      const cv::Rect part = pixels_of(*image.crop, picture);
      if (part.empty())
        throw DataError(in_quotes(image.path) + ": its box lies outside the picture of " + std::to_string(picture.cols) +
                        "x" + std::to_string(picture.rows) + " pixels");
      picture = picture(part);
    }
    if (inverted) picture = 255 - picture;
    static constexpr cv::RotateFlags kTurns[] = {cv::ROTATE_90_COUNTERCLOCKWISE, cv::ROTATE_180, cv::ROTATE_90_CLOCKWISE};
    if (from.quarter_turns != 0) cv::rotate(picture, picture, kTurns[from.quarter_turns - 1]);
    return picture;
  };
  return cached_source(std::move(info), sizes, options, std::move(load));
}

}  // namespace fewatoms
