#pragma once

#include <functional>
#include <span>

#include "meta/evaluate.h"

namespace fewatoms {

constexpr int64_t kEmbeddingBatch = 32;  // images: enough for the convolutions, little enough for the caches

/// Features [images, d] of images under the whole network, computed in parallel in batches of kEmbeddingBatch that are
/// the same for any number of threads. With running norm a feature depends on its image alone, to rounding; otherwise
/// each batch is normalised by itself. Throws what the source throws, and EvaluationStopped when `stop_requested`,
/// which is asked before every batch from any thread, says so.
Tensor embed_images(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                    std::span<const ImageRef> images, PixelNorm pixel_norm,
                    const std::function<bool()>& stop_requested = {});

/// Every image of a source, class by class.
std::vector<ImageRef> all_images(const ImageSource& source);

/// Whether the features of an image are the same in every episode: no block adapts, and none looks at the other images.
bool features_are_fixed(const Learner& learner);

/// Consecutive episodes of an evaluation whose images were embedded once each, for learners of fixed features.
class EmbeddedEpisodes {
 public:
  /// Episodes from `first` on, as many as `most_bytes` of features serve; at least one. Throws as embed_images does.
  EmbeddedEpisodes(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                   const EvaluationOptions& options, int first, int64_t most_bytes = int64_t{1} << 30);

  int end() const { return first_ + count_; }  // the first episode that is not among them
  /// An episode of them, as `prepare` would give it.
  PreparedTask task(int episode) const;

  /// Accuracy and mean cross-entropy of the query images under a prototype head that divides squared distances by
  /// `unit` (Learner::distance_unit): what query_logits gives on task(episode), to rounding, in a twentieth of a
  /// millisecond.
  struct Score {
    double accuracy = 0, loss = 0;
  };
  /// Labels that it gives the query images go to `predictions`, and the probabilities of every label to
  /// `probabilities`, where these are not null.
  Score prototype_score(int episode, double unit, std::vector<int>* predictions = nullptr,
                        std::vector<float>* probabilities = nullptr) const;

 private:
  /// Images of one episode's support or query set, label-major.
  struct Part {
    std::vector<int64_t> rows;    // of features_
    std::vector<int64_t> labels;  // 0 .. ways-1
  };
  struct Images {
    int ways = 0;
    Part support, query;
  };

  int blocks_, first_index_, first_, count_;  // first_index_: of the evaluation's first episode
  Tensor features_;                           // [distinct images, d]
  std::vector<Images> episodes_;
};

}  // namespace fewatoms
