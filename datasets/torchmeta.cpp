#include "datasets/torchmeta.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "datasets/files.h"
#include "datasets/hdf5_images.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

std::string labels_of(const std::string& data) { return data.substr(0, data.find("_data.hdf5")) + "_labels.json"; }

/// Classes named in a list of names, or of [superclass, name].
std::vector<Hdf5Class> read_labels(const FileTree& tree, const std::string& path, const std::string& prefix,
                                   bool pairs) {
  const std::string expected = pairs ? "a list of [superclass, class]" : "a list of class names";
  const nlohmann::json list = read_json(tree, path);
  if (!list.is_array()) throw DataError(tree.name(path) + " is no list, expected " + expected);
  std::vector<Hdf5Class> classes;
  std::set<std::string> seen;
  for (const auto& item : list) {
    Hdf5Class c;
    if (pairs && item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      c.group = item[0];
      c.name = item[1];
      c.dataset = c.group + "/" + c.name;
    } else if (!pairs && item.is_string()) {
      c.name = item;
      c.dataset = prefix + c.name;
    } else {
      throw DataError(tree.name(path) + " has " + item.dump().substr(0, 60) + ", expected " + expected);
    }
    if (c.name.empty() || !seen.insert(c.name).second)
      throw DataError(tree.name(path) +
                      (c.name.empty() ? " has an empty class name" : " names class '" + c.name + "' twice"));
    classes.push_back(std::move(c));
  }
  std::sort(classes.begin(), classes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return classes;
}

std::vector<Hdf5Class> classes_of(const FileTreePtr& tree, const std::string& data) {
  if (tree->is_file(labels_of(data))) return read_labels(*tree, labels_of(data), "datasets/", false);
  std::vector<Hdf5Class> classes;
  for (const auto& name : hdf5_names(tree, data, "datasets")) classes.push_back({name, "datasets/" + name});
  return classes;
}

template <class Classes>
std::vector<std::string> names_of(const Classes& classes) {
  std::vector<std::string> names;
  for (const auto& c : classes) names.push_back(c.name);
  return names;
}

}  // namespace

Form torchmeta_form() {
  return {.name = "torchmeta-hdf5",
          .expected = "train_data.hdf5, val_data.hdf5 and test_data.hdf5 with their _labels.json",
          .find = find_by_name({{"train", "train_data.hdf5"}, {"val", "val_data.hdf5"}, {"test", "test_data.hdf5"}}),
          .open =
              [](const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
                ImageSet set = hdf5_images(tree, found.path, classes_of(tree, found.path), pixel_rules(options),
                                           enough_pixels(options));
                if (!tree->is_file(labels_of(found.path)))
                  set.notices.push_back("no " + tree->name(labels_of(found.path)) + ": classes are all datasets of " +
                                        tree->name(found.path));
                return set;
              },
          .class_names = [](const FileTreePtr& tree, const DatasetOptions&,
                            const FoundSplit& found) { return names_of(classes_of(tree, found.path)); }};
}

Form torchmeta_cifar_form(const std::string& folder) {
  const auto read = [](const FileTreePtr& tree, const FoundSplit& found) {
    return read_labels(*tree, found.path, "", true);
  };
  std::vector<FoundSplit> candidates;
  for (const char* split : {"train", "val", "test"})
    for (const std::string& where : {folder, std::string()})
      candidates.push_back({split, joined_path(where, std::string(split) + "_labels.json")});
  return {.name = "torchmeta-hdf5",
          .expected = "data.hdf5 with " + folder + "/train_labels.json, val_labels.json and test_labels.json",
          .find =
              [by_name = find_by_name(candidates)](const FileTree& tree, const DatasetOptions& options) {
                return tree.is_file("data.hdf5") ? by_name(tree, options) : std::vector<FoundSplit>{};
              },
          .open =
              [read](const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
                return hdf5_images(tree, "data.hdf5", read(tree, found), pixel_rules(options), enough_pixels(options));
              },
          .class_names = [read](const FileTreePtr& tree, const DatasetOptions&,
                                const FoundSplit& found) { return names_of(read(tree, found)); }};
}

}  // namespace fewatoms
