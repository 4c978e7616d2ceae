#pragma once

#include <span>

#include <torch/types.h>

#include "episodes/episode.h"

namespace fewatoms {

using torch::Tensor;

/// How uint8 pixels become numbers.
enum class PixelNorm {
  kUnit,      // x / 255
  kImagenet,  // (x / 255 - mean) / deviation by channel, ImageNet's; grey images use the channels' averages
};
/// "unit" or "imagenet". Throws UsageError on anything else.
PixelNorm pixel_norm_from_string(const std::string& name);

/// An episode with its pixels: what the engine trains on. Images are float32, channels last.
struct Task {
  uint64_t index = 0;  // of the episode
  int ways = 0;
  Tensor support;         // [ways*shots, C, H, W]
  Tensor support_labels;  // [ways*shots] int64, 0..ways-1
  Tensor query;           // [ways*queries, C, H, W]
  Tensor query_labels;    // [ways*queries] int64
};

/// Reads images as [n, C, H, W] float32, channels last. Throws what the source throws.
Tensor load_images(const ImageSource& source, std::span<const ImageRef> images, PixelNorm norm);

/// Reads an episode's images. Throws what the source throws.
Task load_task(const ImageSource& source, const Episode& episode, uint64_t index, PixelNorm norm);

/// What the labels of tasks count.
enum class TaskLabels {
  kWithinEpisode,  // 0 .. ways-1
  kClasses,        // classes of the source; such tasks are batches of ways*queries images without a support set
};

/// Episodes first .. first+count-1 of a source, images fetched in parallel.
std::vector<Task> load_tasks(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed, uint64_t first,
                             int count, Augmented augmented, PixelNorm norm,
                             TaskLabels label = TaskLabels::kWithinEpisode);

/// While it lives, LibTorch's operations of this thread run on one thread: tasks run side by side, and an operation's
/// result must not depend on the number of threads. Afterwards the thread has its number of before. A program that does
/// nothing else with LibTorch holds one for its whole life, so that the number is not changed to and fro.
class OneThreadPerOperation {
 public:
  OneThreadPerOperation();
  ~OneThreadPerOperation();
  OneThreadPerOperation(const OneThreadPerOperation&) = delete;
  OneThreadPerOperation& operator=(const OneThreadPerOperation&) = delete;

 private:
  int before_;
};

}  // namespace fewatoms
