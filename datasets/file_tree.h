#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fewatoms {

/// Bytes of a file, usually mapped rather than read; valid while `owner` lives.
struct FileBytes {
  std::shared_ptr<const void> owner;
  std::string_view view;
};

/// An entry of a folder that is no data, and its kind: "hidden file" or "hidden folder" (".name"), "system folder"
/// (what macOS adds to archives, thumbnails of a NAS), "special file" (a pipe, socket or device).
struct LeftOut {
  std::string name;
  std::string kind;
};

/// Names of the folders and of the files directly under a folder, sorted, and of what is left out of both.
struct FolderListing {
  std::vector<std::string> folders;
  std::vector<std::string> files;
  std::vector<LeftOut> left_out;
};

/// Files below one root, read only: a folder, or an archive without unpacking it. Paths are relative to the root, with
/// '/' between names; "" is the root. They are UTF-8: names on disk or in an archive that are not are escaped
/// (episodes/text.h), in listings and in what the functions take. Thread-safe.
///
/// A path that leaves the root ("..", absolute, a link out of it) throws DataError in every function, unless the tree
/// was opened with `allow_outside`.
class FileTree {
 public:
  virtual ~FileTree() = default;

  virtual bool is_folder(const std::string& path) const = 0;
  virtual bool is_file(const std::string& path) const = 0;
  /// Throws DataError if it cannot be listed.
  virtual FolderListing list(const std::string& folder) const = 0;
  /// A small file's bytes (an image, a list), at most 1 GiB. Throws DataError if it is missing or cannot be read.
  virtual FileBytes read(const std::string& path) const = 0;
  /// A large file's bytes, mapped: takes no memory of its own. Throws as `read`.
  virtual FileBytes map(const std::string& path) const = 0;
  /// A name under which a library that wants a file can open it, while the result lives; what is open by then stays
  /// readable. Throws as `read`.
  virtual std::shared_ptr<const std::filesystem::path> file_for_library(const std::string& path) const = 0;
  /// Differs between files, and between a file before and after a change: a key for what is kept of it in memory.
  virtual std::string version(const std::string& path) const = 0;
  /// Where a folder lies once links are followed: the same for two paths to one folder.
  virtual std::string real_path(const std::string& folder) const = 0;
  /// The path in single quotes, for messages: '/data/mini/train.csv', '/data/mini.tar:train.csv'.
  virtual std::string name(const std::string& path) const = 0;
  /// What the user should know of how its names were read, a line each.
  virtual std::vector<std::string> notices() const { return {}; }
};
using FileTreePtr = std::shared_ptr<const FileTree>;

/// A folder or an archive (.tar, also with .gz, .bz2, .xz or .zst; .zip). A single folder at an archive's top is looked
/// through, so that an archive of `mini-imagenet/` is a root, unless its name means something to a data set (train,
/// images, ...); so is a single archive, and a readme or licence beside either does not matter. Names in an archive
/// that do not say their encoding are in `name_encoding`; empty: UTF-8 if all of them are, else CP437 in a .zip. Throws
/// UsageError if `root` does not exist or is neither; DataError if an archive is damaged, has entries that leave it, or
/// unpacks to more than 100 times its size.
FileTreePtr open_file_tree(const std::filesystem::path& root, bool allow_outside = false,
                           const std::string& name_encoding = {});

/// Files anywhere, as given on the command line. Their paths as text: escaped(path.string()).
FileTreePtr open_anywhere();

/// An archive that is a file of another tree: a .zip lying in a data root, an .npz. Throws DataError.
FileTreePtr open_archive_in(const FileTreePtr& tree, const std::string& path, const std::string& name_encoding = {});

/// Archives that are opened while one of these lives stay open until the last of them is gone, so that what opens the
/// same one several times in a row unpacks it once. Otherwise an archive is open while a tree or bytes of it are in
/// use.
class ArchivesStayOpen {
 public:
  ArchivesStayOpen();
  ~ArchivesStayOpen();
  ArchivesStayOpen(const ArchivesStayOpen&) = delete;
  ArchivesStayOpen& operator=(const ArchivesStayOpen&) = delete;
};

/// The part of a tree below one of its folders.
FileTreePtr subtree(FileTreePtr tree, const std::string& folder);

/// The kind of an entry that is left out because of its name, as LeftOut has it; empty: it is not.
std::string left_out_kind(const std::string& name, bool is_folder);

/// "a/b"; the other one if one is empty.
std::string joined_path(const std::string& folder, const std::string& name);

/// Whether a name found inside a file stays below the folder it is relative to: not empty, not absolute, no "..".
bool stays_below(const std::string& relative);

/// The path in single quotes, for messages: one line of UTF-8.
std::string in_quotes(const std::filesystem::path& path);

}  // namespace fewatoms
