#include "datasets/class_folders.h"

#include "datasets/files.h"
#include "episodes/errors.h"

namespace fewatoms {

std::vector<FileImage> images_in(const FileTree& tree, const std::string& folder, int& ignored) {
  std::vector<FileImage> images;
  for (const auto& file : tree.list(folder).files) {
    if (has_image_extension(file))
      images.push_back({joined_path(folder, file)});
    else
      ++ignored;
  }
  return images;
}

ClassFolders find_class_folders(const FileTree& tree, const std::string& folder) {
  ClassFolders found;
  int ignored = 0;
  for (const auto& name : tree.list(folder).folders) {
    const std::string path = joined_path(folder, name);
    FileClass images{name, images_in(tree, path, ignored)};
    if (images.images.empty())
      throw DataError("class '" + name + "' is empty: " + tree.name(path) +
                      " has no images, expected some (.jpg, .png, .npy, ...) or no such folder");
    found.classes.push_back(std::move(images));
  }
  if (ignored > 0)
    found.notices.push_back("ignored " + counted(ignored, "file") + " under " + tree.name(folder) +
                            " without an image extension");
  return found;
}

}  // namespace fewatoms
