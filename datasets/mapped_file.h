#pragma once

#include <cstdint>
#include <filesystem>

#include "datasets/file_tree.h"

namespace fewatoms {

/// The whole file in memory. Throws DataError if it cannot be read or has more than `largest` bytes.
FileBytes read_file(const std::filesystem::path& file, uintmax_t largest);

/// The whole file mapped read-only. Throws DataError if it cannot be opened.
FileBytes map_file(const std::filesystem::path& file);

/// A file without a name, for what is too large to keep in memory: in $TMPDIR, or /var/tmp, which is on disk where /tmp
/// may be memory. It is gone when the object and its maps are. Its functions throw DataError (no space, for instance).
class SpillFile {
 public:
  SpillFile();
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  void append(std::string_view bytes);
  uint64_t size() const { return size_; }
  /// All that has been written so far.
  FileBytes map() const;

 private:
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// A file that appears under its name when it is complete: written beside it under a name of its own, flushed to the
/// disk and renamed. What is not put in place is removed. Throws DataError if it cannot be written.
class NewFile {
 public:
  /// `kind` ("pack") and `bytes`, how much will be written, are for messages.
  NewFile(std::filesystem::path file, std::string kind, int64_t bytes);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(std::string_view bytes);
  /// Over what was written first.
  void write_at_start(std::string_view bytes);
  void put_in_place();

 private:
  [[noreturn]] void fail() const;  // by errno

  const std::filesystem::path file_;
  const std::string kind_;
  const int64_t bytes_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// A file with these bytes where SpillFile puts its own, with a name until the result is released.
std::shared_ptr<const std::filesystem::path> named_copy(std::string_view bytes);

}  // namespace fewatoms
