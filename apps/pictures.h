#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/settings.h"

namespace fewatoms {

/// How a run sees people's own pictures under `root`: its size and channels, no boxes, turned as the camera says, links
/// followed.
DatasetOptions picture_options(const Settings& settings, const std::filesystem::path& root = {});

/// Pictures to classify, with a name for each: one class, in the order given.
struct Pictures {
  std::shared_ptr<const ImageSource> source;
  std::vector<std::string> names;
  std::vector<std::string> notices;  // what was passed over in folders, a line each
};

/// From arguments: picture files, folders (every picture below them, by name) and `-`, standard input: one picture, or
/// paths of pictures, one a line. Throws UsageError on a path that does not exist, a folder or an input without any;
/// DataError on a bad picture when it is read.
Pictures open_pictures(const std::vector<std::string>& arguments, const Settings& settings);

}  // namespace fewatoms
