#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace fewatoms {

/// One decoded image: uint8, height x width x channels, rows without gaps, RGB order or grey.
/// `owner` keeps the pixels alive.
struct ImageView {
  const uint8_t* pixels = nullptr;
  int height = 0;
  int width = 0;
  int channels = 0;  // 1 or 3
  std::shared_ptr<const void> owner;

  size_t bytes() const { return static_cast<size_t>(height) * width * channels; }
};

/// Where one image of an episode comes from.
struct ImageRef {
  int class_index = 0;  // 0 .. classes-1 of the source
  int image_index = 0;  // 0 .. class_size-1
  /// Random transformation to apply: 0 is none, anything else names one (a pure function of the key).
  uint64_t augment_key = 0;
};

/// Identity of a source, as results report it.
struct SourceInfo {
  std::string dataset;                    // "mini-imagenet"
  std::string split;                      // "train", "val" or "test"
  std::string form;                       // on-disk form found, "images+csv"
  std::string split_rule;                 // "ravi", "closerlook", ...; empty when the data set has one split only
  std::string crop;                       // "none" or "bbox"
  std::vector<std::string> notices = {};  // things the user should know, one line each ("16 of 20 test classes")
  int64_t skipped = 0;                    // images left out because they cannot be decoded
};

/// A labelled set of images, all of one size: the one interface behind which images live.
/// Implementations are thread-safe and deterministic: the same reference gives the same pixels, always.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  virtual const SourceInfo& info() const = 0;
  virtual int classes() const = 0;
  virtual const std::string& class_name(int class_index) const = 0;
  virtual int class_size(int class_index) const = 0;  // images of that class
  /// What the class belongs to: its superclass, its alphabet. Empty where classes have no hierarchy.
  virtual const std::string& class_group(int class_index) const;
  /// What an image is called, once in its class: its file below the data root, or "class/number" where there is no
  /// file.
  virtual std::string image_name(const ImageRef& ref) const;
  /// The group of each of the class's images, where images come in groups (of one photograph, one patient): an episode
  /// has a group in support or in query, not in both. Numbers are the same across classes. Empty: every image is on its
  /// own.
  virtual std::span<const int> image_groups(int class_index) const;  // [class_size]
  virtual int height() const = 0;                                    // of every image
  virtual int width() const = 0;
  virtual int channels() const = 0;

  /// Throws DataError, naming the file, if the image cannot be read.
  virtual ImageView image(const ImageRef& ref) const = 0;

  /// A hint that these images are wanted soon; decodes them in parallel where that helps. May do nothing.
  virtual void prefetch(std::span<const ImageRef>) const {}
};

/// A source made of another one: some of its images, its classes under other names, its pixels changed. What is not
/// overridden is the other's, so that all that a source can say reaches through every layer.
class DerivedSource : public ImageSource {
 public:
  explicit DerivedSource(std::shared_ptr<const ImageSource> whole) : whole_(std::move(whole)) {}

  const SourceInfo& info() const override { return whole_->info(); }
  int classes() const override { return whole_->classes(); }
  const std::string& class_name(int c) const override { return whole_->class_name(inner({c}).class_index); }
  int class_size(int c) const override { return whole_->class_size(inner({c}).class_index); }
  const std::string& class_group(int c) const override { return whole_->class_group(inner({c}).class_index); }
  std::string image_name(const ImageRef& ref) const override { return whole_->image_name(inner(ref)); }
  std::span<const int> image_groups(int c) const override { return whole_->image_groups(inner({c}).class_index); }
  int height() const override { return whole_->height(); }
  int width() const override { return whole_->width(); }
  int channels() const override { return whole_->channels(); }
  ImageView image(const ImageRef& ref) const override { return whole_->image(inner(ref)); }
  void prefetch(std::span<const ImageRef> refs) const override;

 protected:
  const ImageSource& whole() const { return *whole_; }
  /// Which of the other source's images an image is; where a class is asked for, its image 0 stands for it.
  virtual ImageRef inner(ImageRef ref) const { return ref; }

 private:
  const std::shared_ptr<const ImageSource> whole_;
};

/// Some of a source's classes, in the order given: validation classes cut from train, for instance.
/// `kept` are class indices of `whole`; `split` replaces the split's name. Throws UsageError on an index out of range.
std::shared_ptr<const ImageSource> subset_of_classes(std::shared_ptr<const ImageSource> whole, std::vector<int> kept,
                                                     std::string split);

}  // namespace fewatoms
