#include "datasets/rotations.h"

#include <opencv2/core.hpp>
#include <vector>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr int kTurns = 4;

class Rotated final : public ImageSource {
 public:
  explicit Rotated(std::shared_ptr<const ImageSource> source) : source_(std::move(source)) {
    if (source_->height() != source_->width())
      throw UsageError("classes by rotation need square images, " + source_->info().dataset + " has " + std::to_string(source_->width()) + "x" +
                       std::to_string(source_->height()));
    for (int c = 0; c < source_->classes(); ++c)
      for (const char* turn : {"/rot000", "/rot090", "/rot180", "/rot270"}) names_.push_back(source_->class_name(c) + turn);
  }

  const SourceInfo& info() const override { return source_->info(); }
  int classes() const override { return static_cast<int>(names_.size()); }
  const std::string& class_name(int c) const override { return names_.at(c); }
  int class_size(int c) const override { return source_->class_size(c / kTurns); }
  const std::string& class_group(int c) const override { return source_->class_group(c / kTurns); }
  std::string image_name(const ImageRef& ref) const override { return source_->image_name(unturned(ref)); }
  int height() const override { return source_->height(); }
  int width() const override { return source_->width(); }
  int channels() const override { return source_->channels(); }

  ImageView image(const ImageRef& ref) const override {
    const ImageView view = source_->image(unturned(ref));
    const int turn = ref.class_index % kTurns;
    if (turn == 0) return view;
    const cv::Mat there(view.height, view.width, CV_8UC(view.channels), const_cast<uint8_t*>(view.pixels));
    auto turned = std::make_shared<cv::Mat>();
    static constexpr cv::RotateFlags kFlags[] = {cv::ROTATE_90_COUNTERCLOCKWISE, cv::ROTATE_180, cv::ROTATE_90_CLOCKWISE};
    cv::rotate(there, *turned, kFlags[turn - 1]);
    return {turned->data, view.height, view.width, view.channels, turned};
  }

  void prefetch(std::span<const ImageRef> refs) const override {
    std::vector<ImageRef> inside;
    for (const ImageRef& ref : refs) inside.push_back(unturned(ref));
    source_->prefetch(inside);
  }

 private:
  static ImageRef unturned(ImageRef ref) {
    ref.class_index /= kTurns;
    return ref;
  }

  std::shared_ptr<const ImageSource> source_;
  std::vector<std::string> names_;
};

}  // namespace

std::shared_ptr<const ImageSource> rotated_classes(std::shared_ptr<const ImageSource> source) {
  return std::make_shared<Rotated>(std::move(source));
}

std::shared_ptr<const ImageSource> with_rotations(std::shared_ptr<const ImageSource> source, const std::string& rotations,
                                                  const std::string& split) {
  const bool turned = rotations == "all" || (rotations == "train" && split == "train");
  return turned ? rotated_classes(std::move(source)) : source;
}

}  // namespace fewatoms
