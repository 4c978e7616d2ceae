#include "datasets/image_header.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>

#include "datasets/files.h"
#include "datasets/nd_array.h"
#include "episodes/errors.h"

namespace fewatoms {

const char* const kImageKinds = "JPEG, PNG, GIF, TIFF, BMP, WebP, HEIC, AVIF, JPEG 2000, PNM, .npy or .npz";

namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;

uint32_t big_endian(std::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

uint32_t little_endian(std::string_view bytes, size_t at, int count) {
  uint32_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

/// A number of the first directory of a TIFF file, or of the Exif block of another, which has the same structure.
std::optional<uint32_t> tiff_number(std::string_view tiff, uint32_t tag) {
  const bool little = tiff.starts_with(std::string_view("II*\0", 4));
  if (tiff.size() < 8 || (!little && !tiff.starts_with(std::string_view("MM\0*", 4)))) return std::nullopt;
  const auto number = [&](size_t at, int count) {
    return little ? little_endian(tiff, at, count) : big_endian(tiff, at, count);
  };
  const size_t directory = number(4, 4);
  if (directory > tiff.size() - 2) return std::nullopt;
  const size_t entries = number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return std::nullopt;
    if (number(entry, 2) != tag) continue;
    const uint32_t type = number(entry + 2, 2);  // 3: 16 bits, 4: 32 bits
    if (number(entry + 4, 4) != 1 || (type != 3 && type != 4)) return std::nullopt;
    return number(entry + 8, type == 3 ? 2 : 4);
  }
  return std::nullopt;
}

int orientation_of(std::string_view exif) {
  if (exif.starts_with(std::string_view("Exif\0\0", 6))) exif.remove_prefix(6);
  const uint32_t given = tiff_number(exif, 0x112).value_or(1);
  return given >= 1 && given <= 8 ? static_cast<int>(given) : 1;
}

// libjpeg and libpng fill up what is missing from a truncated file: so whole files are told from cut ones before they
// are decoded, and sizes are known before memory is taken for them.

/// Whole if an end marker follows the first scan. The segments before it are skipped, as they may hold a thumbnail.
bool look_at_jpeg(std::string_view bytes, ImageHeader& header) {
  size_t at = 2;
  while (at + 4 <= bytes.size() && bytes[at] == '\xFF') {
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker == 0xFF) {  // a fill byte
      ++at;
      continue;
    }
    const bool is_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (is_frame && at + 9 <= bytes.size()) {
      header.height = big_endian(bytes, at + 5, 2);
      header.width = big_endian(bytes, at + 7, 2);
    }
    const size_t length = big_endian(bytes, at + 2, 2);
    if (marker == 0xE1 && length > 2 && at + 2 + length <= bytes.size() && header.orientation == 1)
      header.orientation = orientation_of(bytes.substr(at + 4, length - 2));
    at += 2 + length;
    if (marker != 0xDA) continue;
    const size_t end = bytes.rfind("\xFF\xD9");
    return end != std::string_view::npos && end >= at;
  }
  return false;
}

/// Whole if every chunk is there (with a right checksum, if those are asked for), up to the end chunk.
bool look_at_png(std::string_view bytes, bool checksums, ImageHeader& header) {
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = big_endian(bytes, at, 4);
    if (length > bytes.size() - at - 12) return false;
    if (checksums && crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + at + 4), static_cast<uInt>(length + 4)) !=
                         big_endian(bytes, at + 8 + length, 4))
      return false;
    const std::string_view type = bytes.substr(at + 4, 4), content = bytes.substr(at + 8, length);
    if (type == "IHDR" && length >= 8) {
      header.width = big_endian(content, 0, 4);
      header.height = big_endian(content, 4, 4);
    }
    if (type == "eXIf") header.orientation = orientation_of(content);
    if (type == "IEND") return true;
    at += 12 + length;
  }
  return false;
}

void look_at_webp(std::string_view bytes, ImageHeader& header) {
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const std::string_view type = bytes.substr(at, 4);
    const size_t length = little_endian(bytes, at + 4, 4);
    const std::string_view content = bytes.substr(at + 8, length);
    if (type == "VP8X" && content.size() >= 10) {
      header.width = little_endian(content, 4, 3) + 1;
      header.height = little_endian(content, 7, 3) + 1;
    } else if (type == "VP8 " && content.size() >= 10 && header.width == 0) {
      header.width = little_endian(content, 6, 2) & 0x3FFF;
      header.height = little_endian(content, 8, 2) & 0x3FFF;
    } else if (type == "VP8L" && content.size() >= 5 && header.width == 0) {
      header.width = (little_endian(content, 1, 4) & 0x3FFF) + 1;
      header.height = (little_endian(content, 1, 4) >> 14 & 0x3FFF) + 1;
    } else if (type == "EXIF") {
      header.orientation = orientation_of(content);
    }
    at += 8 + length + length % 2;
  }
}

