#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/file_tree.h"

namespace fewatoms {

/// One line of a text file that is not blank, without its line end (LF or CRLF).
struct TextLine {
  int number = 0;  // from 1
  std::string text;
};

/// Throws DataError if the file cannot be read. A UTF-8 byte order mark at the start is left out; bytes that are no
/// UTF-8 are escaped (as_utf8).
std::vector<TextLine> read_lines(const FileTree& tree, const std::string& path);

/// Throws DataError, with the byte where it goes wrong, if the file is not JSON.
nlohmann::json read_json(const FileTree& tree, const std::string& path);

/// "'FILE' line 3", for messages.
std::string place(const FileTree& tree, const std::string& path, const TextLine& line);

/// With the letters A to Z as a to z, whatever the locale.
std::string lower_case(std::string text);

/// Whether it is called as an image of a kind that is read, by extension, in any case.
bool has_image_extension(const std::string& name);

/// Whether it is called as a picture of a kind that is not read (.ico, .svg, a camera's raw file), in any case.
bool has_unread_picture_extension(const std::string& name);

/// What a file is that is taken for data by mistake, by its first bytes: "a web page (HTML)", as a failed download
/// leaves it, "a pointer of Git LFS", "a PDF document"; empty: nothing of that sort.
std::string foreign_content(std::string_view bytes);

/// Throws DataError if it is such a thing: "'x.jpg' is a web page (HTML), expected an image".
void require_not_foreign(std::string_view bytes, const std::string& name, const std::string& expected);

/// "1 file", "3 files"; "1 class", "3 classes" with the plural given
std::string counted(int64_t number, const std::string& what, const std::string& plural = {});

/// "train, val"
std::string joined(const std::vector<std::string>& names);

/// "a or b", "a, b or c"
std::string alternatives(const std::vector<std::string>& names);

}  // namespace fewatoms
