#include "datasets/file_source.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "datasets/decode.h"
#include "datasets/image_header.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr double kOverlap = 1;  // pixels that a box may reach beyond its picture, by rounding

/// The box in pixels of a picture of this size. Throws DataError if it leaves the picture and may not.
Box in_pixels(const FileImage& image, const std::string& name, int64_t width, int64_t height) {
  Box box = *image.crop;
  if (box.relative) {
    const auto w = static_cast<double>(width), h = static_cast<double>(height);
    box = {box.x * w, box.y * h, box.width * w, box.height * h};
  }
  const bool outside = box.x >= static_cast<double>(width) || box.y >= static_cast<double>(height) ||
                       box.x + box.width <= 0 || box.y + box.height <= 0;
  const bool leaves = box.x < -kOverlap || box.y < -kOverlap ||
                      box.x + box.width > static_cast<double>(width) + kOverlap ||
                      box.y + box.height > static_cast<double>(height) + kOverlap;
  if (outside || (leaves && !image.crop_place.empty()))
    throw DataError((image.crop_place.empty() ? name + ": its box" : image.crop_place + " has a box that") +
                    (outside ? " lies outside" : " reaches out of") + " the picture of " + std::to_string(width) + "x" +
                    std::to_string(height) + " pixels" +
                    (image.crop_place.empty() ? std::string() : ", " + name + ": expected x, y, width, height in it"));
  return box;
}

/// Whole pixels nearest to the edges of the box, grown by `margin` of its sides on each side, clipped to the picture.
cv::Rect pixels_of(const Box& box, double margin, const cv::Mat& picture) {
  const auto clipped = [](double edge, int limit) {
    return static_cast<int>(std::lround(std::clamp(edge, 0.0, static_cast<double>(limit))));
  };
  const double dx = margin * box.width, dy = margin * box.height;
  const int left = clipped(box.x - dx, picture.cols), right = clipped(box.x + box.width + dx, picture.cols);
  const int top = clipped(box.y - dy, picture.rows), bottom = clipped(box.y + box.height + dy, picture.rows);
  return {left, top, right - left, bottom - top};
}

/// A part of a picture, cut before it is turned, as boxes are measured on stored pixels.
cv::Mat cut_picture(const FileBytes& file, const FileImage& image, const std::string& name, const PixelRules& rules,
                    double margin, int enough) {
  const ImageHeader header = image_header(file.view, name);
  const double w = static_cast<double>(header.width), h = static_cast<double>(header.height);
  const Box& given = *image.crop;
  const double side =
      given.relative ? std::min(given.width * w, given.height * h) : std::min(given.width, given.height);
  const int reduction = enough > 0 && side > 0 ? reduction_for(file.view, enough, side) : 1;
  const cv::Mat whole = decode_unturned(file.view, name, rules, reduction);
  const Box box = header.width > 0 && header.height > 0
                      ? in_pixels(image, name, header.width, header.height)
                      : in_pixels(image, name, int64_t{whole.cols} * reduction, int64_t{whole.rows} * reduction);
  const double scale = 1.0 / reduction;
  const cv::Rect part = pixels_of({box.x * scale, box.y * scale, box.width * scale, box.height * scale}, margin, whole);
  if (part.empty()) throw DataError(name + ": its box has no whole pixel of the picture");
  return rules.exif ? turned_upright(whole(part), header.orientation) : whole(part);
}

}  // namespace

ImageSet file_images(FileTreePtr tree, std::vector<FileClass> classes, const DatasetOptions& options, bool inverted) {
  ImageSet set;
  // Shared, since loaders are copied.
  auto shared = std::make_shared<const std::vector<FileClass>>(std::move(classes));
  for (size_t c = 0; c < shared->size(); ++c) {
    const FileClass& from = (*shared)[c];
    set.classes.push_back({from.name, static_cast<int>(from.images.size()), from.group,
                           [shared, c](int image_index) { return (*shared)[c].images[image_index].path; }});
    for (const FileImage& image : from.images)
      if (image.group >= 0) set.classes.back().image_groups.push_back(image.group);
  }
  const auto look = [tree, shared](int class_index, int image_index) {
    const FileImage& image = (*shared)[class_index].images[image_index];
    const std::string name = tree->name(image.path);
    const FileBytes file = tree->map(image.path);
    const ImageHeader header = image_header(file.view, name);
    if (header.format.empty()) decode_image(file.view, name, {});  // a kind that only its decoder knows
    if (image.crop && header.width > 0 && header.height > 0) in_pixels(image, name, header.width, header.height);
    return header;
  };
  set.load = {[tree, shared, rules = pixel_rules(options), margin = options.crop_margin,
               enough = enough_pixels(options), inverted](int class_index, int image_index) {
                const FileClass& from = (*shared)[class_index];
                const FileImage& image = from.images[image_index];
                const FileBytes file = tree->read(image.path);
                const std::string name = tree->name(image.path);
                cv::Mat picture = image.crop ? cut_picture(file, image, name, rules, margin, enough)
                                             : decode_image(file.view, name, rules,
                                                            enough > 0 ? reduction_for(file.view, enough) : 1);
                if (inverted) picture = 255 - picture;
                static constexpr cv::RotateFlags kTurns[] = {cv::ROTATE_90_COUNTERCLOCKWISE, cv::ROTATE_180,
                                                             cv::ROTATE_90_CLOCKWISE};
                if (from.quarter_turns != 0) cv::rotate(picture, picture, kTurns[from.quarter_turns - 1]);
                return picture;
              },
              look};
  return set;
}

std::shared_ptr<const ImageSource> file_source(SourceInfo info, FileTreePtr tree, std::vector<FileClass> classes,
                                               const DatasetOptions& options, bool inverted) {
  ImageSet set = file_images(std::move(tree), std::move(classes), options, inverted);
  return cached_source(std::move(info), set.classes, options, std::move(set.load));
}

}  // namespace fewatoms
