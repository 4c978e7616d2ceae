#include "datasets/cached_source.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <deque>
#include <mutex>
#include <stdexcept>

#include "datasets/augment.h"
#include "datasets/decode.h"
#include "datasets/labels.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

using SharedPicture = std::shared_ptr<const cv::Mat>;

/// Pictures by number: those that stay, and a queue of those that pass through.
class PictureCache {
 public:
  PictureCache(size_t pictures, int64_t budget_bytes)
      : slots_(pictures), passing_budget_(budget_bytes / 8), staying_budget_(budget_bytes - passing_budget_) {}

  SharedPicture find(size_t number) const {
    const std::lock_guard lock(mutex_of(number));
    return slots_[number];
  }

  void insert(size_t number, const SharedPicture& picture) {
    const auto bytes = static_cast<int64_t>(picture->total() * picture->elemSize());
    {
      const std::lock_guard lock(mutex_of(number));
      if (slots_[number]) return;  // another thread was first
      slots_[number] = picture;
      if (staying_.fetch_add(bytes) + bytes <= staying_budget_) return;
      staying_ -= bytes;
      full_ = true;
    }
    for (const size_t leaving : pass(number, bytes)) {
      const std::lock_guard lock(mutex_of(leaving));
      slots_[leaving].reset();
    }
  }

  /// Whether so many bytes of pictures would still be there when all of them are in.
  bool has_room(int64_t bytes) const { return passing_budget_ > 0 && (!full_ || bytes <= passing_budget_); }

 private:
  std::mutex& mutex_of(size_t number) const { return mutexes_[number % mutexes_.size()]; }

  /// Puts a picture at the end of the queue and returns what must leave for it.
  std::vector<size_t> pass(size_t number, int64_t bytes) {
    const std::lock_guard lock(queue_mutex_);
    queue_.emplace_back(number, bytes);
    passing_ += bytes;
    std::vector<size_t> leaving;
    while (passing_ > passing_budget_) {
      leaving.push_back(queue_.front().first);
      passing_ -= queue_.front().second;
      queue_.pop_front();
    }
    return leaving;
  }

  std::vector<SharedPicture> slots_;
  mutable std::array<std::mutex, 64> mutexes_;  // a slot belongs to one of them
  const int64_t passing_budget_, staying_budget_;
  std::atomic<int64_t> staying_{0};
  std::atomic<bool> full_{false};
  std::mutex queue_mutex_;
  std::deque<std::pair<size_t, int64_t>> queue_;  // number and bytes, oldest first
  int64_t passing_ = 0;
};

