#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>
#include <sstream>

#include "datasets/class_folders.h"
#include "datasets/entries.h"
#include "datasets/files.h"
#include "episodes/errors.h"

// CUB-200-2011 (Wah et al. 2011), in its official layout or as plain class folders with the official names, in the
// split of Chen et al., "A closer look at few-shot classification" (ICLR 2019).

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

constexpr int kClasses = 200;

/// Of a class number, 1..200.
std::string closerlook_split(int number) {
  const int index = number - 1;
  return index % 2 == 0 ? "train" : index % 4 == 1 ? "val" : "test";
}
int official_classes(const std::string& split) { return split == "train" ? 100 : 50; }
int official_images(const std::string& split) { return split == "train" ? 5885 : split == "val" ? 2950 : 2953; }

/// The number of "001.Black_footed_Albatross", 0 if the name is not like that.
int class_number(const std::string& name) {
  const auto digit = [&](size_t i) { return std::isdigit(static_cast<unsigned char>(name[i])) != 0; };
  if (name.size() < 5 || !digit(0) || !digit(1) || !digit(2) || name[3] != '.') return 0;
  const int number = std::stoi(name.substr(0, 3));
  return number <= kClasses ? number : 0;
}

/// The fields of a metadata line: an id, then `values` more. Throws DataError naming file and line.
std::vector<std::string> fields_of(const fs::path& file, const TextLine& line, const std::string& expected) {
  std::istringstream in(line.text), form(expected);
  std::vector<std::string> fields;
  for (std::string field; in >> field;) fields.push_back(field);
  const auto wanted = std::distance(std::istream_iterator<std::string>(form), std::istream_iterator<std::string>());
  if (static_cast<std::ptrdiff_t>(fields.size()) != wanted)
    throw DataError(place(file, line) + " is '" + line.text + "', expected '" + expected + "'");
  return fields;
}

template <class Number>
Number number_of(const std::string& text, const fs::path& file, const TextLine& line, const std::string& expected) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    throw DataError(place(file, line) + " is '" + line.text + "', expected '" + expected + "' with numbers");
  return number;
}

/// One of the official metadata files, "id value..." per line.
class Metadata {
 public:
  struct Row {
    TextLine line;
    std::vector<std::string> fields;  // the id is the first
  };

  /// `form` describes a line: "id path".
  Metadata(fs::path file, std::string form) : file_(std::move(file)), form_(std::move(form)) {
    for (TextLine& line : read_lines(file_)) {
      auto fields = fields_of(file_, line, form_);
      const int id = number_of<int>(fields[0], file_, line, form_);
      if (rows_.contains(id)) throw DataError(place(file_, line) + " repeats id " + fields[0]);
      rows_[id] = {std::move(line), std::move(fields)};
    }
  }

  const std::map<int, Row>& rows() const { return rows_; }

  const Row& row(int id) const {
    const auto found = rows_.find(id);
    if (found == rows_.end())
      throw DataError(in_quotes(file_) + " has no line for id " + std::to_string(id) + ", expected '" + form_ + "'");
    return found->second;
  }

  template <class Number>
  Number value(const Row& row, int field) const {
    return number_of<Number>(row.fields[field], file_, row.line, form_);
  }

  DataError error(const Row& row, const std::string& expected) const {
    return DataError(place(file_, row.line) + " is '" + row.line.text + "', expected " + expected);
  }

