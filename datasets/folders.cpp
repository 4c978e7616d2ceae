#include <algorithm>

#include "datasets/class_folders.h"
#include "datasets/class_split.h"
#include "datasets/entries.h"
#include "datasets/file_lists.h"
#include "datasets/files.h"
#include "datasets/forms.h"
#include "datasets/reading_notes.h"
#include "episodes/errors.h"
#include "episodes/text.h"

// Any labelled images: one folder per class, or train, val and test folders of those. Without split folders the
// classes are split by a list, or shuffled by the split seed and cut (64 : 16 : 20 by default, as mini-ImageNet is).

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

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

/// The tree from where the data are on: a single folder of folders (images/, or the data set's name) is looked through.
FileTreePtr seen_through(FileTreePtr tree, const DatasetOptions& options) {
  constexpr int kDeepest = 4;
  for (int depth = 0; depth < kDeepest && is_plain(*tree, options); ++depth) {
    const FolderListing top = tree->list("");
    if (top.folders.size() != 1 || holds_images(top) || !split_name(top.folders.front()).empty()) break;
    const FolderListing inside = tree->list(top.folders.front());
    if (inside.folders.empty() || holds_images(inside)) break;
    tree = subtree(std::move(tree), top.folders.front());
  }
  return tree;
}

/// Classes without splits, and what is to be said of them.
struct PlainClasses {
  std::vector<FileClass> classes;
  std::vector<std::string> notices;
};

/// The class folders of a tree. Throws UsageError if there are none.
PlainClasses plain_classes(const FileTree& tree) {
  ReadingNotes notes;
  PlainClasses plain{find_class_folders(tree, "", notes), {}};
  if (plain.classes.empty())
    throw UsageError(tree.name("") + " has no class folders with images, expected one folder per class");
  plain.notices = notes.lines();
  for (const FileClass& c : plain.classes)
    if (!split_name(c.name).empty())
      plain.notices.push_back("folder '" + c.name + "' holds images itself, so it is a class and no split");
  for (auto& notice : stray_list_notices(tree)) plain.notices.push_back(std::move(notice));
  for (auto& notice : tree.notices()) plain.notices.push_back(std::move(notice));
  return plain;
}

ClassSplit split_of(const std::vector<FileClass>& classes, const DatasetOptions& options, const std::string& where) {
  std::vector<std::string> names;
  for (const FileClass& c : classes) names.push_back(c.name);
  return split_classes(names, options, where);
}

std::vector<std::string> folders_splits(const DatasetOptions& options) {
  const FileTreePtr tree = seen_through(open_root(options), options);
  if (is_plain(*tree, options)) return split_of(plain_classes(*tree).classes, options, tree->name("")).splits();
  return splits_by_form(tree, options, split_forms());
}

std::shared_ptr<const ImageSource> open_folders(const DatasetOptions& options, const std::string& split) {
  const FileTreePtr tree = seen_through(open_root(options), options);
  if (!is_plain(*tree, options)) {
    if (!options.split_file.empty())
      throw UsageError(tree->name("") + " says which class is in which split, so a split file does not apply");
    OpenedForm opened = open_by_form(tree, options, split_forms(), split);
    if (opened.info.form == "split-folders") {
      ReadingNotes notes;
      const auto splits = split_forms().front().find(*tree, options);
      for (const std::string& folder : tree->list("").folders)
        if (std::none_of(splits.begin(), splits.end(), [&](const FoundSplit& f) { return f.path == folder; }))
          notes.ignored("folder", " beside the split folders", tree->name(folder));
      for (auto& notice : notes.lines()) opened.info.notices.push_back(std::move(notice));
    }
    return cached_source(std::move(opened.info), opened.set.classes, options, std::move(opened.set.load));
  }
  PlainClasses plain = plain_classes(*tree);
  ClassSplit splits = split_of(plain.classes, options, tree->name(""));
  std::erase_if(plain.classes, [&](const FileClass& c) {
    const auto in = splits.split_of.find(c.name);
    return in == splits.split_of.end() || in->second != split;
  });
  if (plain.classes.empty())
    throw UsageError("folders has no split '" + split + "' in " + tree->name("") + ": there is " +
                     joined(splits.splits()));
  plain.notices.insert(plain.notices.end(), splits.notices.begin(), splits.notices.end());
  SourceInfo info{.dataset = options.name,
                  .split = split,
                  .form = "class-folders",
                  .split_rule = splits.rule,
                  .crop = "none",
                  .notices = std::move(plain.notices)};
  return file_source(std::move(info), tree, std::move(plain.classes), options);
}

}  // namespace

DatasetEntry folders_entry() {
  return {.name = "folders",
          .summary = "your images: one folder per class, or train, val and test folders of those",
          .usual_size = 84,
          .usual_channels = 3,
          .split_rules = {},
          .splits = folders_splits,
          .open = open_folders,
          .comes_without_splits = [](const DatasetOptions& options) { return is_plain(*open_root(options), options); }};
}

std::shared_ptr<const ImageSource> open_class_folders(const DatasetOptions& options) {
  DatasetOptions resolved = options;
  resolved.name = "folders";
  resolved = resolve(resolved);
  const FileTreePtr tree = seen_through(open_root(resolved), resolved);
  if (const auto splits = split_folders_form().find(*tree, resolved); !splits.empty())
    throw UsageError(tree->name("") + " holds the folder '" + splits.front().path +
                     "' of class folders, expected class folders: give the one that is meant");
  PlainClasses plain = plain_classes(*tree);
  SourceInfo info{.dataset = "folders",
                  .split = "all",
                  .form = "class-folders",
                  .split_rule = "",
                  .crop = "none",
                  .notices = std::move(plain.notices)};
  return file_source(std::move(info), tree, std::move(plain.classes), resolved);
}

std::shared_ptr<const ImageSource> open_images(const std::vector<fs::path>& files, const DatasetOptions& options) {
  DatasetOptions resolved = options;
  resolved.name = "folders";
  resolved = resolve(resolved);
  FileClass images{"images"};
  for (const fs::path& file : files) {
    if (!fs::exists(file)) throw UsageError("image " + in_quotes(file) + " does not exist");
    if (fs::is_directory(file)) throw UsageError(in_quotes(file) + " is a folder, expected an image file");
    images.images.push_back({escaped(file.string())});
  }
  SourceInfo info{
      .dataset = "images", .split = "all", .form = "files", .split_rule = "", .crop = "none", .notices = {}};
  return file_source(std::move(info), open_anywhere(), {std::move(images)}, resolved);
}

}  // namespace fewatoms
