#include "datasets/file_source.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "datasets/decode.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

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
  set.load = [tree = std::move(tree), shared = std::move(shared), channels = options.channels, exif = options.exif,
              margin = options.crop_margin, enough = enough_pixels(options),
              inverted](int class_index, int image_index) {
    const FileClass& from = (*shared)[class_index];
    const FileImage& image = from.images[image_index];
    const FileBytes file = tree->read(image.path);
    const double part_side = image.crop ? std::min(image.crop->width, image.crop->height) : 0;
    const int reduction = enough > 0 ? reduction_for(file.view, enough, part_side) : 1;
    // Boxes were measured on stored pixels.
    cv::Mat picture = decode_image(file.view, tree->name(image.path), channels, exif && !image.crop, reduction);
    if (image.crop) {
      const Box& box = *image.crop;
      const double scale = 1.0 / reduction;
      const cv::Rect part =
          pixels_of({box.x * scale, box.y * scale, box.width * scale, box.height * scale}, margin, picture);
      if (part.empty())
        throw DataError(tree->name(image.path) + ": its box lies outside the picture of " +
                        std::to_string(picture.cols * reduction) + "x" + std::to_string(picture.rows * reduction) +
                        " pixels");
      picture = picture(part);
    }
    if (inverted) picture = 255 - picture;
    static constexpr cv::RotateFlags kTurns[] = {cv::ROTATE_90_COUNTERCLOCKWISE, cv::ROTATE_180,
                                                 cv::ROTATE_90_CLOCKWISE};
    if (from.quarter_turns != 0) cv::rotate(picture, picture, kTurns[from.quarter_turns - 1]);
    return picture;
  };
  return set;
}

std::shared_ptr<const ImageSource> file_source(SourceInfo info, FileTreePtr tree, std::vector<FileClass> classes,
                                               const DatasetOptions& options, bool inverted) {
  ImageSet set = file_images(std::move(tree), std::move(classes), options, inverted);
  return cached_source(std::move(info), set.classes, options, std::move(set.load));
}

}  // namespace fewatoms
