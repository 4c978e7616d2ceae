#include "datasets/class_folders.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "datasets/files.h"
#include "datasets/image_header.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

/// "'a.ico'": the first picture directly in `folder` of a kind that is not read; empty: there is none.
std::string unread_picture_in(const FileTree& tree, const std::string& folder) {
  for (const auto& file : tree.list(folder).files)
    if (has_unread_picture_extension(file)) return tree.name(joined_path(folder, file));
  return {};
}

/// Reads one class folder: links may lead to one folder twice, or back to itself.
class ImageFinder {
 public:
  ImageFinder(const FileTree& tree, std::string top, ReadingNotes& notes)
      : tree_(tree), top_(std::move(top)), notes_(notes) {}

  std::vector<FileImage> find() {
    visit(top_);
    return std::move(images_);
  }

 private:
  void visit(const std::string& folder) {
    if (!seen_.insert(tree_.real_path(folder)).second) {
      notes_.ignored("link", " to a folder that is read already", tree_.name(folder));
      return;
    }
    const FolderListing listing = tree_.list(folder);
    notes_.ignored(tree_, folder, listing);
    for (const auto& file : listing.files) {
      const std::string path = joined_path(folder, file);
      if (has_unread_picture_extension(file)) {
        notes_.ignored("picture", std::string(" of kinds that are not read (expected ") + kImageKinds + ")",
                       tree_.name(path));
        continue;
      }
      if (!has_image_extension(file)) {
        notes_.ignored("file", " without an image extension", tree_.name(path));
        continue;
      }
      if (folder != top_) notes_.read_inside(tree_.name(path));
      images_.push_back({path});
    }
    for (const auto& inside : listing.folders) visit(joined_path(folder, inside));
  }

  const FileTree& tree_;
  const std::string top_;
  ReadingNotes& notes_;
  std::set<std::string> seen_;  // folders, without links
  std::vector<FileImage> images_;
};

}  // namespace

std::vector<FileImage> images_in(const FileTree& tree, const std::string& folder, ReadingNotes& notes) {
  return ImageFinder(tree, folder, notes).find();
}

FileClass read_class_folder(const FileTree& tree, const std::string& folder, const std::string& name,
                            ReadingNotes& notes) {
  FileClass result{name, images_in(tree, folder, notes)};
  if (!result.images.empty()) return result;
  if (const std::string example = unread_picture_in(tree, folder); !example.empty())
    throw DataError("class '" + name + "' is empty: " + tree.name(folder) + " has no images of a kind that is read, " +
                    example + " is of another: expected " + kImageKinds);
  ReadingNotes instead;
  images_in(tree, folder, instead);
  throw DataError("class '" + name + "' is empty: " + tree.name(folder) +
                  " has no images, expected some (.jpg, .png, .npy, ...) or no such folder" +
                  (instead.lines().empty() ? "" : "; " + instead.lines().front()));
}

std::vector<FileClass> find_class_folders(const FileTree& tree, const std::string& folder, ReadingNotes& notes) {
  const FolderListing listing = tree.list(folder);
  notes.ignored(tree, folder, listing);
  if (!listing.folders.empty())
    for (const auto& file : listing.files)
      if (has_image_extension(file))
        notes.ignored("image", " beside class folders", tree.name(joined_path(folder, file)));
  std::map<std::string, FileClass> classes;
  for (const auto& name : listing.folders) {
    const std::string label = notes.label(name);
    FileClass read = read_class_folder(tree, joined_path(folder, name), label.empty() ? name : label, notes);
    FileClass& c = classes.try_emplace(read.name, FileClass{read.name}).first->second;
    std::move(read.images.begin(), read.images.end(), std::back_inserter(c.images));
  }
  std::vector<FileClass> sorted;
  for (auto& [name, c] : classes) sorted.push_back(std::move(c));
  return sorted;
}

bool holds_images(const FolderListing& listing) {
  return std::any_of(listing.files.begin(), listing.files.end(), has_image_extension);
}

bool holds_class_folders(const FileTree& tree, const std::string& folder) {
  const auto holds = [&](const std::string& above, const std::string& name) {
    return holds_images(tree.list(joined_path(above, name)));
  };
  const auto folders = tree.list(folder).folders;
  return std::any_of(folders.begin(), folders.end(), [&](const std::string& name) {
    if (holds(folder, name)) return true;
    const std::string path = joined_path(folder, name);
    const auto inside = tree.list(path).folders;
    return std::any_of(inside.begin(), inside.end(), [&](const std::string& deeper) { return holds(path, deeper); });
  });
}

}  // namespace fewatoms
