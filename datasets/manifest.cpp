#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "datasets/class_split.h"
#include "datasets/entries.h"
#include "datasets/file_source.h"
#include "datasets/files.h"
#include "datasets/forms.h"
#include "datasets/labels.h"
#include "datasets/reading_notes.h"
#include "datasets/table.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "episodes/text.h"

// Your images, listed in one file: path,label[,split][,group][,x,y,width,height]. Paths are relative to the file.

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

/// The list and the tree that its paths are in: the root is the file, or a folder or archive with one manifest in it.
struct Located {
  FileTreePtr tree;
  std::string path;
};

/// Whether it is called as a table, in any case: photos.csv, PHOTOS.CSV, photos.txt.
bool is_table(const std::string& name) {
  static const std::set<std::string> kExtensions{".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson"};
  return kExtensions.contains(lower_case(fs::path(name).extension().string()));
}

bool is_manifest(const std::string& name) {
  return lower_case(fs::path(name).stem().string()) == "manifest" && is_table(name);
}

Located locate(const DatasetOptions& options) {
  if (options.root.empty()) throw UsageError("data set 'manifest' needs a data root, none was given");
  std::error_code error;
  if (!fs::exists(options.root, error)) throw UsageError("data root " + in_quotes(options.root) + " does not exist");
  if (!fs::is_directory(options.root, error) && is_table(options.root.filename().string())) {
    const fs::path folder = options.root.parent_path();
    return {open_file_tree(folder.empty() ? "." : folder, options.allow_outside),
            escaped(options.root.filename().string())};
  }
  Located located{open_root(options), {}};
  for (const std::string& name : located.tree->list("").files) {
    if (!is_manifest(name)) continue;
    if (!located.path.empty())
      throw UsageError(located.tree->name("") + " holds two manifests: " + located.path + " and " + name +
                       ", expected one");
    located.path = name;
  }
  if (located.path.empty())
    throw UsageError(located.tree->name("") +
                     " holds no manifest.csv, manifest.tsv, manifest.txt or manifest.jsonl, expected one of them, or "
                     "such a file as the data root");
  return located;
}

struct Row {
  std::string where;  // "'photos.csv' line 3"
  std::string path, label;
  std::string split = {}, group = {};
  std::optional<Box> box = {};
};

struct Manifest {
  Located at;
  std::vector<Row> rows = {};
  bool has_splits = false, has_groups = false, has_boxes = false;
  std::vector<std::string> notices = {};
};

double number_of(const std::string& text, const std::string& column, const std::string& where) {
  const auto value = parsed_number<double>(text);
  if (!value) throw DataError(where + " has '" + text + "' as " + column + ", expected a number of pixels");
  return *value;
}

/// A box, or nothing where all four fields are empty.
std::optional<Box> box_of(const TableRow& row, const int (&columns)[4], const std::string& where) {
  static constexpr const char* kNames[] = {"x", "y", "width", "height"};
  double values[4];
  int given = 0;
  for (int i = 0; i < 4; ++i) given += row.fields[columns[i]].empty() ? 0 : 1;
  if (given == 0) return std::nullopt;
  if (given < 4) throw DataError(where + " has a part of a box, expected x, y, width and height, or none of them");
  for (int i = 0; i < 4; ++i) values[i] = number_of(row.fields[columns[i]], kNames[i], where);
  if (values[2] <= 0 || values[3] <= 0)
    throw DataError(where + " has a box without area, expected positive width and height");
  return Box{values[0], values[1], values[2], values[3]};
}

/// Where no box is larger than 1 by 1, boxes are parts of their pictures, as YOLO writes them: marks them so, and gives
/// a notice. Throws DataError on one that then leaves its picture, as it does where x and y are of its centre, and on
/// one of less than a pixel among others in pixels.
std::string find_relative_boxes(std::vector<Row>& rows, const std::string& name) {
  constexpr double kMost = 1 + 1e-3;  // for what was rounded
  const Row* small = nullptr;
  bool all_small = true;
  for (const Row& row : rows) {
    if (!row.box) continue;
    const bool is_small = row.box->width <= kMost && row.box->height <= kMost;
    all_small &= is_small;
    if (is_small && small == nullptr) small = &row;
  }
  if (small == nullptr) return "";
  if (!all_small)
    throw DataError(
        small->where +
        " has a box of at most a pixel, others of the file are larger: expected all boxes in pixels, or all "
        "in parts of their pictures (0 to 1)");
  for (Row& row : rows) {
    if (!row.box) continue;
    Box& box = *row.box;
    box.relative = true;
    if (std::min(box.x, box.y) < 1 - kMost || std::max(box.x + box.width, box.y + box.height) > kMost)
      throw DataError(row.where +
                      " has a box in parts of the picture (0 to 1, as all of the file's) that reaches out of it: "
                      "expected x and y of its left upper corner (YOLO's files have those of the centre)");
  }
  return "boxes of " + name +
         " are all within 0 to 1: taken as parts of the pictures' sides, x and y as those of the left upper corner";
}

