#include <algorithm>
#include <map>
#include <unordered_set>

#include "datasets/entries.h"
#include "datasets/file_lists.h"
#include "datasets/files.h"
#include "datasets/forms.h"
#include "datasets/known_splits.h"
#include "datasets/labelled_pickle.h"
#include "datasets/nd_array.h"
#include "datasets/pickle.h"
#include "datasets/reading_notes.h"
#include "datasets/torchmeta.h"
#include "episodes/errors.h"

// mini-ImageNet in the split of Ravi & Larochelle (ICLR 2017): 64/16/20 classes of 600 images. Classes come sorted by
// name, images in the order in which the form lists them.

namespace fewatoms {
namespace {

constexpr int kImagesPerClass = 600;
int official_classes(const std::string& split) { return split == "train" ? 64 : split == "val" ? 16 : 20; }

// --- images with CSV lists

void require_header(const FileTree& tree, const std::string& csv, const std::vector<TextLine>& lines) {
  const std::string header = lines.empty() ? "" : lines.front().text;
  if (header == "filename,label") return;
  if (header == "filename,class")
    throw UsageError(tree.name(csv) +
                     " is of the Vinyals split (header 'filename,class'), which is another split: "
                     "expected the Ravi & Larochelle split with header 'filename,label'");
  throw DataError(tree.name(csv) + " has the first line '" + header.substr(0, 80) +
                  "', expected the header 'filename,label'");
}

/// The rows of a list, checked: (line, file name, label).
struct Row {
  TextLine line;
  std::string name, label;
};
std::vector<Row> read_rows(const FileTree& tree, const std::string& csv, ReadingNotes& notes) {
  const auto lines = read_lines(tree, csv);
  require_header(tree, csv, lines);
  std::vector<Row> rows;
  std::unordered_set<std::string> seen;
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string& text = lines[i].text;
    const size_t comma = text.find(',');
    const std::string name = text.substr(0, comma);
    const std::string label = comma == std::string::npos ? "" : text.substr(comma + 1);
    if (name.empty() || label.empty() || label.find(',') != std::string::npos)
      throw DataError(place(tree, csv, lines[i]) + " is '" + text + "', expected 'filename,label'");
    if (!stays_below(label))
      throw DataError(place(tree, csv, lines[i]) + " has '" + text + "', expected names without '..' and not absolute");
    if (!seen.insert(name).second) throw DataError(place(tree, csv, lines[i]) + " repeats image '" + name + "'");
    rows.push_back({lines[i], name, notes.label(label)});
  }
  if (rows.empty()) throw DataError(tree.name(csv) + " lists no images");
  return rows;
}

ImageSet open_csv(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  // One listing instead of a look at each of up to 38,400 files.
  std::unordered_set<std::string> flat;
  if (tree->is_folder("images")) {
    const auto files = tree->list("images").files;
    flat.insert(files.begin(), files.end());
  }
  std::map<std::string, FileClass> classes;  // sorted by name
  ReadingNotes notes;
  for (const Row& row : read_rows(*tree, found.path, notes)) {
    if (!options.allow_outside && !stays_below(row.name))
      throw DataError(
          place(*tree, found.path, row.line) + " has '" + row.line.text +
          "', which leaves the data root: expected names without '..' and not absolute (--allow-outside permits them)");
    // Absolute names stand for themselves (only with allow_outside); others lie in images/ or in images/<label>/.
    std::string file = row.name.front() == '/' ? row.name : joined_path("images", row.name);
    if (!flat.contains(row.name) && !tree->is_file(file)) {
      file = joined_path(joined_path("images", row.label), row.name);
      if (!tree->is_file(file))
        throw DataError(place(*tree, found.path, row.line) + " names image '" + row.name + "', which is neither in " +
                        tree->name("images") + " nor in its folder '" + row.label + "'");
    }
    FileClass& of_label = classes[row.label];
    of_label.name = row.label;
    of_label.images.push_back({file});
  }
  std::vector<FileClass> sorted;
  for (auto& [label, c] : classes) sorted.push_back(std::move(c));
  ImageSet set = file_images(tree, std::move(sorted), options);
  set.notices = notes.lines();
  const KnownSplit known = known_list(tree->read(found.path).view);
  if (!known.dataset.empty() && known.split != found.split)
    throw DataError(tree->name(found.path) + " is the official list of split '" + known.split +
                    "', expected that of '" + found.split + "'");
  if (known.dataset.empty())
    set.notices.push_back("list " + tree->name(found.path) + " is not the official file of split '" + found.split +
                          "' (by its MD5)");
  return set;
}

std::vector<std::string> csv_names(const FileTreePtr& tree, const DatasetOptions&, const FoundSplit& found) {
  std::vector<std::string> names;
  ReadingNotes notes;
  for (const Row& row : read_rows(*tree, found.path, notes)) names.push_back(row.label);
  return names;
}

// --- pickles of Ren et al. (ICLR 2018): {"image_data": [N, 84, 84, 3], "class_dict": {wnid: [row, ...]}}

std::vector<RowClass> ren_classes(const Pickle& pickle) {
  std::vector<RowClass> classes;
  const auto& entries = pickle.entries(pickle.at(pickle.root(), "class_dict"), "class_dict");
  for (size_t i = 0; i + 1 < entries.size(); i += 2) {
    RowClass c{std::string(pickle.text(entries[i], "a key of class_dict"))};
    c.rows = pickle.integers(entries[i + 1], "class_dict['" + c.name + "']");
    classes.push_back(std::move(c));
  }
  std::sort(classes.begin(), classes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 0; i < classes.size(); ++i) {
    if (classes[i].rows.empty())
      throw DataError(pickle.name() + ": class '" + classes[i].name + "' is empty, expected rows");
    if (i > 0 && classes[i].name == classes[i - 1].name)
      throw DataError(pickle.name() + " has class '" + classes[i].name + "' twice");
  }
  return classes;
}

/// One image in two classes would be both the right and the wrong answer.
void require_rows_once(const std::vector<RowClass>& classes, const std::string& where) {
  std::unordered_set<int64_t> seen;
  for (const RowClass& c : classes)
    for (const int64_t row : c.rows)
      if (!seen.insert(row).second)
        throw DataError(where + " has image " + std::to_string(row) + " twice, the second time in class '" + c.name +
                        "'");
}

ImageSet open_ren(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  const Pickle pickle(*tree, found.path);
  auto classes = ren_classes(pickle);
  require_rows_once(classes, pickle.name());
  return array_images(pickle.array(pickle.at(pickle.root(), "image_data"), "image_data"), std::move(classes),
                      pixel_rules(options));
}

std::vector<std::string> ren_names(const FileTreePtr& tree, const DatasetOptions&, const FoundSplit& found) {
  std::vector<std::string> names;
  for (const RowClass& c : ren_classes(Pickle(*tree, found.path))) names.push_back(c.name);
  return names;
}

const std::vector<Form>& forms() {
  static const std::vector<Form> all{
      {.name = "images+csv",
       .expected = "images/ with train.csv, val.csv and test.csv",
       .find = find_by_name({{"train", "train.csv"}, {"val", "val.csv"}, {"test", "test.csv"}}),
       .open = open_csv,
       .class_names = csv_names},
      split_folders_form(),
      {.name = "pickle-ren",
       .expected = "mini-imagenet-cache-train.pkl, -val.pkl and -test.pkl",
       .find = find_by_name({{"train", "mini-imagenet-cache-train.pkl"},
                             {"val", "mini-imagenet-cache-val.pkl"},
                             {"val", "mini-imagenet-cache-validation.pkl"},
                             {"test", "mini-imagenet-cache-test.pkl"}}),
       .open = open_ren,
       .class_names = ren_names},
      // train_phase_val and train_phase_test are other images of the training classes.
      labelled_pickle_form("pickle-gidaris",
                           "miniImageNet_category_split_train_phase_train.pickle, _val.pickle and _test.pickle",
                           {{"train", "miniImageNet_category_split_train_phase_train.pickle"},
                            {"val", "miniImageNet_category_split_val.pickle"},
                            {"test", "miniImageNet_category_split_test.pickle"}}),
      torchmeta_form(),
      filelist_form(),
  };
  return all;
}

std::vector<std::string> mini_imagenet_splits(const DatasetOptions& options) {
  return splits_by_form(options, forms());
}

std::shared_ptr<const ImageSource> open_mini_imagenet(const DatasetOptions& options, const std::string& split) {
  OpenedForm opened = open_by_form(options, forms(), split);
  std::vector<std::string> names;
  for (const ClassSize& c : opened.set.classes) names.push_back(c.name);
  if (const KnownSplit known = known_split(names); known.rule == "vinyals")
    throw UsageError(
        "mini-imagenet under " + in_quotes(options.root) + ": split '" + split + "' has the classes of '" +
        known.split + "' of the Vinyals split, " +
        "which is another split: expected Ravi & Larochelle's; data set 'folders' or 'manifest' takes any");
  const std::string smaller = shortfall(split, opened.set, official_classes(split), kImagesPerClass);
  if (!smaller.empty()) opened.info.notices.push_back(smaller);
  return cached_source(std::move(opened.info), opened.set.classes, options, std::move(opened.set.load));
}

}  // namespace

DatasetEntry mini_imagenet_entry() {
  return {.name = "mini-imagenet",
          .summary = "mini-ImageNet: images with CSV lists, split folders, pickles or HDF5 files (64/16/20 classes)",
          .usual_size = 84,
          .usual_channels = 3,
          .split_rules = {"ravi"},
          .splits = mini_imagenet_splits,
          .open = open_mini_imagenet};
}

}  // namespace fewatoms
