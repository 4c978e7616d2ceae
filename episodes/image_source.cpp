#include "episodes/image_source.h"

#include "episodes/errors.h"

namespace fewatoms {
namespace {

class Subset final : public DerivedSource {
 public:
  Subset(std::shared_ptr<const ImageSource> from, std::vector<int> kept, std::string split)
      : DerivedSource(std::move(from)), kept_(std::move(kept)), info_(whole().info()) {
    info_.split = std::move(split);
    for (const int c : kept_)
      if (c < 0 || c >= whole().classes())
        throw UsageError("class index " + std::to_string(c) + " is outside 0.." +
                         std::to_string(whole().classes() - 1));
  }

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(kept_.size()); }

 private:
  ImageRef inner(ImageRef ref) const override {
    ref.class_index = kept_.at(ref.class_index);
    return ref;
  }

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

void DerivedSource::prefetch(std::span<const ImageRef> refs) const {
  std::vector<ImageRef> inside;
  for (const ImageRef& ref : refs) inside.push_back(inner(ref));
  whole_->prefetch(inside);
}

std::shared_ptr<const ImageSource> subset_of_classes(std::shared_ptr<const ImageSource> whole, std::vector<int> kept,
                                                     std::string split) {
  return std::make_shared<Subset>(std::move(whole), std::move(kept), std::move(split));
}

}  // namespace fewatoms