Manifest read_manifest(const DatasetOptions& options) {
  Manifest manifest{.at = locate(options)};
  const FileTree& tree = *manifest.at.tree;
  const Table table = read_table(tree, manifest.at.path);
  const std::string name = tree.name(manifest.at.path);
  const int path = table.column("path"), label = table.column("label"), split = table.column("split"),
            group = table.column("group");
  const int box[] = {table.column("x"), table.column("y"), table.column("width"), table.column("height")};
  if (table.rows.empty()) throw DataError(name + " lists no images");
  if (path < 0 || label < 0)
    throw DataError(name + " has the columns '" + joined(table.columns).substr(0, 80) +
                    "', expected a header with path and label");
  manifest.has_boxes = *std::min_element(std::begin(box), std::end(box)) >= 0;
  if (!manifest.has_boxes && (box[0] >= 0 || box[1] >= 0))
    throw DataError(name + " has columns for a part of a box, expected x, y, width and height, or none of them");
  std::vector<std::string> unknown;
  for (const std::string& column : table.columns)
    if (!std::set<std::string>{"path", "label", "split", "group", "x", "y", "width", "height"}.contains(column))
      unknown.push_back("'" + column + "'");
  if (!unknown.empty()) manifest.notices.push_back("columns of " + name + " not used: " + joined(unknown));

  std::map<std::string, std::string> split_of;  // of each label
  ReadingNotes notes;
  for (const TableRow& row : table.rows) {
    Row read{.where = name + " line " + std::to_string(row.line),
             .path = row.fields[path],
             .label = notes.label(row.fields[label])};
    if (read.path.empty() || read.label.empty())
      throw DataError(read.where + " has an empty " + (read.path.empty() ? "path" : "label"));
    if (group >= 0) read.group = row.fields[group];
    if (split >= 0) {
      read.split = split_name(row.fields[split]);
      if (read.split.empty())
        throw DataError(read.where + " has the split '" + row.fields[split] + "', expected train, val or test");
      const auto [at, is_new] = split_of.emplace(read.label, read.split);
      if (!is_new && at->second != read.split)
        throw DataError("class '" + read.label + "' is in two splits: " + at->second + " (an earlier line) and " +
                        read.split + " (" + read.where + "), expected each class in one");
    }
    if (manifest.has_boxes) read.box = box_of(row, box, read.where);
    manifest.has_groups |= !read.group.empty();
    manifest.rows.push_back(std::move(read));
  }
  require_twins_together(split_of, name);
  for (auto& notice : notes.lines()) manifest.notices.push_back(std::move(notice));
  for (auto& notice : tree.notices()) manifest.notices.push_back(std::move(notice));
  manifest.has_splits = split >= 0;
  if (options.crop == "bbox")
    if (std::string notice = find_relative_boxes(manifest.rows, name); !notice.empty())
      manifest.notices.push_back(std::move(notice));
  if (manifest.has_splits && !options.split_file.empty())
    throw UsageError(name + " has a column split, so a split file does not apply");
  if (options.crop == "bbox" && !manifest.has_boxes)
    throw UsageError("crop 'bbox' needs the columns x, y, width and height, which " + name + " does not have");
  if (options.crop == "none" && manifest.has_boxes)
    manifest.notices.push_back("the boxes of " + name + " are not used (--crop bbox does)");
  return manifest;
}

ClassSplit splits_of(const Manifest& manifest, const DatasetOptions& options) {
  if (manifest.has_splits) {
    ClassSplit by_column;
    for (const Row& row : manifest.rows) by_column.split_of[row.label] = row.split;
    return by_column;
  }
  std::set<std::string> names;
  for (const Row& row : manifest.rows) names.insert(row.label);
  return split_classes({names.begin(), names.end()}, options, manifest.at.tree->name(manifest.at.path));
}

