#include "datasets/file_tree.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_set>

#include "datasets/archive_tree.h"
#include "datasets/class_split.h"
#include "datasets/mapped_file.h"
#include "episodes/errors.h"
#include "episodes/text.h"

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
    return fs::is_regular_file(file, error);
  }

  FolderListing list(const std::string& folder) const override {
    FolderListing listing;
    std::error_code error;
    const fs::path at = located(folder);
    for (auto entry = fs::directory_iterator(at, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
      const std::string name = escaped(entry->path().filename().string());
      std::error_code broken_link;
      const bool is_folder = entry->is_directory(broken_link);
      if (std::string kind = left_out_kind(name, is_folder); !kind.empty()) {
        listing.left_out.push_back({name, std::move(kind)});
      } else if (is_folder) {
        listing.folders.push_back(name);
      } else if (entry->exists(broken_link) && !entry->is_regular_file(broken_link)) {
        listing.left_out.push_back({name, "special file"});
      } else {
        if (entry->is_symlink(broken_link)) located(joined_path(folder, name));
        listing.files.push_back(name);
      }
    }
    if (error) throw DataError("folder " + in_quotes(at) + " cannot be listed: " + error.message());
    std::sort(listing.folders.begin(), listing.folders.end());
    std::sort(listing.files.begin(), listing.files.end());
    std::sort(listing.left_out.begin(), listing.left_out.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
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
  std::string real_path(const std::string& folder) const override {
    std::error_code error;
    const fs::path at = located(folder), real = fs::canonical(at, error);
    return (error ? at : real).string();
  }
  std::string name(const std::string& path) const override { return in_quotes(full(path)); }

 private:
  fs::path full(const std::string& path) const { return path.empty() ? root_ : root_ / unescaped(path); }

  /// The path on disk, once it is known to stay below the root.
  fs::path located(const std::string& path) const {
    fs::path result = full(path);
    if (allow_outside_ || path.empty()) return result;
    if (!stays_below(path))
      throw DataError("path '" + as_line(path) + "' leaves the data root " + in_quotes(root_) +
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
  std::string real_path(const std::string& folder) const override { return tree_->real_path(below(folder)); }
  std::vector<std::string> notices() const override { return tree_->notices(); }
  std::string name(const std::string& path) const override { return tree_->name(below(path)); }

 private:
  std::string below(const std::string& path) const {
    return fs::path(path).is_absolute() ? path : joined_path(folder_, path);
  }

  const FileTreePtr tree_;
  const std::string folder_;
};

/// Archives that are open, by their version and how their names are read; and those that must stay so.
struct OpenArchives {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<const FileTree>> all;
  int keepers = 0;
  std::vector<FileTreePtr> kept;
};

OpenArchives& open_archives() {
  static OpenArchives archives;
  return archives;
}

/// An archive that is open already, or opened now.
FileTreePtr opened_once(const FileTree& tree, const std::string& path, const std::string& name_encoding) {
  OpenArchives& archives = open_archives();
  const std::lock_guard lock(archives.mutex);
  const std::string key = tree.version(path) + "|" + name_encoding;
  FileTreePtr opened;
  if (const auto found = archives.all.find(key); found != archives.all.end()) opened = found->second.lock();
  if (!opened) {
    std::erase_if(archives.all, [](const auto& entry) { return entry.second.expired(); });
    const std::string quoted = tree.name(path);
    opened = open_archive(tree.map(path), quoted.substr(1, quoted.size() - 2), name_encoding);
    archives.all[key] = opened;
  }
  if (archives.keepers > 0) archives.kept.push_back(opened);
  return opened;
}

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

/// Whether a folder's name (or an archive's, without its ending) means something to a data set.
bool is_meaningful(const std::string& name) {
  static const std::unordered_set<std::string> kMeaningful{"images", "data", "images_background", "images_evaluation"};
  return kMeaningful.contains(name) || !split_name(name).empty();
}

/// What people and programs put beside data.
bool is_about_the_data(const std::string& file) {
  const std::string name = lower_case(file);
  static constexpr const char* kStarts[] = {"readme",    "license",   "licence",     "copying",
                                            "citation",  "changelog", "desktop.ini", "thumbs.db",
                                            "checksums", "md5sums",   "sha256sums"};
  static constexpr const char* kEnds[] = {".md", ".pdf", ".html", ".htm", ".url", ".md5", ".sha256"};
  return std::any_of(std::begin(kStarts), std::end(kStarts), [&](const char* s) { return name.starts_with(s); }) ||
         std::any_of(std::begin(kEnds), std::end(kEnds), [&](const char* e) { return name.ends_with(e); });
}

/// What is inside of a single folder or archive at an archive's top.
FileTreePtr looked_through(FileTreePtr tree, const std::string& name_encoding) {
  constexpr int kDeepest = 4;  // archives in archives: one that holds itself must come to an end
  for (int depth = 0; depth < kDeepest; ++depth) {
    FolderListing top = tree->list("");
    std::erase_if(top.files, is_about_the_data);
    if (top.folders.size() == 1 && top.files.empty() && !is_meaningful(top.folders.front()))
      return subtree(std::move(tree), top.folders.front());
    if (!top.folders.empty() || top.files.size() != 1 || !has_archive_extension(top.files.front()) ||
        is_meaningful(top.files.front().substr(0, top.files.front().find('.'))))
      return tree;
    tree = opened_once(*tree, top.files.front(), name_encoding);
  }
  throw DataError(tree->name("") + " is an archive in " + std::to_string(kDeepest) + " archives, expected data");
}

}  // namespace

FileTreePtr open_file_tree(const fs::path& root, bool allow_outside, const std::string& name_encoding) {
  std::error_code error;
  if (!fs::exists(root, error)) throw UsageError("data root " + in_quotes(root) + " does not exist");
  if (fs::is_directory(root, error)) return std::make_shared<DirectoryTree>(root, allow_outside);
  if (!has_archive_extension(root.string()))
    throw UsageError("data root " + in_quotes(root) +
                     " is not a folder and not an archive (.tar, .tar.gz, .tar.bz2, .tar.xz, .tgz, .zip)");
  return looked_through(opened_once(*open_anywhere(), escaped(root.string()), name_encoding), name_encoding);
}

FileTreePtr open_anywhere() { return std::make_shared<DirectoryTree>("", true); }

FileTreePtr open_archive_in(const FileTreePtr& tree, const std::string& path, const std::string& name_encoding) {
  if (!tree->is_file(path)) throw DataError(tree->name(path) + " cannot be opened, expected a readable file");
  return opened_once(*tree, path, name_encoding);
}

ArchivesStayOpen::ArchivesStayOpen() {
  OpenArchives& archives = open_archives();
  const std::lock_guard lock(archives.mutex);
  ++archives.keepers;
}

ArchivesStayOpen::~ArchivesStayOpen() {
  OpenArchives& archives = open_archives();
  std::vector<FileTreePtr> closing;  // after the lock is gone
  const std::lock_guard lock(archives.mutex);
  if (--archives.keepers == 0) closing.swap(archives.kept);
}

std::string left_out_kind(const std::string& name, bool is_folder) {
  static const std::unordered_set<std::string> kSystem{
      "__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"};
  if (name.starts_with('.')) return is_folder ? "hidden folder" : "hidden file";
  return is_folder && kSystem.contains(name) ? "system folder" : "";
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
  return text += as_line(path.string()) + "'";
}

}  // namespace fewatoms
