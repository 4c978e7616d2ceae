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

/// Tasks run side by side, one operation thread each: an operation's result must not depend on the number of threads.
/// Call before the first tensor operation of a thread.
void use_one_thread_per_operation();

}  // namespace fewatoms
