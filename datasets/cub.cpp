#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "datasets/class_folders.h"
#include "datasets/entries.h"
#include "datasets/file_lists.h"
#include "datasets/files.h"
#include "datasets/forms.h"
#include "datasets/torchmeta.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"

// CUB-200-2011 (Wah et al. 2011). Three published splits are in use; the class number decides.

namespace fewatoms {
namespace {

constexpr int kClasses = 200;

// Class numbers of the published lists that are not in train: Meta-Dataset (Triantafillou et al. 2020), FEAT (Ye et al.
// 2020).
constexpr int kMetaDatasetVal[] = {44,  51,  52,  55,  57,  61,  64,  66,  68,  72,  76,  80,  84,  96,  113,
                                   121, 127, 136, 140, 145, 150, 155, 159, 162, 172, 176, 178, 198, 199, 200};
constexpr int kMetaDatasetTest[] = {8,   9,   15,  20,  28,  30,  35,  39,  45,  46,  82,  85,  94,  101, 103,
                                    112, 118, 122, 128, 133, 134, 137, 147, 148, 163, 168, 169, 170, 193, 194};
constexpr int kFeatVal[] = {1,   2,   4,   7,   12,  14,  16,  21,  24,  36,  42,  43,  49,  50,  51,  53,  58,
                            65,  66,  69,  70,  77,  79,  85,  86,  92,  95,  96,  101, 103, 105, 106, 111, 117,
                            120, 121, 122, 136, 156, 157, 159, 162, 163, 165, 168, 172, 187, 192, 199, 200};
constexpr int kFeatTest[] = {10,  18,  22,  26,  29,  30,  32,  33,  35,  37,  39,  40,  48,  54,  59,  68,  71,
                             73,  78,  80,  82,  83,  88,  89,  100, 104, 115, 116, 118, 128, 129, 133, 134, 141,
                             143, 148, 149, 152, 158, 166, 167, 170, 173, 174, 175, 177, 189, 191, 193, 194};

template <size_t N>
bool contains(const int (&numbers)[N], int number) {
  return std::find(std::begin(numbers), std::end(numbers), number) != std::end(numbers);
}

/// Of a class number, 1..200. Rule closerlook is that of Chen et al., "A closer look at few-shot classification" (ICLR
/// 2019).
std::string split_of(const std::string& rule, int number) {
  if (rule == "metadataset")
    return contains(kMetaDatasetVal, number) ? "val" : contains(kMetaDatasetTest, number) ? "test" : "train";
  if (rule == "feat") return contains(kFeatVal, number) ? "val" : contains(kFeatTest, number) ? "test" : "train";
  const int index = number - 1;
  return index % 2 == 0 ? "train" : index % 4 == 1 ? "val" : "test";
}

/// What a rule makes of the complete data set.
struct Official {
  const char* rule;
  int classes[3];  // train, val, test
  int images[3];
};
constexpr Official kOfficial[] = {{"closerlook", {100, 50, 50}, {5885, 2950, 2953}},
                                  {"metadataset", {140, 30, 30}, {8239, 1779, 1770}},
                                  {"feat", {100, 50, 50}, {5891, 2932, 2965}}};

/// The number of "001.Black_footed_Albatross", 0 if the name is not like that.
int class_number(const std::string& name) {
  const auto digit = [&](size_t i) { return std::isdigit(static_cast<unsigned char>(name[i])) != 0; };
  if (name.size() < 5 || !digit(0) || !digit(1) || !digit(2) || name[3] != '.') return 0;
  const int number = *parsed_number<int>(name.substr(0, 3));
  return number <= kClasses ? number : 0;
}

/// The fields of a metadata line: an id, then `values` more. Throws DataError naming file and line.
std::vector<std::string> fields_of(const std::string& where, const TextLine& line, const std::string& expected) {
  std::istringstream in(line.text), form(expected);
  std::vector<std::string> fields;
  for (std::string field; in >> field;) fields.push_back(field);
  const auto wanted = std::distance(std::istream_iterator<std::string>(form), std::istream_iterator<std::string>());
  if (static_cast<std::ptrdiff_t>(fields.size()) != wanted)
    throw DataError(where + " is '" + line.text + "', expected '" + expected + "'");
  return fields;
}

template <Number T>
T number_of(const std::string& text, const std::string& where, const TextLine& line, const std::string& expected) {
  const auto number = parsed_number<T>(text);
  if (!number) throw DataError(where + " is '" + line.text + "', expected '" + expected + "' with numbers");
  return *number;
}

/// One of the official metadata files, "id value..." per line.
class Metadata {
 public:
  struct Row {
    TextLine line;
    std::vector<std::string> fields;  // the id is the first
  };

  /// `form` describes a line: "id path".
  Metadata(FileTreePtr tree, std::string file, std::string form)
      : tree_(std::move(tree)), file_(std::move(file)), form_(std::move(form)) {
    for (TextLine& line : read_lines(*tree_, file_)) {
      auto fields = fields_of(where(line), line, form_);
      const int id = number_of<int>(fields[0], where(line), line, form_);
      if (rows_.contains(id)) throw DataError(where(line) + " repeats id " + fields[0]);
      rows_[id] = {std::move(line), std::move(fields)};
    }
  }

