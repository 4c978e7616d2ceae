#include "datasets/decode.h"

#include <algorithm>
#include <cstdint>

#include "datasets/archive_tree.h"
#include "datasets/decoders.h"
#include "datasets/image_header.h"
#include "datasets/nd_array.h"
#include "datasets/remarks.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

/// The one array in an .npz file, which is a zip of .npy files.
NdArray array_of_npz(std::string_view bytes, const std::string& name) {
  const std::string plain = name.size() > 2 && name.front() == '\'' ? name.substr(1, name.size() - 2) : name;
  const FileTreePtr archive = open_archive({nullptr, bytes}, plain);
  const auto files = archive->list("").files;
  if (files.size() != 1)
    throw DataError(name + " holds " + std::to_string(files.size()) + " arrays, expected one: an image");
  return parse_npy(archive->map(files.front()), archive->name(files.front()));
}

StoredPicture decoded(std::string_view bytes, const std::string& format, const std::string& name, int reduction) {
  if (format == "JPEG") return decode_jpeg(bytes, name, reduction);
  if (format == "PNG") return decode_png(bytes, name);
  if (format == "GIF") return decode_gif(bytes, name);
  if (format == "TIFF") return decode_tiff(bytes, name);
  if (format == "HEIC" || format == "AVIF") return decode_heif(bytes, name);
  return decode_by_opencv(bytes, name);
}

}  // namespace

void cannot_decode(const std::string& name, const std::string& reason) {
  throw DataError(name + " cannot be decoded as an image: " + (reason.empty() ? "no reason given" : reason));
}

int reduction_for(std::string_view bytes, int enough, double part) {
  if (!bytes.starts_with("\xFF\xD8")) return 1;
  double side = part;
  if (part <= 0) {
    try {
      const ImageHeader header = image_header(bytes, "a picture");
      side = static_cast<double>(std::min(header.width, header.height));
    } catch (const DataError&) {
      return 1;  // decoding says what is wrong
    }
  }
  for (const int reduction : {8, 4, 2})
    if (side / reduction >= enough) return reduction;
  return 1;
}

cv::Mat decode_image(std::string_view bytes, const std::string& name, const PixelRules& rules, int reduction) {
  const cv::Mat picture = decode_unturned(bytes, name, rules, reduction);
  const int orientation = image_header(bytes, name).orientation;
  if (orientation == 1) return picture;
  if (rules.exif) return turned_upright(picture, orientation);
  remark(RemarkKind::kTagLeft, name,
         "has an orientation tag (" + std::to_string(orientation) + ") that is not followed: exif is false");
  return picture;
}

cv::Mat decode_unturned(std::string_view bytes, const std::string& name, const PixelRules& rules, int reduction) {
  const ImageHeader header = image_header(bytes, name, /*checksums=*/true);
  if (header.format == "npy" || header.format == "npz") {
    const NdArray array = header.format == "npy" ? parse_npy({nullptr, bytes}, name) : array_of_npz(bytes, name);
    return plain_pixels(picture_of(array), rules, name).clone();  // the bytes may go
  }
  const StoredPicture stored = decoded(bytes, header.format, name, reduction);
  if (!stored.damage.empty()) {
    if (rules.strict) throw DataError(name + " is damaged: " + stored.damage);
    remark(RemarkKind::kDamaged, name,
           "is damaged (" + stored.damage +
               ") and used as far as it goes: 'dataset verify' lists all such files, --skip-bad leaves them out");
  }
  return plain_pixels(stored.pixels, rules, name, stored.premultiplied);
}

}  // namespace fewatoms
