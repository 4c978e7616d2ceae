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
  // Where classes are short: 0, or 1..queries; then a class that has not so many images left beside its support images
  // has as many query images as it has left, at least these. Nothing else of the episodes changes by it.
  int fewest_queries = 0;

  // Episodes of changing size (as Meta-Dataset's, Triantafillou et al. 2020): where these are not 0, `ways` and `shots`
  // are the most, and each episode draws its own number from here on.
  int fewest_ways = 0;        // 0, or 2..ways
  int fewest_shots = 0;       // 0, or 1..shots
  bool imbalanced = false;    // each class of an episode draws its own number of shots; fewest_shots must not be 0
  bool within_group = false;  // all classes of an episode are of one group: an alphabet, a superclass

  /// Whether all episodes have the same number of classes, and of support images of each.
  bool fixed() const { return fewest_ways == 0 && fewest_shots == 0; }
  bool operator==(const EpisodeSpec&) const = default;
};

/// One image of an episode, with its label inside the episode (0 .. ways-1).
struct EpisodeImage {
  ImageRef ref;
  int label = 0;
};

/// One task: which images, with which labels. No pixels.
struct Episode {
  EpisodeSpec spec;                   // ways and (the most) shots are this episode's own
  std::vector<int> classes;           // [ways] class index of each label
  std::vector<EpisodeImage> support;  // [ways*shots], label-major: label 0 first; fewer where shots are imbalanced
  std::vector<EpisodeImage> query;    // [ways*queries], label-major; fewer where a class is short
};

/// Which images of an episode get an augmentation key.
enum class Augmented { kNone, kSupport, kQuery, kBoth };

/// Throws UsageError unless `spec` is valid and `source` can serve it. Names the classes with too few images, and the
/// numbers given and needed: "class 'owl' has 4 images, 6 are needed (5 shots + 1 query)" (a DataError). Of a range of
/// queries the fewest are needed.
void require_servable(const ImageSource& source, const EpisodeSpec& spec);

/// Episode `index`, a pure function of (data set, split, specification, seed, index): classes drawn without
/// replacement and given labels in random order, then shots + queries distinct images of each. Within groups, a group
/// is drawn first, all alike that have enough classes. Ways are drawn evenly from those the source or group has, shots
/// evenly. Images of one group (ImageSource::image_groups) are all in support or all in query. Every image that is to
/// be augmented gets a key of its own. Throws UsageError if the source has too few classes, and DataError if a class
/// that is drawn has too few images, or no draw is found in which each group is on one side.
Episode draw_episode(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed, uint64_t index,
                     Augmented augmented = Augmented::kNone);

/// The first `count` episodes of which no two have the same set of classes, of those from index 0 on. Throws UsageError
/// if the source has too few sets of classes for that: then 10,000 draws in a row repeat one.
std::vector<Episode> draw_episodes_of_unique_classes(const ImageSource& source, const EpisodeSpec& spec, uint64_t seed,
                                                     int count);

}  // namespace fewatoms
