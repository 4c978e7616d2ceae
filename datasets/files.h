#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "datasets/file_tree.h"

namespace fewatoms {

/// One line of a text file that is not blank, without its line end (LF or CRLF).
struct TextLine {
  int number = 0;  // from 1
  std::string text;
};

/// Throws DataError if the file cannot be read.
std::vector<TextLine> read_lines(const std::filesystem::path& file);

/// "'FILE' line 3", for messages.
std::string place(const std::filesystem::path& file, const TextLine& line);

/// Throws DataError.
std::string read_bytes(const std::filesystem::path& file);

/// As FileTree::list, of a folder on disk.
FolderListing list_folder(const std::filesystem::path& folder);

/// By extension, in any case.
bool has_image_extension(const std::string& name);

/// Throws UsageError unless `root` is a folder. `dataset` names what wants it.
void require_folder(const std::filesystem::path& root, const std::string& dataset);

/// "train, val"
std::string joined(const std::vector<std::string>& names);

/// Throws UsageError unless `split` is among `present`; `expected` says what was looked for: "/data/mini/test.csv".
void require_split(const std::string& dataset, const std::string& split, const std::vector<std::string>& present,
                   const std::string& expected);

}  // namespace fewatoms
