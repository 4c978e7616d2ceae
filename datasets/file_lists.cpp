#include "datasets/file_lists.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_set>

#include "datasets/class_folders.h"
#include "datasets/files.h"
#include "datasets/labels.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

using nlohmann::json;

/// Where a path of a list lies in the tree: itself, or what remains of it without its first folders. Lists made on
/// another machine hold that machine's paths. How many folders to leave out is found for the first path and tried first
/// for the others.
class PathFinder {
 public:
  PathFinder(const FileTree& tree, bool allow_outside) : tree_(tree), allow_outside_(allow_outside) {}

  /// The path in the tree; nothing if there is no such file or folder. `where` is for messages.
  std::optional<std::string> find(const std::string& given, const std::string& where) {
    if (given.empty()) throw DataError(where + " has an empty path");
    const std::filesystem::path path = std::filesystem::path(given).lexically_normal();
    if (allow_outside_ && exists(given)) return given;
    if (std::find(path.begin(), path.end(), "..") != path.end())
      throw DataError(where + " has the path '" + given +
                      "', which leaves the data root: expected one without '..' (--allow-outside permits it)");
    std::vector<std::string> parts;
    for (const auto& part : path.relative_path())
      if (part != ".") parts.push_back(part.string());
    if (auto found = without(parts, leave_out_)) return found;
    for (size_t n = 0; n < parts.size(); ++n)
      if (auto found = without(parts, n)) {
        leave_out_ = n;
        return found;
      }
    return std::nullopt;
  }

 private:
  bool exists(const std::string& path) const { return tree_.is_file(path) || tree_.is_folder(path); }

  std::optional<std::string> without(const std::vector<std::string>& parts, size_t count) const {
    if (count >= parts.size()) return std::nullopt;
    std::string path;
    for (size_t i = count; i < parts.size(); ++i) path = joined_path(path, parts[i]);
    if (!exists(path)) return std::nullopt;
    return path;
  }

  const FileTree& tree_;
  const bool allow_outside_;
  size_t leave_out_ = 0;
};

/// A member of a JSON object that is a list of texts. Throws DataError.
std::vector<std::string> texts(const FileTree& tree, const std::string& path, const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) throw DataError(tree.name(path) + " has no list '" + key + "'");
  std::vector<std::string> result;
  for (const auto& item : *found) {
    if (!item.is_string())
      throw DataError(tree.name(path) + " has " + item.dump().substr(0, 60) + " in '" + key + "', expected text");
    result.push_back(item);
  }
  return result;
}

std::vector<FileClass> read_filelist(const FileTree& tree, const DatasetOptions& options, const std::string& path,
                                     ReadingNotes& notes) {
  const json list = read_json(tree, path);
  if (!list.is_object())
    throw DataError(tree.name(path) +
                    " is no filelist, expected an object with label_names, image_names and image_labels");
  const auto names = texts(tree, path, list, "label_names"), images = texts(tree, path, list, "image_names");
  const auto labels = list.find("image_labels");
  if (labels == list.end() || !labels->is_array()) throw DataError(tree.name(path) + " has no list 'image_labels'");
  if (labels->size() != images.size())
    throw DataError(tree.name(path) + " has " + std::to_string(images.size()) + " image_names and " +
                    std::to_string(labels->size()) + " image_labels, expected as many");

  std::vector<int64_t> numbers;
  for (size_t i = 0; i < images.size(); ++i) {
    if (!(*labels)[i].is_number_integer())
      throw DataError(tree.name(path) + " gives image " + std::to_string(i) + " a label that is no integer");
    numbers.push_back((*labels)[i]);
  }
  // Labels count all names, or start at an offset: there are no more labels than names then.
  const auto [least, greatest] = std::minmax_element(numbers.begin(), numbers.end());
  const auto count = static_cast<int64_t>(names.size());
  int64_t offset = 0;
  if (!numbers.empty() && *greatest >= count && *least > 0 && *greatest - *least < count) offset = *least;

  PathFinder finder(tree, options.allow_outside);
  std::map<int64_t, FileClass> by_label;
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < images.size(); ++i) {
    const std::string where = tree.name(path) + " image " + std::to_string(i);
    const int64_t label = numbers[i] - offset;
    if (label < 0 || label >= count)
      throw DataError(where + " has the label " + std::to_string(numbers[i]) + ", expected 0 to " +
                      std::to_string(count - 1) + ": there are " + std::to_string(count) + " label_names");
    if (!seen.insert(images[i]).second) throw DataError(where + " repeats '" + images[i] + "'");
    const auto file = finder.find(images[i], where);
    if (!file) throw DataError(where + " is '" + images[i] + "', which is not below " + tree.name(""));
    by_label[label].images.push_back({*file});
  }
  std::map<std::string, FileClass> classes;  // sorted by name
  std::set<std::string> given;
  for (auto& [label, of_label] : by_label) {
    const std::string& name = names[static_cast<size_t>(label)];
    if (!given.insert(name).second) throw DataError(tree.name(path) + " has two labels for class '" + name + "'");
    FileClass& c = classes.try_emplace(notes.label(name)).first->second;
    std::move(of_label.images.begin(), of_label.images.end(), std::back_inserter(c.images));
  }
  std::vector<FileClass> result;
  for (auto& [name, c] : classes) {
    c.name = name;
    result.push_back(std::move(c));
  }
  return result;
}

