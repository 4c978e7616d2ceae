#pragma once

#include <string>
#include <vector>

#include "datasets/file_source.h"

namespace fewatoms {

/// Classes found as folders of images.
struct ClassFolders {
  std::vector<FileClass> classes;    // sorted by name, images by file name
  std::vector<std::string> notices;  // what was left out, counted
};

/// One class per folder directly under `folder`. Throws DataError on a folder without images.
ClassFolders find_class_folders(const FileTree& tree, const std::string& folder);

/// Images directly in `folder`, by file name, with their paths in the tree. Adds the number of other files to
/// `ignored`.
std::vector<FileImage> images_in(const FileTree& tree, const std::string& folder, int& ignored);

}  // namespace fewatoms
