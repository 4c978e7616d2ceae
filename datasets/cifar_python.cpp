#include "datasets/cifar_python.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "datasets/nd_array.h"
#include "datasets/pickle.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

using Names = std::set<std::string>;

/// CIFAR-FS (Bertinetto et al. 2019): by class, all others are for training.
const Names kFsVal{"beaver", "otter", "flatfish", "shark", "lamp",      "television", "beetle",     "butterfly",
                   "sea",    "camel", "cattle",   "crab",  "crocodile", "maple_tree", "motorcycle", "tractor"};
const Names kFsTest{"whale",    "poppy",   "rose",  "sweet_pepper", "telephone",    "bed",   "table",
                    "wardrobe", "leopard", "plain", "chimpanzee",   "fox",          "snail", "worm",
                    "baby",     "man",     "woman", "bicycle",      "pickup_truck", "rocket"};

/// FC100 (Oreshkin et al. 2018): by superclass, all others are for training.
const Names kFcVal{"large_carnivores", "large_omnivores_and_herbivores", "non-insect_invertebrates", "small_mammals"};
const Names kFcTest{"aquatic_mammals", "insects", "medium_mammals", "people"};

std::string split_of(const std::string& dataset, const std::string& name, const std::string& superclass) {
  const bool fc = dataset == "fc100";
  const std::string& key = fc ? superclass : name;
  if ((fc ? kFcVal : kFsVal).contains(key)) return "val";
  return (fc ? kFcTest : kFsTest).contains(key) ? "test" : "train";
}

/// One of the two files of images.
struct Part {
  NdArray images;  // [N, 3, 32, 32]
  std::vector<int64_t> fine, coarse;
};

Part read_part(const FileTree& tree, const std::string& path) {
  const Pickle pickle(tree, path);
  Part part;
  const PickleValue& data = pickle.at(pickle.root(), "data");
  const NdArray rows = pickle.array(data, "data");
  if (rows.kind != 'u' || rows.item_bytes != 1 || rows.shape.size() != 2 || rows.shape[1] != 3 * 32 * 32 ||
      rows.strides[1] != 1)
    throw DataError(pickle.name() + ": data is " + rows.extent() + " of " + rows.type() +
                    ", expected rows of 3072 uint8");
  part.images = nd_array(pickle.bytes(data, "data"), "u1", {rows.shape[0], 3, 32, 32}, false, rows.name);
  part.fine = pickle.integers(pickle.at(pickle.root(), "fine_labels"), "fine_labels");
  part.coarse = pickle.integers(pickle.at(pickle.root(), "coarse_labels"), "coarse_labels");
  for (const auto* labels : {&part.fine, &part.coarse})
    if (static_cast<int64_t>(labels->size()) != rows.shape[0])
      throw DataError(pickle.name() + " has " + std::to_string(labels->size()) + " labels for " +
                      std::to_string(rows.shape[0]) + " images, expected as many");
  return part;
}

std::vector<std::string> names_in(const Pickle& meta, const char* key) {
  std::vector<std::string> names;
  for (const PickleValue& item : meta.items(meta.at(meta.root(), key), key)) names.emplace_back(meta.text(item, key));
  return names;
}

struct Cifar {
  Part train, test;
  std::vector<RowClass> classes;  // of one split, by name; rows go on from train to test
};

Cifar read(const FileTree& tree, const std::string& folder, const std::string& dataset, const std::string& split) {
  const Pickle meta(tree, joined_path(folder, "meta"));
  const auto fine = names_in(meta, "fine_label_names"), coarse = names_in(meta, "coarse_label_names");
  Cifar all{read_part(tree, joined_path(folder, "train")), read_part(tree, joined_path(folder, "test")), {}};
  std::map<std::string, RowClass> classes;
  int64_t row = 0;
  for (const Part* part : {&all.train, &all.test})
    for (size_t i = 0; i < part->fine.size(); ++i, ++row) {
      const auto known = [](int64_t label, const std::vector<std::string>& names) {
        return label >= 0 && label < static_cast<int64_t>(names.size());
      };
      if (!known(part->fine[i], fine) || !known(part->coarse[i], coarse))
        throw DataError(part->images.name + " has an image " + std::to_string(i) + " of labels " +
                        std::to_string(part->fine[i]) + " and " + std::to_string(part->coarse[i]) +
                        ", expected some that " + meta.name() + " names");
      const std::string& name = fine[static_cast<size_t>(part->fine[i])];
      const std::string& group = coarse[static_cast<size_t>(part->coarse[i])];
      if (split_of(dataset, name, group) != split) continue;
      RowClass& c = classes[name];
      c.name = name;
      c.group = group;
      c.rows.push_back(row);
    }
  for (auto& [name, c] : classes) all.classes.push_back(std::move(c));
  return all;
}

std::string folder_of(const FoundSplit& found) {
  const size_t slash = found.path.rfind('/');
  return slash == std::string::npos ? "" : found.path.substr(0, slash);
}

}  // namespace

Form cifar_python_form(const std::string& dataset) {
  return {.name = "cifar-python",
          .expected = "train, test and meta of cifar-100-python",
          .find =
              [](const FileTree& tree, const DatasetOptions&) {
                std::vector<FoundSplit> found;
                for (const char* folder : {"", "cifar-100-python"}) {
                  const auto is_there = [&](const char* file) { return tree.is_file(joined_path(folder, file)); };
                  if (!found.empty() || !is_there("train") || !is_there("test") || !is_there("meta")) continue;
                  for (const char* split : {"train", "val", "test"})
                    found.push_back({split, joined_path(folder, "train")});
                }
                return found;
              },
          .open =
              [dataset](const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
                const auto all = std::make_shared<const Cifar>(read(*tree, folder_of(found), dataset, found.split));
                ImageSet set;
                for (const RowClass& c : all->classes)
                  set.classes.push_back({c.name, static_cast<int>(c.rows.size()), c.group});
                set.load = [all, rules = pixel_rules(options)](int class_index, int image_index) {
                  int64_t row = all->classes[class_index].rows[image_index];
                  const int64_t in_train = all->train.images.shape[0];
                  const NdArray& images = row < in_train ? all->train.images : all->test.images;
                  if (row >= in_train) row -= in_train;
                  return plain_pixels(picture_of(element(images, row)), rules, images.name).clone();
                };
                return set;
              },
          .class_names =
              [dataset](const FileTreePtr& tree, const DatasetOptions&, const FoundSplit& found) {
                std::vector<std::string> names;
                for (const RowClass& c : read(*tree, folder_of(found), dataset, found.split).classes)
                  names.push_back(c.name);
                return names;
              }};
}

}  // namespace fewatoms