  const std::map<int, Row>& rows() const { return rows_; }

  const Row& row(int id) const {
    const auto found = rows_.find(id);
    if (found == rows_.end())
      throw DataError(tree_->name(file_) + " has no line for id " + std::to_string(id) + ", expected '" + form_ + "'");
    return found->second;
  }

  template <Number T>
  T value(const Row& row, int field) const {
    return number_of<T>(row.fields[field], where(row.line), row.line, form_);
  }

  DataError error(const Row& row, const std::string& expected) const {
    return DataError(where(row.line) + " is '" + row.line.text + "', expected " + expected);
  }

 private:
  std::string where(const TextLine& line) const { return place(*tree_, file_, line); }

  FileTreePtr tree_;
  std::string file_;
  std::string form_;
  std::map<int, Row> rows_;
};

Box box_of(const Metadata& boxes, int id) {
  const auto& row = boxes.row(id);
  const Box box{boxes.value<double>(row, 1), boxes.value<double>(row, 2), boxes.value<double>(row, 3),
                boxes.value<double>(row, 4)};
  if (!std::isfinite(box.x + box.y + box.width + box.height) || box.width <= 0 || box.height <= 0)
    throw boxes.error(row, "a box of positive width and height");
  return box;
}

// --- the official layout

/// Where CUB's files are: the root, or the folder CUB_200_2011 in it, beside which the official archive has another
/// file.
std::string home_of(const FileTree& tree) { return tree.is_folder("CUB_200_2011") ? "CUB_200_2011" : ""; }

int number_at(const Metadata& labels, const Metadata::Row& row) {
  const int number = labels.value<int>(row, 1);
  if (number < 1 || number > kClasses) throw labels.error(row, "a class from 1 to 200");
  return number;
}

/// The splits that have classes, all shown by `path`.
std::vector<FoundSplit> splits_of(const std::string& rule, const std::set<int>& numbers, const std::string& path) {
  std::vector<FoundSplit> found;
  for (const char* split : {"train", "val", "test"})
    if (std::any_of(numbers.begin(), numbers.end(), [&](int number) { return split_of(rule, number) == split; }))
      found.push_back({split, path});
  return found;
}

std::vector<FoundSplit> find_official(const FileTree& tree, const DatasetOptions& options) {
  const std::string home = home_of(tree), images = joined_path(home, "images.txt"),
                    labels = joined_path(home, "image_class_labels.txt");
  if (!tree.is_file(images) && !tree.is_file(labels)) return {};
  const FileTreePtr borrowed(&tree, [](const FileTree*) {});
  const Metadata rows(borrowed, labels, "id class");
  std::set<int> numbers;
  for (const auto& [id, row] : rows.rows()) numbers.insert(number_at(rows, row));
  return splits_of(options.split_rule, numbers, images);
}

ImageSet open_official(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  const std::string home = home_of(*tree);
  const Metadata names(tree, joined_path(home, "classes.txt"), "id name");
  const Metadata paths(tree, joined_path(home, "images.txt"), "id path");
  const Metadata labels(tree, joined_path(home, "image_class_labels.txt"), "id class");
  std::optional<Metadata> boxes;
  if (options.crop == "bbox") boxes.emplace(tree, joined_path(home, "bounding_boxes.txt"), "id x y width height");

  std::map<int, FileClass> classes;  // by number, which is the order of the names
  std::set<std::string> seen;
  for (const auto& [id, row] : paths.rows()) {
    const int number = number_at(labels, labels.row(id));
    if (!seen.insert(row.fields[1]).second) throw paths.error(row, "each path once");
    if (split_of(options.split_rule, number) != found.split) continue;
    if (!options.allow_outside && !stays_below(row.fields[1]))
      throw paths.error(row, "a path without '..' and not absolute");
    const std::string file = joined_path(joined_path(home, "images"), row.fields[1]);
    if (!tree->is_file(file)) throw paths.error(row, "an image at " + tree->name(file));
    FileImage image{file};
    if (boxes) image.crop = box_of(*boxes, id);
    FileClass& of_number = classes[number];
    of_number.name = names.row(number).fields[1];
    of_number.images.push_back(std::move(image));
  }
  std::vector<FileClass> sorted;
  for (auto& [number, c] : classes) {
    std::sort(c.images.begin(), c.images.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
    sorted.push_back(std::move(c));
  }
  return file_images(tree, std::move(sorted), options);
}

// --- class folders with the official names, such as cropped images

std::map<int, std::string> numbered_folders(const FileTree& tree, const std::string& folder) {
  std::map<int, std::string> found;
  if (!folder.empty() && !tree.is_folder(folder)) return found;
  for (const auto& name : tree.list(folder).folders) {
    const int number = class_number(name);
    if (number == 0) continue;
    const auto [first, is_new] = found.emplace(number, name);
    if (!is_new)
      throw DataError(tree.name(folder) + " has two folders of one class number: '" + first->second + "' and '" + name +
                      "'");
  }
  return found;
}

std::vector<FoundSplit> find_class_folders_of_cub(const FileTree& tree, const DatasetOptions& options) {
  const std::string home = home_of(tree), below = joined_path(home, "images");
  const auto here = numbered_folders(tree, home);
  if (tree.is_file(joined_path(home, "images.txt")) || tree.is_file(joined_path(home, "image_class_labels.txt")))
    return {};
  // Filelists say themselves which folders they mean.
  if (!filelist_form().find(tree, options).empty() || !class_list_form().find(tree, options).empty()) return {};
  const auto inside = numbered_folders(tree, below);
  if (!here.empty() && !inside.empty())
    throw UsageError(tree.name(home) + " has class folders (001.Name) both directly and under images/, expected one");
  std::set<int> numbers;
  for (const auto& [number, name] : here.empty() ? inside : here) numbers.insert(number);
  return splits_of(options.split_rule, numbers, here.empty() ? below : home);
}

ImageSet open_class_folders_of_cub(const FileTreePtr& tree, const DatasetOptions& options, const FoundSplit& found) {
  std::vector<FileClass> classes;
  ReadingNotes notes;
  const auto folders = numbered_folders(*tree, found.path);
  for (const auto& [number, name] : folders) {
    if (split_of(options.split_rule, number) != found.split) continue;
    classes.push_back(read_class_folder(*tree, joined_path(found.path, name), name, notes));
  }
  ImageSet set = file_images(tree, std::move(classes), options);
  for (const std::string& name : tree->list(found.path).folders)
    if (class_number(name) == 0)
      notes.ignored("folder", " not named like 001.Black_footed_Albatross", tree->name(joined_path(found.path, name)));
  set.notices = notes.lines();
  return set;
}

const std::vector<Form>& forms() {
  static const auto none = [](const FileTreePtr&, const DatasetOptions&, const FoundSplit&) {
    return std::vector<std::string>();
  };
  static const std::vector<Form> all{
      // The rule tells the splits of these two apart: no class can be in two.
      {.name = "official",
       .expected = "images.txt, image_class_labels.txt and classes.txt",
       .find = find_official,
       .open = open_official,
       .class_names = none},
      {.name = "class-folders",
       .expected = "class folders such as 001.Black_footed_Albatross",
       .find = find_class_folders_of_cub,
       .open = open_class_folders_of_cub,
       .class_names = none},
      torchmeta_form(),
      filelist_form(),
      class_list_form(),
  };
  return all;
}

std::vector<std::string> cub_splits(const DatasetOptions& options) { return splits_by_form(options, forms()); }

/// A form that brings its own split must have the one that the rule names.
void require_rule(const ImageSet& set, const DatasetOptions& options, const std::string& split) {
  const auto obeys = [&](const std::string& rule) {
    return std::all_of(set.classes.begin(), set.classes.end(), [&](const ClassSize& c) {
      const int number = class_number(c.name);
      return number == 0 || split_of(rule, number) == split;
    });
  };
  if (obeys(options.split_rule)) return;
  for (const Official& official : kOfficial)
    if (obeys(official.rule))
      throw UsageError(in_quotes(options.root) + " holds the classes of split rule '" + official.rule + "', not of '" +
                       options.split_rule + "': expected --split-rule " + official.rule);
  throw UsageError(in_quotes(options.root) + " holds classes in split '" + split +
                   "' that no published rule has there, expected those of '" + options.split_rule + "'");
}

std::shared_ptr<const ImageSource> open_cub(const DatasetOptions& options, const std::string& split) {
  OpenedForm opened = open_by_form(options, forms(), split);
  if (options.crop == "bbox" && opened.info.form != "official")
    throw UsageError("crop 'bbox' needs the official layout of cub, with bounding_boxes.txt: " +
                     in_quotes(options.root) + " has the form " + opened.info.form);
  require_rule(opened.set, options, split);
  int images = 0;
  for (const ClassSize& c : opened.set.classes) images += c.images;
  const auto classes = static_cast<int>(opened.set.classes.size());
  const auto& official = *std::find_if(std::begin(kOfficial), std::end(kOfficial),
                                       [&](const auto& o) { return o.rule == options.split_rule; });
  const int which = split == "train" ? 0 : split == "val" ? 1 : 2;
  if (classes != official.classes[which] || images != official.images[which])
    opened.info.notices.push_back("split '" + split + "' has " + std::to_string(classes) + " of " +
                                  std::to_string(official.classes[which]) + " classes, " + std::to_string(images) +
                                  " of " + std::to_string(official.images[which]) + " images");
  return cached_source(std::move(opened.info), opened.set.classes, options, std::move(opened.set.load));
}

}  // namespace

DatasetEntry cub_entry() {
  return {
      .name = "cub",
      .summary = "CUB-200-2011 birds: the official layout, class folders with the official names, HDF5 or filelists",
      .usual_size = 84,
      .usual_channels = 3,
      .split_rules = {"closerlook", "metadataset", "feat"},
      .has_boxes = true,
      .splits = cub_splits,
      .open = open_cub};
}

}  // namespace fewatoms
