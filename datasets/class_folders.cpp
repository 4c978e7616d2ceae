#include "datasets/class_folders.h"

#include "datasets/files.h"
#include "datasets/image_header.h"
#include "episodes/errors.h"

namespace fewatoms {

namespace {

/// "'a.ico'": the first picture directly in `folder` of a kind that is not read; empty: there is none. Adds their
/// number.
std::string unread_in(const FileTree& tree, const std::string& folder, int64_t& number) {
  std::string first;
  for (const auto& file : tree.list(folder).files)
    if (has_unread_picture_extension(file) && ++number > 0 && first.empty())
      first = tree.name(joined_path(folder, file));
  return first;
}

}  // namespace

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
  int64_t unread = 0;
  std::string unread_example;
  for (const auto& name : tree.list(folder).folders) {
    const std::string path = joined_path(folder, name);
    FileClass images{name, images_in(tree, path, ignored)};
    const std::string example = unread_in(tree, path, unread);
    if (unread_example.empty()) unread_example = example;
    if (images.images.empty() && !example.empty())
      throw DataError("class '" + name + "' is empty: " + tree.name(path) + " has no images of a kind that is read, " +
                      example + " is of another: expected " + kImageKinds);
    if (images.images.empty())
      throw DataError("class '" + name + "' is empty: " + tree.name(path) +
                      " has no images, expected some (.jpg, .png, .npy, ...) or no such folder");
    found.classes.push_back(std::move(images));
  }
  if (unread > 0)
    found.notices.push_back("left out " + counted(unread, "picture") + " under " + tree.name(folder) +
                            " of kinds that are not read, " + unread_example + " for one: expected " + kImageKinds);
  if (ignored > 0)
    found.notices.push_back("ignored " + counted(ignored, "file") + " under " + tree.name(folder) +
                            " without an image extension");
  return found;
}

}  // namespace fewatoms
