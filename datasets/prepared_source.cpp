#include "datasets/prepared_source.h"

#include <opencv2/imgproc.hpp>
#include <set>
#include <utility>

#include "datasets/cached_source.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr int kLongestSide = 32768;  // pixels

std::string sizes(int width, int height, int channels) {
  return std::to_string(width) + "x" + std::to_string(height) + "x" + std::to_string(channels);
}

cv::Mat picture_of(const ImageSource& raw, int class_index, int image_index, int channels) {
  const ImageView view = raw.image({class_index, image_index, 0});
  if (view.pixels == nullptr || view.width != raw.width() || view.height != raw.height() ||
      view.channels != raw.channels())
    throw DataError("image '" + raw.image_name({class_index, image_index, 0}) + "' is " +
                    (view.pixels == nullptr ? "without pixels" : sizes(view.width, view.height, view.channels)) +
                    ", expected " + sizes(raw.width(), raw.height(), raw.channels()) +
                    " as the source says of all its images");
  // The copy lets go of what the source keeps.
  const cv::Mat there(view.height, view.width, CV_8UC(view.channels), const_cast<uint8_t*>(view.pixels));
  if (view.channels == channels) return there.clone();
  cv::Mat converted;
  cv::cvtColor(there, converted, channels == 1 ? cv::COLOR_RGB2GRAY : cv::COLOR_GRAY2RGB);
  return converted;
}

}  // namespace

std::shared_ptr<const ImageSource> prepared_source(std::shared_ptr<const ImageSource> raw,
                                                   const DatasetOptions& options) {
  const SourceInfo& info = raw->info();
  const std::string where = info.dataset + " split '" + info.split + "'";
  if (raw->width() < 1 || raw->height() < 1 || raw->width() > kLongestSide || raw->height() > kLongestSide ||
      (raw->channels() != 1 && raw->channels() != 3))
    throw DataError(where + " has images of " + sizes(raw->width(), raw->height(), raw->channels()) +
                    ", expected 1 to " + std::to_string(kLongestSide) + " pixels on a side and 1 or 3 channels");
  std::vector<ClassSize> classes;
  std::set<std::string> names;
  for (int c = 0; c < raw->classes(); ++c) {
    const auto groups = raw->image_groups(c);
    classes.push_back({.name = raw->class_name(c),
                       .images = raw->class_size(c),
                       .group = raw->class_group(c),
                       .image_name =
                           [raw, c](int image) {
                             return raw->image_name({c, image, 0});
                           },
                       .image_groups = {groups.begin(), groups.end()}});
    if (!groups.empty() && groups.size() != static_cast<size_t>(raw->class_size(c)))
      throw DataError("class '" + raw->class_name(c) + "' of " + where + " has " + std::to_string(groups.size()) +
                      " numbers of groups, expected one for each of its " + std::to_string(raw->class_size(c)) +
                      " images");
    if (!names.insert(classes.back().name).second)
      throw DataError(where + " has two classes named '" + classes.back().name + "'");
    if (classes.back().images < 1)
      throw DataError("class '" + classes.back().name + "' of " + where + " is empty, expected images");
  }
  if (classes.empty()) throw DataError(where + " has no classes, expected some");
  return cached_source(info, classes, options,
                       [raw = std::move(raw), channels = options.channels](int class_index, int image_index) {
                         return picture_of(*raw, class_index, image_index, channels);
                       });
}

}  // namespace fewatoms
