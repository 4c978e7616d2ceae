#include "datasets/decode.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>

#include "datasets/archive_tree.h"
#include "datasets/nd_array.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;

uint32_t big_endian(std::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

/// What a look at a file's structure tells.
struct Outline {
  bool whole = false;
  std::optional<int64_t> width, height;
};

// libjpeg and libpng fill up what is missing from a truncated file, or write to stderr: so whole files are told from
// cut ones before they are decoded, and sizes are known before memory is taken for them.

/// Whole if an end marker follows the first scan. The segments before it are skipped, as they may hold a thumbnail.
Outline outline_of_jpeg(std::string_view bytes) {
  Outline outline;
  size_t at = 2;
  while (at + 4 <= bytes.size() && bytes[at] == '\xFF') {
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    const bool is_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (is_frame && at + 9 <= bytes.size()) {
      outline.height = big_endian(bytes, at + 5, 2);
      outline.width = big_endian(bytes, at + 7, 2);
    }
    at += 2 + big_endian(bytes, at + 2, 2);
    if (marker != 0xDA) continue;
    const size_t end = bytes.rfind("\xFF\xD9");
    outline.whole = end != std::string_view::npos && end >= at;
    return outline;
  }
  return outline;
}

/// Whole if every chunk is there with a right checksum, up to the end chunk.
Outline outline_of_png(std::string_view bytes) {
  Outline outline;
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = big_endian(bytes, at, 4);
    if (length > bytes.size() - at - 12) return outline;
    const auto checksum =
        crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + at + 4), static_cast<uInt>(length + 4));
    if (checksum != big_endian(bytes, at + 8 + length, 4)) return outline;
    const std::string_view type = bytes.substr(at + 4, 4);
    if (type == "IHDR" && length >= 8) {
      outline.width = big_endian(bytes, at + 8, 4);
      outline.height = big_endian(bytes, at + 12, 4);
    }
    if (type == "IEND") {
      outline.whole = true;
      return outline;
    }
    at += 12 + length;
  }
  return outline;
}

void require_sane(const Outline& outline, const std::string& name, const std::string& expected) {
  if (outline.width && outline.height) {
    const std::string size = std::to_string(*outline.width) + "x" + std::to_string(*outline.height);
    if (*outline.width == 0 || *outline.height == 0)
      throw DataError(name + " is an image of " + size + " pixels, expected at least 1x1");
    if (*outline.width > kLargestSide || *outline.height > kLargestSide ||
        *outline.width * *outline.height > kMostPixels)
      throw DataError(name + " is an image of " + size + " pixels, expected at most " + std::to_string(kLargestSide) +
                      " on a side and " + std::to_string(kMostPixels) + " in all");
  }
  if (!outline.whole) throw DataError(name + " is truncated or damaged: expected " + expected);
}

/// The one array in an .npz file, which is a zip of .npy files.
NdArray array_of_npz(std::string_view bytes, const std::string& name) {
  const std::string plain = name.size() > 2 && name.front() == '\'' ? name.substr(1, name.size() - 2) : name;
  const FileTreePtr archive = open_archive({nullptr, bytes}, plain);
  const auto files = archive->list("").files;
  if (files.size() != 1)
    throw DataError(name + " holds " + std::to_string(files.size()) + " arrays, expected one: an image");
  return parse_npy(archive->map(files.front()), archive->name(files.front()));
}

}  // namespace

int reduction_for(std::string_view bytes, int enough, double part) {
  if (!bytes.starts_with("\xFF\xD8")) return 1;
  const Outline outline = outline_of_jpeg(bytes);
  if (!outline.whole || !outline.width || !outline.height) return 1;
  const double side = part > 0 ? part : static_cast<double>(std::min(*outline.width, *outline.height));
  for (const int reduction : {8, 4, 2})
    if (side / reduction >= enough) return reduction;
  return 1;
}

cv::Mat decode_image(std::string_view bytes, const std::string& name, int channels, bool exif, int reduction) {
  if (bytes.empty()) throw DataError(name + " is empty, expected an image");
  if (bytes.starts_with("\x93NUMPY"))
    return with_channels(picture_of(parse_npy({nullptr, bytes}, name)), channels).clone();
  if (bytes.starts_with("PK\x03\x04")) return with_channels(picture_of(array_of_npz(bytes, name)), channels).clone();
  if (bytes.starts_with("\xFF\xD8")) require_sane(outline_of_jpeg(bytes), name, "a JPEG image up to its end marker");
  if (bytes.starts_with("\x89PNG\r\n\x1A\n"))
    require_sane(outline_of_png(bytes), name, "a PNG image with valid chunks up to IEND");
  if (bytes.size() > static_cast<size_t>(kMostPixels) * 4)
    throw DataError(name + " has " + std::to_string(bytes.size()) + " bytes, expected an image");

  int flags = cv::IMREAD_ANYCOLOR | cv::IMREAD_ANYDEPTH;  // grey as grey and all else as colour
  if (!exif) flags |= cv::IMREAD_IGNORE_ORIENTATION;
  if (bytes.starts_with("\xFF\xD8"))  // the bits alone: the named constants would also decide between grey and colour
    flags |= reduction == 8   ? cv::IMREAD_REDUCED_GRAYSCALE_8
             : reduction == 4 ? cv::IMREAD_REDUCED_GRAYSCALE_4
             : reduction == 2 ? cv::IMREAD_REDUCED_GRAYSCALE_2
                              : 0;
  cv::Mat picture;
  try {
    picture = cv::imdecode(cv::Mat(1, static_cast<int>(bytes.size()), CV_8U, const_cast<char*>(bytes.data())), flags);
  } catch (const cv::Exception&) {
    picture.release();  // too large, or a decoder's complaint over several lines
  }
  if (picture.empty()) throw DataError(name + " cannot be decoded as an image");
  if (picture.depth() == CV_16U) {  // OpenCV's own conversions round in one format and cut in another
    cv::bitwise_and(picture, cv::Scalar::all(0xFF00), picture);
    picture.convertTo(picture, CV_8U, 1.0 / 256);
  }
  if (picture.depth() != CV_8U)
    throw DataError(name + " has values that are not of 8 or 16 bits, expected such an image");
  if (picture.channels() == 3) cv::cvtColor(picture, picture, cv::COLOR_BGR2RGB);
  return with_channels(picture, channels);
}

}  // namespace fewatoms
