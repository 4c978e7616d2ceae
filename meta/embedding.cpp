#include "meta/embedding.h"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>

// The sanitizers' own start comes too late for the choice among clones.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define FEWATOMS_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FEWATOMS_CLONES
#endif

namespace fewatoms {
namespace {

constexpr int kMostEpisodes = 1 << 16;  // whose image numbers are held at a time

/// out[i] = mean of the rows.
FEWATOMS_CLONES void mean_of_rows(const float* __restrict table, const int64_t* rows, int64_t count, int64_t d,
                                  float* __restrict out) {
  std::fill(out, out + d, 0.0F);
  for (int64_t r = 0; r < count; ++r) {
    const float* __restrict row = table + rows[r] * d;
    for (int64_t i = 0; i < d; ++i) out[i] += row[i];
  }
  for (int64_t i = 0; i < d; ++i) out[i] /= static_cast<float>(count);
}

/// Squared distances from x [d] to each of centres [ways, d], summed in lanes, so that the compiler may vectorise.
FEWATOMS_CLONES void squared_distances(const float* __restrict x, const float* __restrict centres, int64_t ways,
                                       int64_t d, float* __restrict out) {
  constexpr int64_t kLanes = 32;
  for (int64_t way = 0; way < ways; ++way) {
    const float* __restrict centre = centres + way * d;
    float lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= d; i += kLanes)
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        const float difference = x[i + lane] - centre[i + lane];
        lanes[lane] += difference * difference;
      }
    float sum = 0;
    for (; i < d; ++i) sum += (x[i] - centre[i]) * (x[i] - centre[i]);
    for (const float lane : lanes) sum += lane;
    out[way] = sum;
  }
}

}  // namespace

Tensor embed_images(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                    std::span<const ImageRef> images, PixelNorm pixel_norm,
                    const std::function<bool()>& stop_requested) {
  const auto count = static_cast<int64_t>(images.size());
  const Backbone& backbone = learner.backbone();
  const Tensor table = at::empty({count, backbone.features()}, at::kFloat);
  tbb::parallel_for(
      int64_t{0}, (count + kEmbeddingBatch - 1) / kEmbeddingBatch,
      [&](int64_t batch) {
        if (stop_requested && stop_requested()) throw EvaluationStopped();
        const OneThreadPerOperation one_thread;
        at::NoGradGuard no_graph;
        const int64_t first = batch * kEmbeddingBatch, n = std::min(kEmbeddingBatch, count - first);
        const Tensor x = load_images(source, images.subspan(first, n), pixel_norm);
        table.narrow(0, first, n).copy_(backbone.forward(x, parameters, learner.evaluation_norm()).x);
      },
      tbb::simple_partitioner());
  return table;
}

std::vector<ImageRef> all_images(const ImageSource& source) {
  std::vector<ImageRef> images;
  for (int c = 0; c < source.classes(); ++c)
    for (int i = 0; i < source.class_size(c); ++i) images.push_back({c, i, 0});
  return images;
}

bool features_are_fixed(const Learner& learner) {
  return !learner.transductive() && learner.first_adapted_block() == learner.backbone().blocks();
}

