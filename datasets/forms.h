#pragma once

#include <functional>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/file_source.h"
#include "datasets/file_tree.h"
#include "datasets/image_set.h"

namespace fewatoms {

/// A split that is there, and the file or folder that shows it.
struct FoundSplit {
  std::string split;  // "train", "val" or "test"
  std::string path;
};

/// A way in which a data set may lie on disk.
struct Form {
  std::string name;      // as results report it: "images+csv"
  std::string expected;  // "train.csv, val.csv and test.csv beside images/"
  /// The splits of this form that are there; empty: the root is not of this form. Reads no large file.
  std::function<std::vector<FoundSplit>(const FileTree&, const DatasetOptions&)> find;
  /// One of them. Throws DataError.
  std::function<ImageSet(const FileTreePtr&, const DatasetOptions&, const FoundSplit&)> open;
  /// Names of its classes, where that costs less than opening it.
  std::function<std::vector<std::string>(const FileTreePtr&, const DatasetOptions&, const FoundSplit&)> class_names =
      {};
  /// Whether splits may share classes (they differ in their images).
  bool shares_classes = false;
};

/// The one form under the root. Throws UsageError if there is none, or two: both are named, each with a file that shows
/// it.
const Form& find_form(const FileTree& tree, const std::vector<Form>& forms, const DatasetOptions& options);

/// Names of the splits found, of "train", "val", "test" in this order.
std::vector<std::string> splits_by_form(const DatasetOptions& options, const std::vector<Form>& forms);
std::vector<std::string> splits_by_form(const FileTreePtr& tree, const DatasetOptions& options,
                                        const std::vector<Form>& forms);

/// A split opened in the one form that is there, before it becomes a source.
struct OpenedForm {
  SourceInfo info;  // with the set's notices
  ImageSet set;
};

/// Throws UsageError as find_form and if the split is not there; DataError on bad files, and if a class is in two
/// splits.
OpenedForm open_by_form(const DatasetOptions& options, const std::vector<Form>& forms, const std::string& split);
OpenedForm open_by_form(const FileTreePtr& tree, const DatasetOptions& options, const std::vector<Form>& forms,
                        const std::string& split);

/// A form whose splits are files (or folders): the first of each split's candidates that is there.
std::function<std::vector<FoundSplit>(const FileTree&, const DatasetOptions&)> find_by_name(
    std::vector<FoundSplit> candidates);

/// Folders train, val and test (by any of the names that split_name knows) of class folders. Where other class folders
/// lie beside, such a folder that holds images itself is a class.
Form split_folders_form();

/// Images per class of several splits' classes: "64 of 64 classes, 300 to 600 of 600 images each", empty if both are as
/// expected. `images` 0: not known.
std::string shortfall(const std::string& split, const ImageSet& set, int classes, int images);

/// The root of a data set's files: a folder or an archive. Throws UsageError, also if none was given.
FileTreePtr open_root(const DatasetOptions& options);

}  // namespace fewatoms
