#include "datasets/labelled_pickle.h"

#include <algorithm>
#include <map>

#include "datasets/nd_array.h"
#include "datasets/pickle.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

std::vector<RowClass> labelled_classes(const Pickle& pickle) {
  std::map<int64_t, std::string> names;
  if (const PickleValue* given = pickle.find(pickle.root(), "catname2label")) {
    const auto& entries = pickle.entries(*given, "catname2label");
    for (size_t i = 0; i + 1 < entries.size(); i += 2) {
      const std::string name(pickle.text(entries[i], "a key of catname2label"));
      if (entries[i + 1].kind != PickleValue::Kind::kInt)
        throw DataError(pickle.name() + ": catname2label['" + name + "'] is no integer");
      if (!names.emplace(entries[i + 1].integer, name).second)
        throw DataError(pickle.name() + ": catname2label gives label " + std::to_string(entries[i + 1].integer) +
                        " to two classes");
    }
  }
  // Labels of val and test go on after those of train: they need not start at 0.
  std::map<int64_t, RowClass> classes;
  const auto labels = pickle.integers(pickle.at(pickle.root(), "labels"), "labels");
  for (size_t row = 0; row < labels.size(); ++row) {
    const auto name = names.find(labels[row]);
    if (labels[row] < 0 || (!names.empty() && name == names.end()))
      throw DataError(pickle.name() + " gives image " + std::to_string(row) + " the label " +
                      std::to_string(labels[row]) + ", expected one of " +
                      (names.empty()
                           ? "at least 0"
                           : std::to_string(names.begin()->first) + " to " + std::to_string(names.rbegin()->first)));
    RowClass& c = classes[labels[row]];
    c.name = names.empty() ? std::to_string(labels[row]) : name->second;
    c.rows.push_back(static_cast<int64_t>(row));
  }
  for (const auto& [label, name] : names)
    if (!classes.contains(label))
      throw DataError(pickle.name() + ": class '" + name + "' is empty, expected images of label " +
                      std::to_string(label));
  std::vector<RowClass> result;
  for (auto& [label, c] : classes) result.push_back(std::move(c));
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

ImageSet open_labelled(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  const Pickle pickle(*tree, found.path);
  const NdArray images = pickle.array(pickle.at(pickle.root(), "data"), "data");
  auto classes = labelled_classes(pickle);
  int64_t labels = 0;
  for (const RowClass& c : classes) labels += static_cast<int64_t>(c.rows.size());
  if (images.shape.empty() || labels != images.shape[0])
    throw DataError(pickle.name() + " has " + std::to_string(labels) + " labels for data " + images.extent() +
                    ", expected one per image");
  return array_images(images, std::move(classes), pixel_rules(options));
}

std::vector<std::string> names_of(const FileTreePtr& tree, const DatasetOptions&, const FoundSplit& found) {
  std::vector<std::string> names;
  for (const RowClass& c : labelled_classes(Pickle(*tree, found.path))) names.push_back(c.name);
  return names;
}

}  // namespace

Form labelled_pickle_form(std::string name, std::string expected, std::vector<FoundSplit> candidates) {
  return {.name = std::move(name),
          .expected = std::move(expected),
          .find = find_by_name(std::move(candidates)),
          .open = open_labelled,
          .class_names = names_of};
}

}  // namespace fewatoms