/// Of an ISO base media file, the kind of image that its brands name.
std::string heif_kind(std::string_view bytes) {
  if (bytes.size() < 16 || bytes.substr(4, 4) != "ftyp") return "";
  const size_t end = std::min<size_t>(bytes.size(), std::max(16U, big_endian(bytes, 0, 4)));
  std::string kind;
  for (size_t at = 8; at + 4 <= end; at += 4) {
    const std::string_view brand = bytes.substr(at, 4);
    if (brand == "avif" || brand == "avis") return "AVIF";
    static constexpr std::array<std::string_view, 8> kHeif{"heic", "heix", "heim", "heis",
                                                           "hevc", "hevx", "mif1", "msf1"};
    if (std::find(kHeif.begin(), kHeif.end(), brand) != kHeif.end()) kind = "HEIC";
  }
  return kind;
}

bool is_pnm(std::string_view bytes) {
  return bytes.size() > 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7' &&
         (bytes[2] == '\n' || bytes[2] == '\r' || bytes[2] == ' ' || bytes[2] == '\t');
}

}  // namespace

void require_possible_size(int64_t width, int64_t height, const std::string& name) {
  const std::string size = std::to_string(width) + "x" + std::to_string(height);
  if (width < 1 || height < 1) throw DataError(name + " is an image of " + size + " pixels, expected at least 1x1");
  if (width > kLargestSide || height > kLargestSide || width * height > kMostPixels)
    throw DataError(name + " is an image of " + size + " pixels, expected at most " + std::to_string(kLargestSide) +
                    " on a side and " + std::to_string(kMostPixels) + " in all");
}

ImageHeader image_header(std::string_view bytes, const std::string& name, bool checksums) {
  using std::string_view_literals::operator""sv;
  if (bytes.empty()) throw DataError(name + " is empty, expected an image");
  if (bytes.size() > static_cast<size_t>(kMostPixels) * 4)
    throw DataError(name + " has " + std::to_string(bytes.size()) + " bytes, expected an image");
  ImageHeader header;
  bool whole = true;
  std::string_view expected;
  if (bytes.starts_with("\x93NUMPY")) {
    header.format = "npy";
  } else if (bytes.starts_with("PK\x03\x04")) {
    header.format = "npz";
  } else if (bytes.starts_with("\xFF\xD8")) {
    header.format = "JPEG";
    whole = look_at_jpeg(bytes, header);
    expected = "a JPEG image up to its end marker";
  } else if (bytes.starts_with("\x89PNG\r\n\x1A\n")) {
    header.format = "PNG";
    whole = look_at_png(bytes, checksums, header);
    expected = "a PNG image with valid chunks up to IEND";
  } else if (bytes.starts_with("GIF8")) {
    header.format = "GIF";
  } else if (bytes.starts_with("II*\0"sv) || bytes.starts_with("MM\0*"sv) || bytes.starts_with("II+\0"sv) ||
             bytes.starts_with("MM\0+"sv)) {
    header.format = "TIFF";
    header.width = tiff_number(bytes, 256).value_or(0);
    header.height = tiff_number(bytes, 257).value_or(0);
    header.orientation = orientation_of(bytes);
  } else if (bytes.starts_with("BM") && bytes.size() >= 26) {
    header.format = "BMP";
    const bool old = little_endian(bytes, 14, 4) == 12;  // the header of OS/2 has sides of 16 bits
    header.width = old ? little_endian(bytes, 18, 2) : little_endian(bytes, 18, 4);
    header.height =
        old ? little_endian(bytes, 20, 2) : std::abs(int64_t{static_cast<int32_t>(little_endian(bytes, 22, 4))});
  } else if (bytes.starts_with("RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") {
    header.format = "WebP";
    look_at_webp(bytes, header);
  } else if (bytes.starts_with("\0\0\0\x0CjP  \r\n\x87\n"sv) || bytes.starts_with("\xFF\x4F\xFF\x51")) {
    header.format = "JPEG 2000";
  } else if (is_pnm(bytes)) {
    header.format = "PNM";
  } else {
    header.format = heif_kind(bytes);
  }
  if (header.format.empty()) require_not_foreign(bytes, name, std::string("an image (") + kImageKinds + ")");
  if (header.width != 0 || header.height != 0) require_possible_size(header.width, header.height, name);
  if (!whole) throw DataError(name + " is truncated or damaged: expected " + std::string(expected));
  return header;
}

}  // namespace fewatoms
