#include "datasets/min_images.h"

#include <utility>
#include <vector>

#include "datasets/cached_source.h"
#include "datasets/files.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

/// Some of the classes, with their stored pictures.
class LargeClasses final : public DerivedSource, public StoredPictures {
 public:
  LargeClasses(std::shared_ptr<const ImageSource> from, std::vector<int> kept, SourceInfo info)
      : DerivedSource(std::move(from)), kept_(std::move(kept)), info_(std::move(info)) {}

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(kept_.size()); }

  cv::Mat stored_picture(int class_index, int image_index) const override {
    if (const auto* stored = dynamic_cast<const StoredPictures*>(&whole()))
      return stored->stored_picture(kept_.at(class_index), image_index);
    const ImageView view = image({class_index, image_index, 0});
    return cv::Mat(view.height, view.width, CV_8UC(view.channels), const_cast<uint8_t*>(view.pixels)).clone();
  }

 private:
  ImageRef inner(ImageRef ref) const override {
    ref.class_index = kept_.at(ref.class_index);
    return ref;
  }

  const std::vector<int> kept_;
  const SourceInfo info_;
};

}  // namespace

std::shared_ptr<const ImageSource> with_min_images(std::shared_ptr<const ImageSource> source, int min_images) {
  std::vector<int> kept;
  int first = -1;  // class that is left out
  for (int c = 0; c < source->classes(); ++c) {
    if (source->class_size(c) >= min_images)
      kept.push_back(c);
    else if (first < 0)
      first = c;
  }
  if (first < 0) return source;
  SourceInfo info = source->info();
  const std::string example = "'" + source->class_name(first) + "' has " + std::to_string(source->class_size(first));
  if (kept.empty())
    throw UsageError("no class of " + info.dataset + " split '" + info.split + "' has " + counted(min_images, "image") +
                     " (--min-images): " + example);
  const auto left_out = source->classes() - static_cast<int64_t>(kept.size());
  info.notices.push_back("left out " + std::to_string(left_out) + " of " +
                         counted(source->classes(), "class", "classes") + ", with fewer than " +
                         counted(min_images, "image") + " (--min-images): " + example);
  return std::make_shared<LargeClasses>(std::move(source), std::move(kept), std::move(info));
}

}  // namespace fewatoms
