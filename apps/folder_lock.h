#pragma once

#include <filesystem>
#include <string>

namespace fewatoms {

/// Keeps other processes of this program out of a folder while it lives, by a lock on the file `.lock` in it. Processes
/// that are started meanwhile hold it too, so that it opens when the last of them has ended; a crash leaves nothing
/// that has to be cleared away.
class FolderLock {
 public:
  /// `what` works in the folder: "training", "comparison". Throws UsageError, naming the process if it is known, if
  /// another one has the lock and keeps it for two seconds.
  FolderLock(const std::filesystem::path& folder, const std::string& what);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// Where the file system gives no lock: a line that says so. Otherwise empty.
  const std::string& notice() const { return notice_; }

 private:
  std::filesystem::path path_;
  std::string notice_;
  int file_ = -1;
};

}  // namespace fewatoms
