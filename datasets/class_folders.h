#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "datasets/file_source.h"

namespace fewatoms {

/// Classes found as folders of images.
struct ClassFolders {
  std::vector<FileClass> classes;    // sorted by name, images by file name
  std::vector<std::string> notices;  // what was left out, counted
};

/// One class per folder directly under `folder`; folders without images are left out.
ClassFolders find_class_folders(const std::filesystem::path& folder);

/// Of "train", "val" and "test" those that are folders under `root`.
std::vector<std::string> split_folders(const std::filesystem::path& root);

}  // namespace fewatoms
