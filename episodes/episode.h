#pragma once

#include <cstdint>
#include <vector>

#include "episodes/image_source.h"

namespace fewatoms {

/// Shape of a task: N-way K-shot with Q queries per class.
struct EpisodeSpec {
  int ways = 5;      // classes, >= 2
  int shots = 1;     // labelled images per class, >= 1
  int queries = 15;  // images to classify per class, >= 1

  bool operator==(const EpisodeSpec&) const = default;
};

/// One image of an episode, with its label inside the episode (0 .. ways-1).
struct EpisodeImage {
  ImageRef ref;
  int label = 0;
};

/// One task: which images, with which labels. No pixels.
struct Episode {
  EpisodeSpec spec;
  std::vector<int> classes;           // [ways] class index of each label
  std::vector<EpisodeImage> support;  // [ways*shots], label-major: label 0 first
  std::vector<EpisodeImage> query;    // [ways*queries], label-major
};

/// Throws UsageError unless `spec` is valid and `source` can serve it. Names the classes with too few images, and the
/// numbers given and needed: "class 'owl' has 4 images, 6 are needed (5 shots + 1 query)" (a DataError).
void require_servable(const ImageSource& source, const EpisodeSpec& spec);

/// Episode `index`, a pure function of (data set, split, specification, seed, index): classes drawn without
/// replacement and given labels in random order, then shots + queries distinct images of each. Images of one group
/// (ImageSource::image_groups) are all in support or all in query; throws DataError if no such draw is found.
/// With `augment`, every image gets an augmentation key of its own. The source must be servable.
Episode draw_episode(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed, uint64_t index,
                     bool augment = false);

}  // namespace fewatoms
