#include "datasets/file_tree.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_set>

#include "datasets/archive_tree.h"
#include "datasets/mapped_file.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

constexpr uintmax_t kLargestRead = uintmax_t{1} << 30;

class DirectoryTree final : public FileTree {
 public:
  DirectoryTree(fs::path root, bool allow_outside) : root_(std::move(root)), allow_outside_(allow_outside) {
    if (!allow_outside_) real_root_ = fs::canonical(root_);
  }

  bool is_folder(const std::string& path) const override {
    std::error_code error;
    return fs::is_directory(located(path), error);
  }
  bool is_file(const std::string& path) const override {
    std::error_code error;
    const fs::path file = located(path);
    return fs::exists(file, error) && !fs::is_directory(file, error);
  }

  FolderListing list(const std::string& folder) const override {
    FolderListing listing;
    std::error_code error;
    const fs::path at = located(folder);
    for (auto entry = fs::directory_iterator(at, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      std::error_code broken_link;
      if (name.front() == '.' || name == "__MACOSX") continue;
      if (entry->is_directory(broken_link)) {
        listing.folders.push_back(name);
      } else {
        if (entry->is_symlink(broken_link)) located(joined_path(folder, name));
        listing.files.push_back(name);
      }
    }
    if (error) throw DataError("folder " + in_quotes(at) + " cannot be listed: " + error.message());
    std::sort(listing.folders.begin(), listing.folders.end());
    std::sort(listing.files.begin(), listing.files.end());
    return listing;
  }

  FileBytes read(const std::string& path) const override { return read_file(located(path), kLargestRead); }
  FileBytes map(const std::string& path) const override { return map_file(located(path)); }
  std::shared_ptr<const fs::path> file_for_library(const std::string& path) const override {
    if (!is_file(path)) throw DataError(name(path) + " cannot be opened, expected a readable file");
    return std::make_shared<const fs::path>(located(path));
  }
  std::string version(const std::string& path) const override {
    const fs::path real = fs::canonical(located(path));
    return real.string() + "|" + std::to_string(fs::file_size(real)) + "|" +
           std::to_string(fs::last_write_time(real).time_since_epoch().count());
  }
  std::string name(const std::string& path) const override { return in_quotes(full(path)); }

 private:
  fs::path full(const std::string& path) const { return path.empty() ? root_ : root_ / path; }

  /// The path on disk, once it is known to stay below the root.
  fs::path located(const std::string& path) const {
    fs::path result = full(path);
    if (allow_outside_ || path.empty()) return result;
    if (!stays_below(path))
      throw DataError("path '" + path + "' leaves the data root " + in_quotes(root_) +
                      ": expected one without '..' and not absolute (--allow-outside permits it)");
    std::error_code error;
    const fs::path folder = result.parent_path();
    const bool is_link = fs::is_symlink(result, error);
    if (!is_link) {
      const std::lock_guard lock(mutex_);
      if (inside_.contains(folder.string())) return result;
    }
    const fs::path real = fs::weakly_canonical(result, error);
    if (!error && !begins_with(real, real_root_))
      throw DataError(in_quotes(result) + " is a link out of the data root, to " + in_quotes(real) +
                      ": expected files below the root (--allow-outside permits it)");
    const std::lock_guard lock(mutex_);
    if (!is_link && !error) inside_.insert(folder.string());
    return result;
  }

  static bool begins_with(const fs::path& path, const fs::path& start) {
    return std::mismatch(start.begin(), start.end(), path.begin(), path.end()).first == start.end();
  }

  const fs::path root_;
  const bool allow_outside_;
  fs::path real_root_;
  mutable std::mutex mutex_;
  mutable std::unordered_set<std::string> inside_;  // folders whose own files need no further look
};

class Subtree final : public FileTree {
 public:
  Subtree(FileTreePtr tree, std::string folder) : tree_(std::move(tree)), folder_(std::move(folder)) {}

  bool is_folder(const std::string& path) const override { return tree_->is_folder(below(path)); }
  bool is_file(const std::string& path) const override { return tree_->is_file(below(path)); }
  FolderListing list(const std::string& folder) const override { return tree_->list(below(folder)); }
  FileBytes read(const std::string& path) const override { return tree_->read(below(path)); }
  FileBytes map(const std::string& path) const override { return tree_->map(below(path)); }
  std::shared_ptr<const fs::path> file_for_library(const std::string& path) const override {
    return tree_->file_for_library(below(path));
  }
  std::string version(const std::string& path) const override { return tree_->version(below(path)); }
  std::string name(const std::string& path) const override { return tree_->name(below(path)); }

 private:
  std::string below(const std::string& path) const {
    return fs::path(path).is_absolute() ? path : joined_path(folder_, path);
  }

  const FileTreePtr tree_;
  const std::string folder_;
};

/// The folder that alone holds everything in an archive, "" if there is none or its name means something.
std::string wrapping_folder(const FileTree& tree) {
  static const std::unordered_set<std::string> kMeaningful{"train",
                                                           "val",
                                                           "validation",
                                                           "test",
                                                           "base",
                                                           "novel",
                                                           "images",
                                                           "data",
                                                           "images_background",
                                                           "images_evaluation"};
  const FolderListing top = tree.list("");
  return top.files.empty() && top.folders.size() == 1 && !kMeaningful.contains(top.folders.front())
             ? top.folders.front()
             : "";
}

FileTreePtr looked_through(FileTreePtr tree) {
  const std::string folder = wrapping_folder(*tree);
  return folder.empty() ? tree : subtree(std::move(tree), folder);
}

/// Archives that were opened stay open: each split and each command of a run reads them again, and opening one may mean
/// unpacking it.
FileTreePtr opened_once(const FileTree& tree, const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, FileTreePtr> all;
  const std::lock_guard lock(mutex);
  const std::string quoted = tree.name(path);
  FileTreePtr& opened = all[tree.version(path)];
  if (!opened) opened = open_archive(tree.map(path), quoted.substr(1, quoted.size() - 2));
  return opened;
}

}  // namespace

FileTreePtr open_file_tree(const fs::path& root, bool allow_outside) {
  std::error_code error;
  if (!fs::exists(root, error)) throw UsageError("data root " + in_quotes(root) + " does not exist");
  if (fs::is_directory(root, error)) return std::make_shared<DirectoryTree>(root, allow_outside);
  if (!has_archive_extension(root.string()))
    throw UsageError("data root " + in_quotes(root) +
                     " is not a folder and not an archive (.tar, .tar.gz, .tgz, .zip)");
  return looked_through(opened_once(*open_anywhere(), root.string()));
}

FileTreePtr open_anywhere() { return std::make_shared<DirectoryTree>("", true); }

FileTreePtr open_archive_in(const FileTreePtr& tree, const std::string& path) {
  if (!tree->is_file(path)) throw DataError(tree->name(path) + " cannot be opened, expected a readable file");
  return opened_once(*tree, path);
}

FileTreePtr subtree(FileTreePtr tree, const std::string& folder) {
  return folder.empty() ? tree : std::make_shared<Subtree>(std::move(tree), folder);
}

std::string joined_path(const std::string& folder, const std::string& name) {
  if (folder.empty() || name.empty()) return folder + name;
  return folder + "/" + name;
}

bool stays_below(const std::string& relative) {
  const fs::path path(relative);
  return !path.empty() && !path.is_absolute() && std::find(path.begin(), path.end(), "..") == path.end();
}

std::string in_quotes(const fs::path& path) {
  std::string text(1, '\'');
  return text += path.string() + "'";
}

}  // namespace fewatoms