class CachedSource final : public ImageSource, public StoredPictures {
 public:
  CachedSource(SourceInfo info, const std::vector<ClassSize>& classes, const DatasetOptions& options,
               PictureLoader load)
      : info_(std::move(info)),
        size_(options.image_size),
        channels_(options.channels),
        augmented_(options.augment != "none"),
        classes_(with_utf8_names(classes)),
        starts_(starts_of(classes)),
        cache_(starts_.back(), options.cache_mb << 20),
        load_(std::move(load)) {
    info_.form = as_line(info_.form);
    for (std::string& notice : info_.notices) notice = as_line(notice);
    std::vector<std::string> names;
    for (const ClassSize& c : classes_) names.push_back(c.name);
    for (std::string& notice : twin_notices(names)) info_.notices.push_back(std::move(notice));
  }

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(classes_.size()); }
  const std::string& class_name(int c) const override { return classes_.at(c).name; }
  int class_size(int c) const override { return classes_.at(c).images; }
  const std::string& class_group(int c) const override { return classes_.at(c).group; }
  std::string image_name(const ImageRef& ref) const override {
    const auto& name = classes_.at(ref.class_index).image_name;
    return name ? as_line(name(ref.image_index)) : ImageSource::image_name(ref);
  }
  std::span<const int> image_groups(int c) const override { return classes_.at(c).image_groups; }
  int height() const override { return size_; }
  int width() const override { return size_; }
  int channels() const override { return channels_; }

  ImageView image(const ImageRef& ref) const override {
    const SharedPicture kept = picture(ref);
    if (!augmented_) return view(kept);
    return view(std::make_shared<const cv::Mat>(ref.augment_key != 0 ? crop_jitter_flip(*kept, size_, ref.augment_key)
                                                                     : resize_centre_crop(*kept, size_)));
  }

  cv::Mat stored_picture(int class_index, int image_index) const override { return load_(class_index, image_index); }
  ImageHeader stored_header(int class_index, int image_index) const override {
    return load_.header(class_index, image_index);
  }

  void prefetch(std::span<const ImageRef> refs) const override {
    const auto bytes = static_cast<int64_t>(refs.size()) * size_ * size_ * channels_ * (augmented_ ? 4 : 1);
    if (!cache_.has_room(bytes)) return;  // what cannot be kept would be decoded twice
    tbb::parallel_for(size_t{0}, refs.size(), [&](size_t i) { picture(refs[i]); });
  }

 private:
  /// What comes from HDF5 files, pickles and plugins may be anything.
  static std::vector<ClassSize> with_utf8_names(std::vector<ClassSize> classes) {
    for (ClassSize& c : classes) {
      c.name = as_line(c.name);
      c.group = as_line(c.group);
    }
    return classes;
  }

  static std::vector<size_t> starts_of(const std::vector<ClassSize>& classes) {
    std::vector<size_t> starts{0};
    for (const ClassSize& c : classes) starts.push_back(starts.back() + static_cast<size_t>(c.images));
    return starts;
  }

  static ImageView view(const SharedPicture& picture) {
    return {picture->data, picture->rows, picture->cols, picture->channels(), picture};
  }

  /// What the cache keeps of an image, from the cache or made now.
  SharedPicture picture(const ImageRef& ref) const {
    if (ref.image_index < 0 || ref.image_index >= class_size(ref.class_index))
      throw std::out_of_range("image " + std::to_string(ref.image_index) + " of class '" + class_name(ref.class_index) +
                              "', which has " + std::to_string(class_size(ref.class_index)));
    const size_t number = starts_[ref.class_index] + static_cast<size_t>(ref.image_index);
    if (auto kept = cache_.find(number)) return kept;
    auto made = std::make_shared<const cv::Mat>(prepared(load_(ref.class_index, ref.image_index)));
    cache_.insert(number, made);
    return made;
  }

  cv::Mat prepared(const cv::Mat& loaded) const {
    cv::Mat result = loaded;
    const int shorter = std::min(loaded.cols, loaded.rows);
    if (!augmented_) {
      result = resized(loaded, size_, size_);
    } else if (shorter > 2 * size_) {
      const double scale = 2.0 * size_ / shorter;
      result = resized(loaded, static_cast<int>(std::lround(loaded.cols * scale)),
                       static_cast<int>(std::lround(loaded.rows * scale)));
    }
    // A crop still points into its whole picture: rows with gaps, and memory the budget does not see.
    return result.isContinuous() && !result.isSubmatrix() ? result : result.clone();
  }

  SourceInfo info_;
  const int size_;
  const int channels_;
  const bool augmented_;
  const std::vector<ClassSize> classes_;
  const std::vector<size_t> starts_;  // number of each class's first image, and the total
  mutable PictureCache cache_;
  const PictureLoader load_;
};

}  // namespace

int enough_pixels(const DatasetOptions& options) { return options.exact_decode ? 0 : 2 * options.image_size; }

std::shared_ptr<const ImageSource> cached_source(SourceInfo info, const std::vector<ClassSize>& classes,
                                                 const DatasetOptions& options, PictureLoader load) {
  return std::make_shared<CachedSource>(std::move(info), classes, options, std::move(load));
}

}  // namespace fewatoms
