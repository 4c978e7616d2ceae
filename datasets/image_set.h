#pragma once

#include <string>
#include <vector>

#include "datasets/cached_source.h"

namespace fewatoms {

/// Classes with their names and sizes, and how to make their pictures: what reading one split of one form gives.
struct ImageSet {
  std::vector<ClassSize> classes;
  PictureLoader load;
  std::vector<std::string> notices = {};  // what the user should know, a line each
};

}  // namespace fewatoms
