#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "datasets/file_tree.h"

namespace fewatoms {

/// One line of a text file that is not blank, without its line end (LF or CRLF).
struct TextLine {
  int number = 0;  // from 1
  std::string text;
};

/// Throws DataError if the file cannot be read. A UTF-8 byte order mark at the start is left out.
std::vector<TextLine> read_lines(const FileTree& tree, const std::string& path);

/// Throws DataError, with the byte where it goes wrong, if the file is not JSON.
nlohmann::json read_json(const FileTree& tree, const std::string& path);

/// "'FILE' line 3", for messages.
std::string place(const FileTree& tree, const std::string& path, const TextLine& line);

/// By extension, in any case.
bool has_image_extension(const std::string& name);

/// "1 file", "3 files"
std::string counted(int64_t number, const std::string& what);

/// "train, val"
std::string joined(const std::vector<std::string>& names);

/// "a or b", "a, b or c"
std::string alternatives(const std::vector<std::string>& names);

}  // namespace fewatoms
