#pragma once

#include <filesystem>

namespace fewatoms {

/// A file that is being written under a temporary name beside its own, so that what has the name is always whole. The
/// temporary file is removed at the end of the scope, unless it was put in place, and by remove_unfinished_files.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const std::filesystem::path& name);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }  // the temporary one, which the caller opens
  /// Gives the file its name. False, with errno set, if that cannot be done.
  bool put_in_place();

 private:
  std::filesystem::path name_, path_;
  char* listed_;  // a copy of path_ for signal handlers; null: none is kept
};

/// Removes every file that is unfinished now: for a program that is about to end at once. Safe in signal handlers.
void remove_unfinished_files() noexcept;

}  // namespace fewatoms
