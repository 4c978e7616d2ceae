#pragma once

#include <map>
#include <string>
#include <vector>

#include "datasets/forms.h"

namespace fewatoms {

/// Filelists as "A closer look at few-shot classification" (Chen et al. 2019) writes them, one per split (base, val,
/// novel):
/// {"label_names": [...], "image_names": [paths], "image_labels": [ints]}. Paths are relative to the root; what was
/// written on another machine is found by leaving out leading folders.
Form filelist_form();

/// Class folders with class lists, one per split: {split}.json ({"class_names": [...], "class_roots": [...]} or a plain
/// list of names) or {split}.txt (a name per line), in the root or in `splits/` or a folder of it. Class folders lie in
/// the root, in `data/` or in `images/`, or where class_roots say. A file of such a name that names no folder, beside
/// class folders, is none.
Form class_list_form();

/// A line if there are such files.
std::vector<std::string> stray_list_notices(const FileTree& tree);

/// A class list: names, and their folders where the list gives them.
struct ClassList {
  std::vector<std::string> names;
  std::vector<std::string> folders;  // empty, or one per name
};
/// Throws DataError: no list of names, an empty one, a name twice.
ClassList read_class_list(const FileTree& tree, const std::string& path);

}  // namespace fewatoms