/// Files that are called as lists are: {split}.json or .txt in the root, in splits/ or in a folder of it, by split and
/// then in the order in which they count.
std::vector<FoundSplit> files_like_lists(const FileTree& tree) {
  std::vector<std::string> folders{""};
  if (tree.is_folder("splits")) {
    folders.emplace_back("splits");
    for (const auto& folder : tree.list("splits").folders) folders.push_back("splits/" + folder);
  }
  std::vector<FoundSplit> found;
  static const std::vector<std::pair<std::string, std::vector<std::string>>> kNames{
      {"train", {"train", "base"}}, {"val", {"val"}}, {"test", {"test", "novel"}}};
  for (const auto& [split, names] : kNames)
    for (const auto& folder : folders)
      for (const std::string& name : names)
        for (const char* extension : {".json", ".txt"})
          if (const std::string path = joined_path(folder, name + extension); tree.is_file(path))
            found.push_back({split, path});
  return found;
}

bool is_filelist(const FileTree& tree, const std::string& path) {
  return tree.read(path).view.find("\"image_names\"") != std::string_view::npos;
}

/// Where class folders may lie.
constexpr const char* kHomes[] = {"", "data", "images"};

/// Whether a file that is called as a class list is none: it names no folder that is there, though class folders are.
bool is_stray(const FileTree& tree, const std::string& path) {
  const bool has_classes = std::any_of(std::begin(kHomes), std::end(kHomes), [&](const char* home) {
    return tree.is_folder(home) && holds_class_folders(tree, home);
  });
  if (!has_classes) return false;  // reading it will say what is wrong
  ClassList list;
  try {
    list = read_class_list(tree, path);
  } catch (const DataError&) {
    return true;
  }
  const auto is_there = [&](const std::string& name) {
    return stays_below(name) && std::any_of(std::begin(kHomes), std::end(kHomes), [&](const char* home) {
             return tree.is_folder(joined_path(home, name)) || tree.is_folder(joined_path(home, clean_label(name)));
           });
  };
  PathFinder finder(tree, /*allow_outside=*/false);
  const auto is_root = [&](const std::string& folder) {
    try {
      return finder.find(folder, "").has_value();
    } catch (const DataError&) {
      return false;
    }
  };
  return std::none_of(list.names.begin(), list.names.end(), is_there) &&
         std::none_of(list.folders.begin(), list.folders.end(), is_root);
}

/// The first list of each split that is of the kind asked for.
std::vector<FoundSplit> find_lists(const FileTree& tree, bool filelists) {
  std::vector<FoundSplit> found;
  for (const FoundSplit& candidate : files_like_lists(tree)) {
    if (!found.empty() && found.back().split == candidate.split) continue;
    if (is_filelist(tree, candidate.path) != filelists || (!filelists && is_stray(tree, candidate.path))) continue;
    found.push_back(candidate);
  }
  return found;
}

/// The folder of class folders.
std::string class_home(const FileTree& tree, const std::string& first) {
  for (const char* home : kHomes)
    if (tree.is_folder(joined_path(home, first)) || tree.is_folder(joined_path(home, clean_label(first)))) return home;
  return "";
}

