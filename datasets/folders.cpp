#include <algorithm>
#include <cmath>

#include "datasets/class_folders.h"
#include "datasets/entries.h"
#include "datasets/files.h"
#include "episodes/errors.h"
#include "episodes/random.h"

// Any labelled images: one folder per class, or train, val and test folders of those. Without split folders the classes
// are shuffled by the split seed and cut 64 : 16 : 20 (as mini-ImageNet is), at least one class in each split.

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

/// Class folders under `folder`. Throws UsageError if there are none.
ClassFolders require_class_folders(const fs::path& folder) {
  ClassFolders found = find_class_folders(folder);
  if (found.classes.empty())
    throw UsageError(in_quotes(folder) + " has no class folders with images, expected one folder per class");
  return found;
}

std::vector<FileClass> cut(std::vector<FileClass> classes, const std::string& split, uint64_t split_seed) {
  const auto n = static_cast<int>(classes.size());
  std::vector<int> order(n);
  for (int i = 0; i < n; ++i) order[i] = i;
  Random{split_seed, stream(Stream::kSplit)}.shuffle(order);

  const int val = std::max(1, static_cast<int>(std::lround(0.16 * n)));
  const int test = std::max(1, static_cast<int>(std::lround(0.20 * n)));
  const int train = n - val - test;
  const int begin = split == "train" ? 0 : split == "val" ? train : train + val;
  const int count = split == "train" ? train : split == "val" ? val : test;
  std::sort(order.begin() + begin, order.begin() + begin + count);

  std::vector<FileClass> kept;
  for (int i = begin; i < begin + count; ++i) kept.push_back(std::move(classes[order[i]]));
  return kept;
}

std::vector<std::string> folders_splits(const DatasetOptions& options) {
  auto splits = split_folders(options.root);
  return splits.empty() ? std::vector<std::string>{"train", "val", "test"} : splits;
}

std::shared_ptr<const ImageSource> open_folders(const DatasetOptions& options, const std::string& split) {
  const auto present = split_folders(options.root);
  SourceInfo info{
      .dataset = options.name, .split = split, .form = "class-folders", .split_rule = "", .crop = "none", .notices = {}};
  ClassFolders found;
  if (present.empty()) {
    found = require_class_folders(options.root);
    if (found.classes.size() < 3)
      throw UsageError(in_quotes(options.root) + " has " + std::to_string(found.classes.size()) +
                       " class folders with images, at least 3 are needed to make train, val and test of them");
    found.classes = cut(std::move(found.classes), split, options.split_seed);
    info.split_rule = "seed-" + std::to_string(options.split_seed);
  } else {
    require_split(options.name, split, present, "the folder " + in_quotes(options.root / split));
    found = require_class_folders(options.root / split);
    info.form = "split-folders";
    const size_t others = list_folder(options.root).folders.size() - present.size();
    if (others > 0)
      found.notices.push_back("ignored " + std::to_string(others) + (others == 1 ? " folder" : " folders") +
                              " beside the split folders of " + in_quotes(options.root));
  }
  info.notices = std::move(found.notices);
  return file_source(std::move(info), std::move(found.classes), options);
}

}  // namespace

DatasetEntry folders_entry() {
  return {.name = "folders",
          .summary = "your images: one folder per class, or train, val and test folders of those",
          .usual_size = 84,
          .usual_channels = 3,
          .split_rules = {},
          .splits = folders_splits,
          .open = open_folders};
}

std::shared_ptr<const ImageSource> open_class_folders(const DatasetOptions& options) {
  DatasetOptions resolved = options;
  resolved.name = "folders";
  resolved = resolve(resolved);
  require_folder(resolved.root, resolved.name);
  ClassFolders found = require_class_folders(resolved.root);
  SourceInfo info{.dataset = "folders",
                  .split = "all",
                  .form = "class-folders",
                  .split_rule = "",
                  .crop = "none",
                  .notices = std::move(found.notices)};
  return file_source(std::move(info), std::move(found.classes), resolved);
}

std::shared_ptr<const ImageSource> open_images(const std::vector<fs::path>& files, const DatasetOptions& options) {
  DatasetOptions resolved = options;
  resolved.name = "folders";
  resolved = resolve(resolved);
  FileClass images{"images", {}, 0};
  for (const fs::path& file : files) {
    if (!fs::exists(file)) throw UsageError("image " + in_quotes(file) + " does not exist");
    if (fs::is_directory(file)) throw UsageError(in_quotes(file) + " is a folder, expected an image file");
    images.images.push_back({file.string(), {}});
  }
  SourceInfo info{.dataset = "images", .split = "all", .form = "files", .split_rule = "", .crop = "none", .notices = {}};
  return file_source(std::move(info), {std::move(images)}, resolved);
}

}  // namespace fewatoms