 private:
  fs::path file_;
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

bool is_official(const fs::path& root) {
  return fs::exists(root / "images.txt") || fs::exists(root / "image_class_labels.txt");
}

ClassFolders read_official(const fs::path& root, const std::string& split, bool with_boxes) {
  const Metadata names(root / "classes.txt", "id name");
  const Metadata paths(root / "images.txt", "id path");
  const Metadata labels(root / "image_class_labels.txt", "id class");
  std::optional<Metadata> boxes;
  if (with_boxes) boxes.emplace(root / "bounding_boxes.txt", "id x y width height");

  std::map<int, FileClass> classes;  // by number, which is the order of the names
  for (const auto& [id, row] : paths.rows()) {
    const auto& label_row = labels.row(id);
    const int number = labels.value<int>(label_row, 1);
    if (number < 1 || number > kClasses) throw labels.error(label_row, "a class from 1 to 200");
    if (closerlook_split(number) != split) continue;
    if (!stays_below(row.fields[1])) throw paths.error(row, "a path without '..' and not absolute");
    const fs::path file = root / "images" / row.fields[1];
    if (!fs::exists(file)) throw paths.error(row, "an image at " + in_quotes(file));
    FileImage image{file.string(), {}};
    if (boxes) image.crop = box_of(*boxes, id);
    FileClass& of_number = classes[number];
    of_number.name = names.row(number).fields[1];
    of_number.images.push_back(std::move(image));
  }

  ClassFolders found;
  for (auto& [number, c] : classes) {
    std::sort(c.images.begin(), c.images.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
    found.classes.push_back(std::move(c));
  }
  return found;
}

bool has_numbered_folders(const fs::path& folder) {
  if (!fs::is_directory(folder)) return false;
  const auto names = list_folder(folder).folders;
  return std::any_of(names.begin(), names.end(), [](const auto& name) { return class_number(name) != 0; });
}

/// Where the class folders lie: the root or its folder "images".
fs::path class_folders_root(const fs::path& root) {
  const bool here = has_numbered_folders(root), below = has_numbered_folders(root / "images");
  if (here && below)
    throw UsageError(in_quotes(root) + " has class folders (001.Name) both directly and under images/, expected one");
  if (!here && !below)
    throw UsageError(in_quotes(root) +
                     " holds no cub: expected images.txt, image_class_labels.txt and classes.txt, "
                     "or class folders such as 001.Black_footed_Albatross");
  return here ? root : root / "images";
}

ClassFolders read_class_folders(const fs::path& folder, const std::string& split) {
  ClassFolders found = find_class_folders(folder);
  std::map<int, std::string> seen;
  int others = 0;
  std::erase_if(found.classes, [&](const FileClass& c) {
    const int number = class_number(c.name);
    if (number == 0) return ++others, true;
    const auto [first, is_new] = seen.emplace(number, c.name);
    if (!is_new)
      throw DataError(in_quotes(folder) + " has two folders of one class number: '" + first->second + "' and '" + c.name +
                      "'");
    return closerlook_split(number) != split;
  });
  if (others > 0)
    found.notices.push_back("ignored " + std::to_string(others) + (others == 1 ? " folder" : " folders") + " under " +
                            in_quotes(folder) + " not named like 001.Black_footed_Albatross");
  return found;
}

ClassFolders read_split(const DatasetOptions& options, const std::string& split) {
  if (is_official(options.root)) return read_official(options.root, split, options.crop == "bbox");
  const fs::path folder = class_folders_root(options.root);
  if (options.crop == "bbox")
    throw UsageError("crop 'bbox' needs the official layout of cub, with bounding_boxes.txt: " + in_quotes(options.root) +
                     " has plain class folders");
  return read_class_folders(folder, split);
}

std::vector<std::string> cub_splits(const DatasetOptions& options) {
  std::vector<std::string> splits;
  for (const char* split : {"train", "val", "test"})
    if (!read_split(options, split).classes.empty()) splits.emplace_back(split);
  return splits;
}

std::shared_ptr<const ImageSource> open_cub(const DatasetOptions& options, const std::string& split) {
  ClassFolders found = read_split(options, split);
  if (found.classes.empty())
    require_split(options.name, split, cub_splits(options), "classes of that split under " + in_quotes(options.root));
  SourceInfo info{.dataset = options.name,
                  .split = split,
                  .form = is_official(options.root) ? "official" : "class-folders",
                  .split_rule = options.split_rule,
                  .crop = options.crop,
                  .notices = std::move(found.notices)};
  int images = 0;
  for (const FileClass& c : found.classes) images += static_cast<int>(c.images.size());
  if (static_cast<int>(found.classes.size()) != official_classes(split) || images != official_images(split))
    info.notices.push_back("split '" + split + "' has " + std::to_string(found.classes.size()) + " of " +
                           std::to_string(official_classes(split)) + " classes, " + std::to_string(images) + " of " +
                           std::to_string(official_images(split)) + " images");
  return file_source(std::move(info), std::move(found.classes), options);
}

}  // namespace

DatasetEntry cub_entry() {
  return {.name = "cub",
          .summary = "CUB-200-2011 birds: the official layout, or class folders with the official names",
          .usual_size = 84,
          .usual_channels = 3,
          .split_rules = {"closerlook"},
          .has_boxes = true,
          .splits = cub_splits,
          .open = open_cub};
}

}  // namespace fewatoms
