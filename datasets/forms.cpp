#include "datasets/forms.h"

#include <algorithm>
#include <map>
#include <utility>

#include "datasets/class_folders.h"
#include "datasets/class_split.h"
#include "datasets/files.h"
#include "datasets/labels.h"
#include "datasets/reading_notes.h"
#include "episodes/errors.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

std::vector<std::string> names_of(const Form& form, const FileTreePtr& tree, const DatasetOptions& options,
                                  const FoundSplit& found) {
  if (form.class_names) return form.class_names(tree, options, found);
  std::vector<std::string> names;
  for (const ClassSize& c : form.open(tree, options, found).classes) names.push_back(c.name);
  return names;
}

/// A class that training sees and testing asks for again would make every result too good: also one whose name differs
/// in case or composition alone.
void require_apart(const Form& form, const FileTreePtr& tree, const DatasetOptions& options,
                   const std::vector<FoundSplit>& found, const FoundSplit& opened, const ImageSet& set) {
  for (const FoundSplit& other : found) {
    if (other.split == opened.split) continue;
    std::map<std::string, std::string> names;  // by their keys
    for (const std::string& name : names_of(form, tree, options, other)) {
      const std::string label = clean_label(name);
      names.emplace(label_key(label), label);
    }
    for (const ClassSize& c : set.classes) {
      const auto twin = names.find(label_key(c.name));
      if (twin == names.end()) continue;
      const bool is_same = twin->second == c.name;
      throw DataError("class '" + c.name + "' is in two splits: " + opened.split + " (" + tree->name(opened.path) +
                      ") and " + other.split + " (" + tree->name(other.path) +
                      (is_same ? ""
                               : ", as '" + twin->second + "', which differs " +
                                     label_difference(c.name, twin->second) + " alone") +
                      "), expected each class in one");
    }
  }
}

/// Labels of an opened split without spaces at their ends.
void trim_labels(ImageSet& set, const std::string& where) {
  ReadingNotes notes;
  std::map<std::string, std::string> given;
  for (ClassSize& c : set.classes) {
    const std::string before = std::exchange(c.name, notes.label(c.name));
    const auto [first, is_new] = given.emplace(c.name, before);
    if (!is_new)
      throw DataError(where + " has class '" + first->second + "' and '" + as_line(before) +
                      "', which differ in spaces alone: expected one of them");
  }
  for (std::string& line : notes.lines()) set.notices.push_back(std::move(line));
}

std::vector<FoundSplit> find_split_folders(const FileTree& tree) {
  std::vector<std::string> candidates, others;
  FolderListing top = tree.list("");
  for (std::string& folder : top.folders)
    (split_name(folder).empty() ? others : candidates).push_back(std::move(folder));
  const auto holds = [&](const std::string& folder) { return holds_images(tree.list(folder)); };
  // Only where it decides: folders may hold very many images.
  if (std::any_of(candidates.begin(), candidates.end(), holds) && std::any_of(others.begin(), others.end(), holds))
    std::erase_if(candidates, holds);
  std::vector<FoundSplit> found;
  for (const char* split : {"train", "val", "test"})
    for (const std::string& folder : candidates) {
      if (split_name(folder) != split) continue;
      if (!found.empty() && found.back().split == split)
        throw UsageError(tree.name("") + " has two folders of split '" + split + "': '" + found.back().path +
                         "' and '" + folder + "', expected one");
      found.push_back({split, folder});
    }
  return found;
}

}  // namespace

const Form& find_form(const FileTree& tree, const std::vector<Form>& forms, const DatasetOptions& options) {
  const Form* only = nullptr;
  FoundSplit evidence;
  std::vector<std::string> expected;
  for (const Form& form : forms) {
    expected.push_back(form.expected);
    const auto found = form.find(tree, options);
    if (found.empty()) continue;
    if (only != nullptr)
      throw UsageError(tree.name("") + " holds two forms of " + options.name + ": " + only->name + " (" +
                       tree.name(evidence.path) + ") and " + form.name + " (" + tree.name(found.front().path) +
                       "), expected one of them");
    only = &form;
    evidence = found.front();
  }
  if (only == nullptr)
    throw UsageError(tree.name("") + " holds no " + options.name + ": expected " + alternatives(expected));
  return *only;
}

std::vector<std::string> splits_by_form(const DatasetOptions& options, const std::vector<Form>& forms) {
  return splits_by_form(open_root(options), options, forms);
}

