#include "episodes/image_source.h"

#include "episodes/errors.h"

namespace fewatoms {
namespace {

class Subset final : public ImageSource {
 public:
  Subset(std::shared_ptr<const ImageSource> whole, std::vector<int> kept, std::string split)
      : whole_(std::move(whole)), kept_(std::move(kept)), info_(whole_->info()) {
    info_.split = std::move(split);
    for (const int c : kept_)
      if (c < 0 || c >= whole_->classes())
        throw UsageError("class index " + std::to_string(c) + " is outside 0.." + std::to_string(whole_->classes() - 1));
  }

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(kept_.size()); }
  const std::string& class_name(int c) const override { return whole_->class_name(kept_.at(c)); }
  int class_size(int c) const override { return whole_->class_size(kept_.at(c)); }
  const std::string& class_group(int c) const override { return whole_->class_group(kept_.at(c)); }
  std::string image_name(const ImageRef& ref) const override { return whole_->image_name(inner(ref)); }
  std::span<const int> image_groups(int c) const override { return whole_->image_groups(kept_.at(c)); }
  int height() const override { return whole_->height(); }
  int width() const override { return whole_->width(); }
  int channels() const override { return whole_->channels(); }
  ImageView image(const ImageRef& ref) const override { return whole_->image(inner(ref)); }

  void prefetch(std::span<const ImageRef> refs) const override {
    std::vector<ImageRef> inside;
    for (const ImageRef& ref : refs) inside.push_back(inner(ref));
    whole_->prefetch(inside);
  }

 private:
  ImageRef inner(ImageRef ref) const {
    ref.class_index = kept_.at(ref.class_index);
    return ref;
  }

  std::shared_ptr<const ImageSource> whole_;
  std::vector<int> kept_;
  SourceInfo info_;
};

}  // namespace

const std::string& ImageSource::class_group(int) const {
  static const std::string none;
  return none;
}

std::string ImageSource::image_name(const ImageRef& ref) const {
  return class_name(ref.class_index) + "/" + std::to_string(ref.image_index);
}
std::span<const int> ImageSource::image_groups(int) const { return {}; }

std::shared_ptr<const ImageSource> subset_of_classes(std::shared_ptr<const ImageSource> whole, std::vector<int> kept,
                                                     std::string split) {
  return std::make_shared<Subset>(std::move(whole), std::move(kept), std::move(split));
}

}  // namespace fewatoms
