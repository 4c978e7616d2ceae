#pragma once

#include <memory>
#include <string>
#include <vector>

#include "datasets/dataset.h"

/// Sounds that were never recorded: a class is a chord of gliding tones, an image the spectrogram of one performance of
/// it. The waveform is synthesised and transformed when its image is asked for, so there is nothing on disk.
class Spectrograms final : public fewatoms::ImageSource {
 public:
  static constexpr int kSize = 32;  // frequency bands, and frames in time

  explicit Spectrograms(const std::string& split);  // "train", "val" or "test": 64, 16 and 20 chords

  const fewatoms::SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(names_.size()); }
  const std::string& class_name(int c) const override { return names_.at(c); }
  int class_size(int) const override { return 50; }
  int height() const override { return kSize; }
  int width() const override { return kSize; }
  int channels() const override { return 1; }
  fewatoms::ImageView image(const fewatoms::ImageRef& ref) const override;

  /// As the registry wants them.
  static std::vector<std::string> splits(const fewatoms::DatasetOptions&) { return {"train", "val", "test"}; }
  static std::shared_ptr<const fewatoms::ImageSource> open(const fewatoms::DatasetOptions& options,
                                                           const std::string& split);

 private:
  int first_ = 0;  // chord of the split's first class
  fewatoms::SourceInfo info_;
  std::vector<std::string> names_;
};