ImageSet open_class_list(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  const ClassList list = read_class_list(*tree, found.path);
  const std::string home = class_home(*tree, list.names.front());
  PathFinder finder(*tree, options.allow_outside);
  std::map<std::string, FileClass> classes;  // sorted by name
  std::set<std::string> read;                // folders
  ReadingNotes notes;
  for (size_t i = 0; i < list.names.size(); ++i) {
    const std::string& name = list.names[i];
    const std::string where = tree->name(found.path) + " class '" + name + "'";
    if (!options.allow_outside && !stays_below(name))
      throw DataError(
          where + " leaves the data root: expected a name without '..' and not absolute (--allow-outside permits it)");
    const std::string label = notes.label(name);
    std::optional<std::string> folder;
    if (tree->is_folder(joined_path(home, name)))
      folder = joined_path(home, name);
    else if (tree->is_folder(joined_path(home, label)))
      folder = joined_path(home, label);
    else if (!list.folders.empty())
      folder = finder.find(list.folders[i], where);
    if (!folder) throw DataError(where + " has no folder '" + name + "' in " + tree->name("") + ", data/ or images/");
    if (!read.insert(*folder).second) continue;  // its name with and without spaces
    FileClass of_folder = read_class_folder(*tree, *folder, label, notes);
    FileClass& c = classes.try_emplace(label, FileClass{label}).first->second;
    std::move(of_folder.images.begin(), of_folder.images.end(), std::back_inserter(c.images));
  }
  std::vector<FileClass> sorted;
  for (auto& [label, c] : classes) sorted.push_back(std::move(c));
  ImageSet set = file_images(tree, std::move(sorted), options);
  set.notices = notes.lines();
  return set;
}

}  // namespace

ClassList read_class_list(const FileTree& tree, const std::string& path) {
  ClassList list;
  if (path.ends_with(".json")) {
    const json content = read_json(tree, path);
    if (content.is_array()) {
      list.names = texts(tree, path, json{{"names", content}}, "names");
    } else if (content.is_object()) {
      list.names = texts(tree, path, content, "class_names");
      if (content.contains("class_roots")) list.folders = texts(tree, path, content, "class_roots");
    } else {
      throw DataError(tree.name(path) + " is no class list, expected class_names, or a plain list of names");
    }
  } else {
    for (const TextLine& line : read_lines(tree, path)) list.names.push_back(line.text);
  }
  if (list.names.empty()) throw DataError(tree.name(path) + " lists no classes");
  if (!list.folders.empty() && list.folders.size() != list.names.size())
    throw DataError(tree.name(path) + " has " + std::to_string(list.names.size()) + " class_names and " +
                    std::to_string(list.folders.size()) + " class_roots, expected as many");
  std::set<std::string> seen;
  for (const auto& name : list.names)
    if (name.empty() || !seen.insert(name).second)
      throw DataError(tree.name(path) +
                      (name.empty() ? " has an empty class name" : " names class '" + name + "' twice"));
  return list;
}

std::vector<std::string> stray_list_notices(const FileTree& tree) {
  ReadingNotes notes;
  for (const FoundSplit& candidate : files_like_lists(tree))
    if (!is_filelist(tree, candidate.path) && is_stray(tree, candidate.path))
      notes.ignored("file", " called like class lists that name no class folder", tree.name(candidate.path));
  return notes.lines();
}

Form filelist_form() {
  return {.name = "filelist-json",
          .expected = "filelists base.json, val.json and novel.json",
          .find = [](const FileTree& tree, const DatasetOptions&) { return find_lists(tree, true); },
          .open =
              [](const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
                ReadingNotes notes;
                ImageSet set = file_images(tree, read_filelist(*tree, options, found.path, notes), options);
                set.notices = notes.lines();
                return set;
              }};
}

Form class_list_form() {
  return {.name = "class-lists",
          .expected = "class folders with lists train.json (or .txt), val.json and test.json",
          .find = [](const FileTree& tree, const DatasetOptions&) { return find_lists(tree, false); },
          .open = open_class_list,
          .class_names = [](const FileTreePtr& tree, const DatasetOptions&,
                            const FoundSplit& found) { return read_class_list(*tree, found.path).names; }};
}

}  // namespace fewatoms
