#include <algorithm>

#include "datasets/decode.h"
#include "datasets/entries.h"
#include "datasets/forms.h"
#include "datasets/image_header.h"
#include "datasets/nd_array.h"
#include "datasets/pickle.h"
#include "datasets/torchmeta.h"
#include "episodes/errors.h"

// tieredImageNet (Ren et al. 2018): 351/97/160 classes in 20/6/8 superclasses, which splits do not share. A class's
// group is its superclass.

namespace fewatoms {
namespace {

int official_classes(const std::string& split) { return split == "train" ? 351 : split == "val" ? 97 : 160; }

/// Class and superclass of each image.
struct Labels {
  std::vector<RowClass> classes;
  size_t images = 0;
};

/// Of "train_images_png.pkl" or "train_images.npz": "train_labels.pkl".
std::string labels_path(const std::string& images) { return images.substr(0, images.find("_images")) + "_labels.pkl"; }

std::vector<std::string> names_in(const Pickle& pickle, const char* key) {
  std::vector<std::string> names;
  if (const PickleValue* found = pickle.find(pickle.root(), key))
    for (const PickleValue& item : pickle.items(*found, key))
      names.emplace_back(pickle.text(item, "an element of " + std::string(key)));
  return names;
}

/// {"label_specific": [N], "label_general": [N]}, with the names "label_specific_str" and "label_general_str" in most
/// copies.
Labels read_labels(const FileTree& tree, const std::string& images) {
  const Pickle pickle(tree, labels_path(images));
  const auto specific = pickle.integers(pickle.at(pickle.root(), "label_specific"), "label_specific");
  const auto general = pickle.integers(pickle.at(pickle.root(), "label_general"), "label_general");
  if (specific.size() != general.size())
    throw DataError(pickle.name() + " has " + std::to_string(specific.size()) + " label_specific and " +
                    std::to_string(general.size()) + " label_general, expected as many");
  const auto names = names_in(pickle, "label_specific_str"), groups = names_in(pickle, "label_general_str");
  Labels labels{classes_by_label(specific, names, pickle.name()), specific.size()};
  for (RowClass& c : labels.classes) {
    const int64_t group = general[static_cast<size_t>(c.rows.front())];
    for (const int64_t row : c.rows)
      if (general[static_cast<size_t>(row)] != group)
        throw DataError(pickle.name() + " has class '" + c.name + "' in two superclasses, at image " +
                        std::to_string(row));
    // Some copies name fewer superclasses than they number.
    c.group = group >= 0 && group < static_cast<int64_t>(groups.size()) ? groups[static_cast<size_t>(group)]
                                                                        : std::to_string(group);
  }
  for (size_t i = 0; i < names.size(); ++i)
    if (std::none_of(labels.classes.begin(), labels.classes.end(),
                     [&](const RowClass& c) { return c.name == names[i]; }))
      throw DataError(pickle.name() + ": class '" + names[i] + "' is empty, expected images of label " +
                      std::to_string(i));
  std::sort(labels.classes.begin(), labels.classes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return labels;
}

std::vector<std::string> class_names(const FileTreePtr& tree, const DatasetOptions&, const FoundSplit& found) {
  std::vector<std::string> names;
  // Without names, classes are numbered in each split.
  const Pickle pickle(*tree, labels_path(found.path));
  if (pickle.find(pickle.root(), "label_specific_str") == nullptr) return names;
  for (const RowClass& c : read_labels(*tree, found.path).classes) names.push_back(c.name);
  return names;
}

void require_as_many(const std::string& images, int64_t count, const Labels& labels) {
  if (count != static_cast<int64_t>(labels.images))
    throw DataError(images + " has " + std::to_string(count) + " images for " + std::to_string(labels.images) +
                    " labels, expected as many");
}

/// A list of PNG files in a pickle.
ImageSet open_png(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  const Labels labels = read_labels(*tree, found.path);
  const Pickle pickle(*tree, found.path);
  const auto& list = pickle.items(pickle.root(), "the pickle");
  require_as_many(pickle.name(), static_cast<int64_t>(list.size()), labels);
  struct Files {
    std::vector<std::vector<std::string_view>> bytes;  // by class
    std::vector<RowClass> classes;
    std::shared_ptr<const void> owner;
  };
  const auto files = std::make_shared<Files>();
  ImageSet set;
  for (const RowClass& c : labels.classes) {
    set.classes.push_back({c.name, static_cast<int>(c.rows.size()), c.group});
    auto& of_class = files->bytes.emplace_back();
    for (const int64_t row : c.rows) {
      const FileBytes png = pickle.bytes(list[static_cast<size_t>(row)], "image " + std::to_string(row));
      files->owner = png.owner;
      of_class.push_back(png.view);
    }
  }
  files->classes = labels.classes;
  const auto name_of = [files, name = pickle.name()](int class_index, int image_index) {
    return name + " image " + std::to_string(files->classes[class_index].rows[image_index]);
  };
  set.load = {[files, name_of, rules = pixel_rules(options)](int class_index, int image_index) {
                return decode_image(files->bytes[class_index][image_index], name_of(class_index, image_index), rules);
              },
              [files, name_of](int class_index, int image_index) {
                return image_header(files->bytes[class_index][image_index], name_of(class_index, image_index));
              }};
  return set;
}

/// An array "images" [N, 84, 84, 3], whose channels are in OpenCV's order.
ImageSet open_npz(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  const Labels labels = read_labels(*tree, found.path);
  const FileTreePtr archive = open_archive_in(tree, found.path, options.name_encoding);
  if (!archive->is_file("images.npy")) throw DataError(tree->name(found.path) + " has no array 'images'");
  NdArray images = parse_npy(archive->map("images.npy"), archive->name("images.npy"));
  require_as_many(tree->name(found.path), images.shape.empty() ? 0 : images.shape[0], labels);
  return array_images(std::move(images), labels.classes, pixel_rules(options), Channels::kBgr);
}

const std::vector<Form>& forms() {
  static const std::vector<Form> all{
      {.name = "pickle-png",
       .expected = "train_images_png.pkl with train_labels.pkl, and so on",
       .find = find_by_name(
           {{"train", "train_images_png.pkl"}, {"val", "val_images_png.pkl"}, {"test", "test_images_png.pkl"}}),
       .open = open_png,
       .class_names = class_names},
      {.name = "npz",
       .expected = "train_images.npz with train_labels.pkl, and so on",
       .find = find_by_name({{"train", "train_images.npz"}, {"val", "val_images.npz"}, {"test", "test_images.npz"}}),
       .open = open_npz,
       .class_names = class_names},
      split_folders_form(),
      torchmeta_form(),
  };
  return all;
}

std::vector<std::string> tiered_splits(const DatasetOptions& options) { return splits_by_form(options, forms()); }

std::shared_ptr<const ImageSource> open_tiered(const DatasetOptions& options, const std::string& split) {
  OpenedForm opened = open_by_form(options, forms(), split);
  const std::string smaller = shortfall(split, opened.set, official_classes(split), 0);
  if (!smaller.empty()) opened.info.notices.push_back(smaller);
  return cached_source(std::move(opened.info), opened.set.classes, options, std::move(opened.set.load));
}

}  // namespace

DatasetEntry tiered_imagenet_entry() {
  return {.name = "tiered-imagenet",
          .summary = "tieredImageNet: PNG pickles, npz, split folders or torchmeta's HDF5 (351/97/160 classes)",
          .usual_size = 84,
          .usual_channels = 3,
          .split_rules = {},
          .splits = tiered_splits,
          .open = open_tiered};
}

}  // namespace fewatoms
