#include <algorithm>
#include <map>
#include <unordered_set>

#include "datasets/class_folders.h"
#include "datasets/entries.h"
#include "datasets/files.h"
#include "episodes/errors.h"

// mini-ImageNet in the split of Ravi & Larochelle (ICLR 2017): 64/16/20 classes of 600 images, as images with CSV lists
// or as split folders.

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

constexpr int kImagesPerClass = 600;
int official_classes(const std::string& split) { return split == "train" ? 64 : split == "val" ? 16 : 20; }

enum class Form { kCsv, kFolders };

std::vector<std::string> csv_splits(const fs::path& root) {
  std::vector<std::string> splits;
  for (const char* name : {"train", "val", "test"})
    if (fs::exists(root / (std::string(name) + ".csv"))) splits.emplace_back(name);
  return splits;
}

Form find_form(const fs::path& root) {
  const auto lists = csv_splits(root), folders = split_folders(root);
  if (!lists.empty() && !folders.empty())
    throw UsageError(in_quotes(root) + " holds two forms of mini-imagenet: CSV lists (" + lists.front() +
                     ".csv) and split folders (" + folders.front() + "/), expected one of them");
  if (!lists.empty()) return Form::kCsv;
  if (!folders.empty()) return Form::kFolders;
  throw UsageError(in_quotes(root) +
                   " holds no mini-imagenet: expected images/ with train.csv, val.csv and test.csv, "
                   "or folders train/, val/ and test/ of class folders");
}

std::vector<std::string> mini_imagenet_splits(const DatasetOptions& options) {
  return find_form(options.root) == Form::kCsv ? csv_splits(options.root) : split_folders(options.root);
}

void require_header(const fs::path& csv, const std::vector<TextLine>& lines) {
  const std::string header = lines.empty() ? "" : lines.front().text;
  if (header == "filename,label") return;
  if (header == "filename,class")
    throw UsageError(in_quotes(csv) +
                     " is of the Vinyals split (header 'filename,class'), which is another split: "
                     "expected the Ravi & Larochelle split with header 'filename,label'");
  throw DataError(in_quotes(csv) + " has the first line '" + header + "', expected 'filename,label'");
}

std::vector<FileClass> read_csv(const fs::path& root, const fs::path& csv) {
  const auto lines = read_lines(csv);
  require_header(csv, lines);

  // One listing instead of a look at each of up to 38,400 files.
  const fs::path images = root / "images";
  std::unordered_set<std::string> flat;
  if (fs::is_directory(images)) {
    const auto files = list_folder(images).files;
    flat.insert(files.begin(), files.end());
  }

  std::map<std::string, FileClass> classes;  // sorted by name
  std::unordered_set<std::string> seen;
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string& text = lines[i].text;
    const size_t comma = text.find(',');
    const std::string name = text.substr(0, comma);
    const std::string label = comma == std::string::npos ? "" : text.substr(comma + 1);
    if (name.empty() || label.empty() || label.find(',') != std::string::npos)
      throw DataError(place(csv, lines[i]) + " is '" + text + "', expected 'filename,label'");
    if (!stays_below(name) || !stays_below(label))
      throw DataError(place(csv, lines[i]) + " has '" + text + "', expected names without '..' and not absolute");
    if (!seen.insert(name).second) throw DataError(place(csv, lines[i]) + " repeats image '" + name + "'");
    fs::path file = images / name;
    if (!flat.contains(name)) {
      file = images / label / name;
      if (!fs::exists(file))
        throw DataError(place(csv, lines[i]) + " names image '" + name + "', which is neither in " + in_quotes(images) +
                        " nor in its folder '" + label + "'");
    }
    FileClass& of_label = classes[label];
    of_label.name = label;
    of_label.images.push_back({file.string(), {}});
  }
  if (classes.empty()) throw DataError(in_quotes(csv) + " lists no images");

  std::vector<FileClass> result;
  for (auto& [label, c] : classes) result.push_back(std::move(c));
  return result;
}

/// A notice unless the split is as large as the official one.
void note_size(const std::string& split, const std::vector<FileClass>& classes, std::vector<std::string>& notices) {
  const auto [fewest, most] = std::minmax_element(
      classes.begin(), classes.end(), [](const auto& a, const auto& b) { return a.images.size() < b.images.size(); });
  const int official = official_classes(split);
  const size_t least = fewest->images.size(), greatest = most->images.size();
  if (static_cast<int>(classes.size()) == official && least == kImagesPerClass && greatest == kImagesPerClass) return;
  notices.push_back("split '" + split + "' has " + std::to_string(classes.size()) + " of " + std::to_string(official) +
                    " classes, " + std::to_string(least) + (least == greatest ? "" : " to " + std::to_string(greatest)) +
                    " of " + std::to_string(kImagesPerClass) + " images each");
}

std::shared_ptr<const ImageSource> open_mini_imagenet(const DatasetOptions& options, const std::string& split) {
  const fs::path& root = options.root;
  SourceInfo info{
      .dataset = options.name, .split = split, .form = "", .split_rule = options.split_rule, .crop = "none", .notices = {}};
  std::vector<FileClass> classes;
  if (find_form(root) == Form::kCsv) {
    const fs::path csv = root / (split + ".csv");
    require_split(options.name, split, csv_splits(root), in_quotes(csv));
    info.form = "images+csv";
    classes = read_csv(root, csv);
  } else {
    require_split(options.name, split, split_folders(root), "the folder " + in_quotes(root / split));
    info.form = "split-folders";
    ClassFolders found = find_class_folders(root / split);
    if (found.classes.empty())
      throw UsageError(in_quotes(root / split) + " has no class folders with images, expected one per class");
    classes = std::move(found.classes);
    info.notices = std::move(found.notices);
  }
  note_size(split, classes, info.notices);
  return file_source(std::move(info), std::move(classes), options);
}

}  // namespace

DatasetEntry mini_imagenet_entry() {
  return {.name = "mini-imagenet",
          .summary = "mini-ImageNet: images with CSV lists, or split folders (64/16/20 classes)",
          .usual_size = 84,
          .usual_channels = 3,
          .split_rules = {"ravi"},
          .splits = mini_imagenet_splits,
          .open = open_mini_imagenet};
}

}  // namespace fewatoms
