#include "meta/task.h"

#include <ATen/Parallel.h>
#include <tbb/parallel_for.h>

#include <array>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

/// value * scale + offset by channel.
struct PixelMap {
  std::array<float, 3> scale, offset;
};

PixelMap pixel_map(PixelNorm norm, int channels) {
  if (norm == PixelNorm::kUnit) return {{1 / 255.0F, 1 / 255.0F, 1 / 255.0F}, {0, 0, 0}};
  constexpr std::array<float, 3> kMean = {0.485F, 0.456F, 0.406F}, kDeviation = {0.229F, 0.224F, 0.225F};
  PixelMap map{};
  for (int c = 0; c < 3; ++c) {
    const float mean = channels == 3 ? kMean[c] : (kMean[0] + kMean[1] + kMean[2]) / 3;
    const float deviation = channels == 3 ? kDeviation[c] : (kDeviation[0] + kDeviation[1] + kDeviation[2]) / 3;
    map.scale[c] = 1 / (255.0F * deviation);
    map.offset[c] = -mean / deviation;
  }
  return map;
}

std::vector<ImageRef> references(const std::vector<EpisodeImage>& images) {
  std::vector<ImageRef> refs;
  for (const EpisodeImage& image : images) refs.push_back(image.ref);
  return refs;
}

Tensor labels(const std::vector<EpisodeImage>& images) {
  Tensor t = at::empty({static_cast<int64_t>(images.size())}, at::kLong);
  for (size_t i = 0; i < images.size(); ++i) t.data_ptr<int64_t>()[i] = images[i].label;
  return t;
}

}  // namespace

PixelNorm pixel_norm_from_string(const std::string& name) {
  if (name == "unit") return PixelNorm::kUnit;
  if (name == "imagenet") return PixelNorm::kImagenet;
  throw UsageError(unknown_name("pixel norm", name, {"unit", "imagenet"}));
}

Tensor load_images(const ImageSource& source, std::span<const ImageRef> images, PixelNorm norm) {
  const int c = source.channels(), h = source.height(), w = source.width();
  const PixelMap map = pixel_map(norm, c);
  Tensor batch = at::empty({static_cast<int64_t>(images.size()), c, h, w},
                           at::TensorOptions(at::kFloat).memory_format(at::MemoryFormat::ChannelsLast));
  float* to = batch.data_ptr<float>();
  for (const ImageRef& image : images) {
    const ImageView view = source.image(image);
    TORCH_CHECK(view.height == h && view.width == w && view.channels == c, "an image source of ", w, "x", h, "x", c,
                " gave an image of ", view.width, "x", view.height, "x", view.channels);
    const uint8_t* from = view.pixels;
    for (int pixel = 0; pixel < h * w; ++pixel)
      for (int k = 0; k < c; ++k) *to++ = static_cast<float>(*from++) * map.scale[k] + map.offset[k];
  }
  return batch;
}

Task load_task(const ImageSource& source, const Episode& episode, uint64_t index, PixelNorm norm) {
  return {index,
          episode.spec.ways,
          load_images(source, references(episode.support), norm),
          labels(episode.support),
          load_images(source, references(episode.query), norm),
          labels(episode.query)};
}

std::vector<Task> load_tasks(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed, uint64_t first,
                             int count, Augmented augmented, PixelNorm norm, TaskLabels label) {
  EpisodeSpec drawn = spec;
  if (label == TaskLabels::kClasses) drawn.shots = 0;
  std::vector<Episode> episodes;
  std::vector<ImageRef> wanted;
  for (int i = 0; i < count; ++i) {
    episodes.push_back(draw_episode(source, drawn, seed, first + i, augmented));
    for (const auto* images : {&episodes.back().support, &episodes.back().query})
      for (const EpisodeImage& image : *images) wanted.push_back(image.ref);
  }
  source.prefetch(wanted);
  std::vector<Task> tasks(count);
  tbb::parallel_for(0, count, [&](int i) {
    const OneThreadPerOperation one_thread;
    tasks[i] = load_task(source, episodes[i], first + i, norm);
    if (label != TaskLabels::kClasses) return;
    const std::vector<int64_t> classes(episodes[i].classes.begin(), episodes[i].classes.end());
    tasks[i].query_labels = at::tensor(classes, at::kLong).index_select(0, tasks[i].query_labels);
  });
  return tasks;
}

OneThreadPerOperation::OneThreadPerOperation() : before_(at::get_num_threads()) {
  if (before_ != 1) at::set_num_threads(1);
}
OneThreadPerOperation::~OneThreadPerOperation() {
  if (before_ != 1) at::set_num_threads(before_);
}

}  // namespace fewatoms
