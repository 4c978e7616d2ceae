#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/file_tree.h"

namespace fewatoms {

/// What a reader passes over or changes, counted while it reads: one line for each kind, with an example.
class ReadingNotes {
 public:
  /// Something that is not read: "file", " without an image extension", "'photos/cat/notes.txt'".
  void ignored(const std::string& what, const std::string& why, const std::string& example);
  /// What a listing left out. Hidden files that are no pictures are not worth a word.
  void ignored(const FileTree& tree, const std::string& folder, const FolderListing& listing);
  /// What other notes say was not read.
  void add_ignored(const ReadingNotes& others);
  /// A picture that lies deeper than its class folder.
  void read_inside(const std::string& example);
  /// clean_label, counting the labels that had spaces.
  std::string label(const std::string& given);

  std::vector<std::string> lines() const;

 private:
  struct Line {
    std::string start, what, end;  // "ignored ", "file", " without an image extension"
    int64_t count = 0;
    std::string example;
  };
  void count(const std::string& start, const std::string& what, const std::string& end, const std::string& example);

  std::vector<Line> lines_;
};

}  // namespace fewatoms
