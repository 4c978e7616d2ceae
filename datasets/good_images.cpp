#include "datasets/good_images.h"

#include <tbb/parallel_for.h>

#include "datasets/cached_source.h"
#include "datasets/files.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

class GoodImages final : public DerivedSource {
 public:
  /// `good`: by class, the images that stay.
  GoodImages(std::shared_ptr<const ImageSource> from, std::vector<std::vector<int>> good, SourceInfo info)
      : DerivedSource(std::move(from)), good_(std::move(good)), info_(std::move(info)) {
    for (int c = 0; c < whole().classes(); ++c) {
      const auto groups = whole().image_groups(c);
      std::vector<int>& kept = groups_.emplace_back();
      if (groups.empty()) continue;
      for (const int i : good_[c]) kept.push_back(groups[i]);
    }
  }

  const SourceInfo& info() const override { return info_; }
  const std::string& class_name(int c) const override {
    return whole().class_name(c);
  }  // of classes without a good image too
  int class_size(int c) const override { return static_cast<int>(good_.at(c).size()); }
  const std::string& class_group(int c) const override { return whole().class_group(c); }
  std::span<const int> image_groups(int c) const override { return groups_.at(c); }

 private:
  ImageRef inner(ImageRef ref) const override {
    ref.image_index = good_.at(ref.class_index).at(ref.image_index);
    return ref;
  }

  const std::vector<std::vector<int>> good_;
  std::vector<std::vector<int>> groups_;
  const SourceInfo info_;
};

}  // namespace

std::shared_ptr<const ImageSource> without_bad_images(std::shared_ptr<const ImageSource> source) {
  std::vector<std::vector<std::string>> reasons;  // empty text: good
  for (int c = 0; c < source->classes(); ++c) reasons.emplace_back(source->class_size(c));
  tbb::parallel_for(0, source->classes(), [&](int c) {
    tbb::parallel_for(0, source->class_size(c), [&, c](int i) {
      try {
        source->image({c, i, 0});
      } catch (const DataError& error) {
        reasons[c][i] = error.what();
      }
    });
  });

  std::vector<std::vector<int>> good;
  SourceInfo info = source->info();
  std::string first;
  for (const auto& of_class : reasons) {
    good.emplace_back();
    for (size_t i = 0; i < of_class.size(); ++i) {
      if (of_class[i].empty()) {
        good.back().push_back(static_cast<int>(i));
      } else {
        if (info.skipped++ == 0) first = of_class[i];
      }
    }
  }
  if (info.skipped == 0) return source;
  info.notices.push_back("left out " + counted(info.skipped, "bad image") + " (--skip-bad): " + first +
                         (info.skipped > 1 ? "; 'dataset verify' lists them all" : ""));
  return std::make_shared<GoodImages>(std::move(source), std::move(good), std::move(info));
}

void require_good_files(const ImageSource& source) {
  const auto* stored = dynamic_cast<const StoredPictures*>(&source);
  if (stored == nullptr) return;
  std::vector<std::vector<std::string>> reasons;  // empty text: good
  for (int c = 0; c < source.classes(); ++c) reasons.emplace_back(source.class_size(c));
  tbb::parallel_for(0, source.classes(), [&](int c) {
    tbb::parallel_for(0, source.class_size(c), [&, c](int i) {
      try {
        stored->stored_header(c, i);
      } catch (const DataError& error) {
        reasons[c][i] = error.what();
      }
    });
  });
  int64_t bad = 0;
  std::string first;
  for (const auto& of_class : reasons)
    for (const std::string& reason : of_class)
      if (!reason.empty() && bad++ == 0) first = reason;
  if (bad > 0)
    throw DataError(first + " (" + counted(bad, "bad file") + " in split '" + source.info().split +
                    "': --skip-bad leaves such images out, 'dataset verify' lists them)");
}

}  // namespace fewatoms