EmbeddedEpisodes::EmbeddedEpisodes(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                                   const EvaluationOptions& options, int first, int64_t most_bytes)
    : blocks_(learner.backbone().blocks()),
      first_index_(options.first_episode),
      first_(first),
      count_(std::min(options.episodes - first, kMostEpisodes)) {
  TORCH_CHECK(features_are_fixed(learner) && count_ > 0, "no episodes of fixed features");
  std::vector<int64_t> class_begins = {0};  // images are numbered class by class
  for (int c = 0; c < source.classes(); ++c) class_begins.push_back(class_begins.back() + source.class_size(c));

  episodes_.resize(count_);
  tbb::parallel_for(0, count_, [&](int e) {
    if (options.stop_requested && options.stop_requested()) throw EvaluationStopped();
    const Episode episode = evaluation_episode(source, options, first_ + e);
    const auto numbered = [&](const std::vector<EpisodeImage>& images, Part& part) {
      for (const EpisodeImage& image : images) {
        part.rows.push_back(class_begins[image.ref.class_index] + image.ref.image_index);
        part.labels.push_back(image.label);
      }
    };
    episodes_[e].ways = episode.spec.ways;
    std::vector<EpisodeImage> support = episode.support;  // what a caller gives need not be label-major
    std::stable_sort(support.begin(), support.end(),
                     [](const EpisodeImage& a, const EpisodeImage& b) { return a.label < b.label; });
    numbered(support, episodes_[e].support);
    numbered(episode.query, episodes_[e].query);
  });

  // Rows are given to images in their order of appearance, as far as memory goes.
  const int64_t most_rows = most_bytes / (4 * learner.backbone().features());
  std::vector<int64_t> rows(class_begins.back(), -1), images;
  for (int e = 0; e < count_; ++e) {
    Images& episode = episodes_[e];
    if (e > 0 &&
        static_cast<int64_t>(images.size() + episode.support.rows.size() + episode.query.rows.size()) > most_rows) {
      count_ = e;
      break;
    }
    for (Part* part : {&episode.support, &episode.query})
      for (int64_t& number : part->rows) {
        int64_t& row = rows[number];
        if (row < 0) {
          row = static_cast<int64_t>(images.size());
          images.push_back(number);
        }
        number = row;
      }
  }
  episodes_.resize(count_);

  std::vector<ImageRef> refs;
  for (const int64_t image : images) {
    const auto c =
        static_cast<int>(std::upper_bound(class_begins.begin(), class_begins.end(), image) - class_begins.begin()) - 1;
    refs.push_back({c, static_cast<int>(image - class_begins[c]), 0});
  }
  features_ = embed_images(learner, parameters, source, refs, options.pixel_norm, options.stop_requested);
}

PreparedTask EmbeddedEpisodes::task(int episode) const {
  const Images& images = episodes_[episode - first_];
  PreparedTask task;
  task.index = first_index_ + episode;
  task.ways = images.ways;
  task.pass = NormMode::kRunning;
  task.next_block = blocks_;
  task.support = features_.index_select(0, at::tensor(images.support.rows, at::kLong));
  task.query = features_.index_select(0, at::tensor(images.query.rows, at::kLong));
  task.support_labels = at::tensor(images.support.labels, at::kLong);
  task.query_labels = at::tensor(images.query.labels, at::kLong);
  return task;
}

EmbeddedEpisodes::Score EmbeddedEpisodes::prototype_score(int episode, double unit, std::vector<int>* predictions,
                                                          std::vector<float>* probabilities) const {
  const Images& images = episodes_[episode - first_];
  const Part &support = images.support, &query = images.query;
  const int64_t d = features_.size(1), ways = images.ways;
  const auto* table = features_.data_ptr<float>();
  std::vector<float> centres(ways * d), distances(ways);
  for (size_t begin = 0, end = 0; begin < support.rows.size(); begin = end) {
    const int64_t label = support.labels[begin];
    while (end < support.rows.size() && support.labels[end] == label) ++end;
    mean_of_rows(table, &support.rows[begin], static_cast<int64_t>(end - begin), d, &centres[label * d]);
  }
  int64_t hits = 0;
  double loss = 0;
  for (size_t q = 0; q < query.rows.size(); ++q) {
    squared_distances(table + query.rows[q] * d, centres.data(), ways, d, distances.data());
    const int64_t label = query.labels[q];
    const auto nearest = std::min_element(distances.begin(), distances.end());
    if (predictions != nullptr) predictions->push_back(static_cast<int>(nearest - distances.begin()));
    double sum = 0;
    const auto share = [&](float distance) { return std::exp((static_cast<double>(*nearest) - distance) / unit); };
    for (const float distance : distances) sum += share(distance);
    if (probabilities != nullptr)
      for (const float distance : distances) probabilities->push_back(static_cast<float>(share(distance) / sum));
    loss += (static_cast<double>(distances[label]) - *nearest) / unit + std::log(sum);
    hits += nearest - distances.begin() == label && !std::isnan(sum);  // as `accuracy` counts
  }
  const auto count = static_cast<double>(query.rows.size());
  return {static_cast<double>(hits) / count, loss / count};
}

}  // namespace fewatoms
