#include "datasets/rotations.h"

#include <opencv2/core.hpp>
#include <vector>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr int kTurns = 4;

class Rotated final : public DerivedSource {
 public:
  explicit Rotated(std::shared_ptr<const ImageSource> from) : DerivedSource(std::move(from)) {
    if (height() != width())
      throw UsageError("classes by rotation need square images, " + info().dataset + " has " + std::to_string(width()) +
                       "x" + std::to_string(height()));
    for (int c = 0; c < whole().classes(); ++c)
      for (const char* turn : {"/rot000", "/rot090", "/rot180", "/rot270"})
        names_.push_back(whole().class_name(c) + turn);
  }

  int classes() const override { return static_cast<int>(names_.size()); }
  const std::string& class_name(int c) const override { return names_.at(c); }

  ImageView image(const ImageRef& ref) const override {
    ImageView view = DerivedSource::image(ref);
    const int turn = ref.class_index % kTurns;
    if (turn == 0) return view;
    const cv::Mat there(view.height, view.width, CV_8UC(view.channels), const_cast<uint8_t*>(view.pixels));
    auto turned = std::make_shared<cv::Mat>();
    static constexpr cv::RotateFlags kFlags[] = {cv::ROTATE_90_COUNTERCLOCKWISE, cv::ROTATE_180,
                                                 cv::ROTATE_90_CLOCKWISE};
    cv::rotate(there, *turned, kFlags[turn - 1]);
    return {turned->data, view.height, view.width, view.channels, turned};
  }

 private:
  ImageRef inner(ImageRef ref) const override {
    ref.class_index /= kTurns;
    return ref;
  }

  std::vector<std::string> names_;
};

}  // namespace

std::shared_ptr<const ImageSource> rotated_classes(std::shared_ptr<const ImageSource> source) {
  return std::make_shared<Rotated>(std::move(source));
}

bool turns_classes(const std::string& rotations, const std::string& split) {
  return rotations == "all" || (rotations == "train" && split == "train");
}

std::string name_before_turning(const std::string& name) { return name.substr(0, name.rfind("/rot")); }

std::shared_ptr<const ImageSource> with_rotations(std::shared_ptr<const ImageSource> source,
                                                  const std::string& rotations, const std::string& split) {
  return turns_classes(rotations, split) ? rotated_classes(std::move(source)) : source;
}

}  // namespace fewatoms
