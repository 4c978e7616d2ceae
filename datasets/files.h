#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace fewatoms {

/// One line of a text file that is not blank, without its line end (LF or CRLF).
struct TextLine {
  int number = 0;  // from 1
  std::string text;
};

/// Throws DataError if the file cannot be read.
std::vector<TextLine> read_lines(const std::filesystem::path& file);

/// The path in single quotes, for messages.
std::string in_quotes(const std::filesystem::path& path);

/// "'FILE' line 3", for messages.
std::string place(const std::filesystem::path& file, const TextLine& line);

/// Throws DataError.
std::string read_bytes(const std::filesystem::path& file);

/// Names of the folders, and of the other entries, directly under `folder`, sorted. Hidden ones (".name") are left out.
struct FolderListing {
  std::vector<std::string> folders;
  std::vector<std::string> files;
};
FolderListing list_folder(const std::filesystem::path& folder);

/// By extension, in any case.
bool has_image_extension(const std::string& name);

/// Whether a name found inside a file stays below the folder it is relative to: not empty, not absolute, no "..".
bool stays_below(const std::string& relative);

/// Throws UsageError unless `root` is a folder. `dataset` names what wants it.
void require_folder(const std::filesystem::path& root, const std::string& dataset);

/// "train, val"
std::string joined(const std::vector<std::string>& names);

/// Throws UsageError unless `split` is among `present`; `expected` says what was looked for: "/data/mini/test.csv".
void require_split(const std::string& dataset, const std::string& split, const std::vector<std::string>& present,
                   const std::string& expected);

}  // namespace fewatoms
