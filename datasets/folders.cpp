#include <algorithm>

#include "datasets/class_folders.h"
#include "datasets/class_split.h"
#include "datasets/entries.h"
#include "datasets/file_lists.h"
#include "datasets/files.h"
#include "datasets/forms.h"
#include "episodes/errors.h"

// Any labelled images: one folder per class, or train, val and test folders of those. Without split folders the
// classes are split by a list, or shuffled by the split seed and cut (64 : 16 : 20 by default, as mini-ImageNet is).

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

/// Class folders under `folder`. Throws UsageError if there are none.
ClassFolders require_class_folders(const FileTree& tree, const std::string& folder) {
  ClassFolders found = find_class_folders(tree, folder);
  if (found.classes.empty())
    throw UsageError(tree.name(folder) + " has no class folders with images, expected one folder per class");
  return found;
}

ClassSplit split_of(const ClassFolders& found, const DatasetOptions& options, const std::string& where) {
  std::vector<std::string> names;
  for (const FileClass& c : found.classes) names.push_back(c.name);
  return split_classes(names, options, where);
}

/// Forms in which the splits are told apart.
const std::vector<Form>& split_forms() {
  static const std::vector<Form> forms{split_folders_form(), filelist_form(), class_list_form()};
  return forms;
}

/// Whether there are no splits: the root is a folder of class folders.
bool is_plain(const FileTree& tree, const DatasetOptions& options) {
  return std::all_of(split_forms().begin(), split_forms().end(),
                     [&](const Form& form) { return form.find(tree, options).empty(); });
}

std::vector<std::string> folders_splits(const DatasetOptions& options) {
  const FileTreePtr tree = open_root(options);
  if (is_plain(*tree, options)) return split_of(require_class_folders(*tree, ""), options, tree->name("")).splits();
  return splits_by_form(options, split_forms());
}

std::shared_ptr<const ImageSource> open_folders(const DatasetOptions& options, const std::string& split) {
  const FileTreePtr tree = open_root(options);
  if (!is_plain(*tree, options)) {
    if (!options.split_file.empty())
      throw UsageError(tree->name("") + " says which class is in which split, so a split file does not apply");
    OpenedForm opened = open_by_form(options, split_forms(), split);
    if (opened.info.form == "split-folders") {
      const auto others =
          static_cast<int64_t>(tree->list("").folders.size() - split_forms().front().find(*tree, options).size());
      if (others > 0)
        opened.info.notices.push_back("ignored " + counted(others, "folder") + " beside the split folders of " +
                                      tree->name(""));
    }
    return cached_source(std::move(opened.info), opened.set.classes, options, std::move(opened.set.load));
  }
  ClassFolders found = require_class_folders(*tree, "");
  ClassSplit splits = split_of(found, options, tree->name(""));
  std::erase_if(found.classes, [&](const FileClass& c) {
    const auto in = splits.split_of.find(c.name);
    return in == splits.split_of.end() || in->second != split;
  });
  if (found.classes.empty())
    throw UsageError("folders has no split '" + split + "' in " + tree->name("") + ": there is " +
                     joined(splits.splits()));
  found.notices.insert(found.notices.end(), splits.notices.begin(), splits.notices.end());
  SourceInfo info{.dataset = options.name,
                  .split = split,
                  .form = "class-folders",
                  .split_rule = splits.rule,
                  .crop = "none",
                  .notices = std::move(found.notices)};
  return file_source(std::move(info), tree, std::move(found.classes), options);
}

}  // namespace

DatasetEntry folders_entry() {
  return {.name = "folders",
          .summary = "your images: one folder per class, or train, val and test folders of those",
          .usual_size = 84,
          .usual_channels = 3,
          .split_rules = {},
          .splits = folders_splits,
          .open = open_folders};
}

std::shared_ptr<const ImageSource> open_class_folders(const DatasetOptions& options) {
  DatasetOptions resolved = options;
  resolved.name = "folders";
  resolved = resolve(resolved);
  const FileTreePtr tree = open_root(resolved);
  ClassFolders found = require_class_folders(*tree, "");
  SourceInfo info{.dataset = "folders",
                  .split = "all",
                  .form = "class-folders",
                  .split_rule = "",
                  .crop = "none",
                  .notices = std::move(found.notices)};
  return file_source(std::move(info), tree, std::move(found.classes), resolved);
}

std::shared_ptr<const ImageSource> open_images(const std::vector<fs::path>& files, const DatasetOptions& options) {
  DatasetOptions resolved = options;
  resolved.name = "folders";
  resolved = resolve(resolved);
  FileClass images{"images"};
  for (const fs::path& file : files) {
    if (!fs::exists(file)) throw UsageError("image " + in_quotes(file) + " does not exist");
    if (fs::is_directory(file)) throw UsageError(in_quotes(file) + " is a folder, expected an image file");
    images.images.push_back({file.string()});
  }
  SourceInfo info{
      .dataset = "images", .split = "all", .form = "files", .split_rule = "", .crop = "none", .notices = {}};
  return file_source(std::move(info), open_anywhere(), {std::move(images)}, resolved);
}

}  // namespace fewatoms
