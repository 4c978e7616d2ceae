#pragma once

#include <map>
#include <span>
#include <vector>

#include "episodes/random.h"

namespace fewatoms {

/// Which side of an episode a group of images is on.
enum class Side { kSupport, kQuery };

/// `count` distinct numbers of 0 .. n-1 in random order: the head of a Fisher-Yates shuffle.
std::vector<int> draw_distinct(Random& random, int n, int count);

/// The most query images that a class whose images have these group numbers (ImageSource::image_groups) has left beside
/// `shots` support images with no group on both sides; -1 if it has not so many support images.
int most_queries(std::span<const int> groups, int shots);

/// Images of one class, `shots` for support and then `queries`, such that no group is on both sides: whole groups go to
/// one side at random, and images are drawn from the two pools. `sides` holds the groups that other classes of the
/// episode have placed, and receives this class's. Empty if that cannot be done.
std::vector<int> draw_grouped(Random& random, std::span<const int> groups, int shots, int queries,
                              std::map<int, Side>& sides);

}  // namespace fewatoms