/// The path in the tree. Throws DataError if it leaves the tree, or is not there.
std::string located_path(const FileTree& tree, const Row& row, const DatasetOptions& options) {
  std::string path = row.path;
  const auto require_below = [&] {
    if (!options.allow_outside && !stays_below(path))
      throw DataError(row.where + " has the path '" + row.path +
                      "', which leaves the manifest's folder: expected one without '..' and not absolute "
                      "(--allow-outside permits it)");
  };
  require_below();
  // As Windows programs write it. A backslash before a byte that is no UTF-8 is the program's own (escaped).
  for (const bool keep_escapes : {false, true}) {
    if (tree.is_file(path)) break;
    path = keep_escapes ? unescaped(row.path) : row.path;
    std::replace(path.begin(), path.end(), '\\', '/');
    if (keep_escapes) path = escaped(path);
    require_below();
  }
  std::string plain = fs::path(path).lexically_normal().string();
  if (!options.skip_bad && !tree.is_file(plain))
    throw DataError(row.where + " names image '" + row.path + "', which is not there: expected it below " +
                    tree.name(""));
  return plain;
}

std::vector<std::string> manifest_splits(const DatasetOptions& options) {
  return splits_of(read_manifest(options), options).splits();
}

std::shared_ptr<const ImageSource> open_manifest(const DatasetOptions& options, const std::string& split) {
  Manifest manifest = read_manifest(options);
  const FileTreePtr& tree = manifest.at.tree;
  ClassSplit splits = splits_of(manifest, options);
  const std::string name = tree->name(manifest.at.path);
  std::map<std::string, FileClass> classes;  // sorted by name
  std::map<std::string, int> groups;
  std::map<std::string, std::string> seen;  // image -> where
  int next_group = 0;
  for (const Row& row : manifest.rows) {
    const std::string path = located_path(*tree, row, options);
    const bool boxed = options.crop == "bbox" && row.box;
    std::string key = path;
    if (boxed)
      for (const double edge : {row.box->x, row.box->y, row.box->width, row.box->height})
        key += "|" + number_text(edge);
    const auto [earlier, is_new] = seen.emplace(key, row.where);
    if (!is_new)
      throw DataError(row.where + " repeats image '" + row.path + "' of " + earlier->second.substr(name.size() + 1) +
                      (row.box && !boxed ? " (--crop bbox tells them apart by their boxes)" : ""));
    int group = -1;
    if (manifest.has_groups) {
      const auto found = groups.find(row.group);
      group = !row.group.empty() && found != groups.end() ? found->second : next_group++;
      if (!row.group.empty()) groups[row.group] = group;
    }
    const auto in = splits.split_of.find(row.label);
    if (in == splits.split_of.end() || in->second != split) continue;
    FileClass& c = classes[row.label];
    c.name = row.label;
    c.images.push_back({path, boxed ? row.box : std::nullopt, boxed ? row.where : "", group});
  }
  if (classes.empty())
    throw UsageError("manifest has no split '" + split + "' in " + name + ": there is " + joined(splits.splits()));
  std::vector<FileClass> sorted;
  for (auto& [label, c] : classes) sorted.push_back(std::move(c));
  SourceInfo info{.dataset = "manifest",
                  .split = split,
                  .form = "manifest",
                  .split_rule = splits.rule,
                  .crop = options.crop,
                  .notices = std::move(manifest.notices)};
  info.notices.insert(info.notices.end(), splits.notices.begin(), splits.notices.end());
  return file_source(std::move(info), tree, std::move(sorted), options);
}

}  // namespace

DatasetEntry manifest_entry() {
  return {
      .name = "manifest",
      .summary = "your images, listed in a CSV, TSV or JSON Lines file: path,label[,split][,group][,x,y,width,height]",
      .needs_root = false,  // it opens its root by itself, since that may be a file
      .usual_size = 84,
      .usual_channels = 3,
      .split_rules = {},
      .has_boxes = true,
      .splits = manifest_splits,
      .open = open_manifest,
      .comes_without_splits = [](const DatasetOptions& options) { return !read_manifest(options).has_splits; }};
}

}  // namespace fewatoms