std::vector<std::string> splits_by_form(const FileTreePtr& tree, const DatasetOptions& options,
                                        const std::vector<Form>& forms) {
  std::vector<std::string> splits;
  for (const FoundSplit& found : find_form(*tree, forms, options).find(*tree, options)) splits.push_back(found.split);
  return splits;
}

OpenedForm open_by_form(const DatasetOptions& options, const std::vector<Form>& forms, const std::string& split) {
  return open_by_form(open_root(options), options, forms, split);
}

OpenedForm open_by_form(const FileTreePtr& tree, const DatasetOptions& options, const std::vector<Form>& forms,
                        const std::string& split) {
  const Form& form = find_form(*tree, forms, options);
  const auto found = form.find(*tree, options);
  const auto wanted = std::find_if(found.begin(), found.end(), [&](const FoundSplit& f) { return f.split == split; });
  if (wanted == found.end()) {
    std::vector<std::string> present;
    for (const FoundSplit& f : found) present.push_back(f.split);
    throw UsageError(options.name + " has no split '" + split + "' in " + tree->name("") + " (form " + form.name +
                     "): expected " + form.expected + "; there is " + joined(present));
  }
  OpenedForm opened;
  opened.set = form.open(tree, options, *wanted);
  trim_labels(opened.set, tree->name(wanted->path));
  if (opened.set.classes.empty())
    throw DataError(tree->name(wanted->path) + " has no classes, expected some of split '" + split + "'");
  for (const ClassSize& c : opened.set.classes)
    if (c.images == 0)
      throw DataError("class '" + c.name + "' of " + tree->name(wanted->path) + " is empty, expected images");
  if (!form.shares_classes) require_apart(form, tree, options, found, *wanted, opened.set);
  opened.info = {.dataset = options.name,
                 .split = split,
                 .form = form.name,
                 .split_rule = options.split_rule,
                 .crop = options.crop,
                 .notices = opened.set.notices};
  for (std::string& notice : tree->notices()) opened.info.notices.push_back(std::move(notice));
  return opened;
}

std::function<std::vector<FoundSplit>(const FileTree&, const DatasetOptions&)> find_by_name(
    std::vector<FoundSplit> candidates) {
  return [candidates = std::move(candidates)](const FileTree& tree, const DatasetOptions&) {
    std::vector<FoundSplit> found;
    for (const char* split : {"train", "val", "test"})
      for (const FoundSplit& candidate : candidates)
        if (candidate.split == split && (tree.is_file(candidate.path) || tree.is_folder(candidate.path))) {
          found.push_back(candidate);
          break;
        }
    return found;
  };
}

Form split_folders_form() {
  return {.name = "split-folders",
          .expected = "folders train/, val/ and test/ of class folders",
          .find = [](const FileTree& tree, const DatasetOptions&) { return find_split_folders(tree); },
          .open =
              [](const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
                ReadingNotes notes;
                auto classes = find_class_folders(*tree, found.path, notes);
                if (classes.empty())
                  throw UsageError(tree->name(found.path) +
                                   " has no class folders with images, expected one folder per class");
                ImageSet set = file_images(tree, std::move(classes), options);
                set.notices = notes.lines();
                return set;
              },
          .class_names = [](const FileTreePtr& tree, const DatasetOptions&,
                            const FoundSplit& found) { return tree->list(found.path).folders; }};
}

std::string shortfall(const std::string& split, const ImageSet& set, int classes, int images) {
  const auto [fewest, most] = std::minmax_element(set.classes.begin(), set.classes.end(),
                                                  [](const auto& a, const auto& b) { return a.images < b.images; });
  const int least = fewest->images, greatest = most->images;
  const auto found = static_cast<int>(set.classes.size());
  if (found == classes && (images == 0 || (least == images && greatest == images))) return "";
  std::string text =
      "split '" + split + "' has " + std::to_string(found) + " of " + std::to_string(classes) + " classes";
  if (images != 0)
    text += ", " + std::to_string(least) + (least == greatest ? "" : " to " + std::to_string(greatest)) + " of " +
            std::to_string(images) + " images each";
  return text;
}

FileTreePtr open_root(const DatasetOptions& options) {
  if (options.root.empty()) throw UsageError("data set '" + options.name + "' needs a data root, none was given");
  return open_file_tree(options.root, options.allow_outside, options.name_encoding);
}

}  // namespace fewatoms
