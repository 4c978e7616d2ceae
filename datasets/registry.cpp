#include <algorithm>

#include "datasets/class_split.h"
#include "datasets/dataset.h"
#include "datasets/entries.h"
#include "datasets/forms.h"
#include "datasets/good_images.h"
#include "datasets/min_images.h"
#include "datasets/name_encoding.h"
#include "datasets/pack.h"
#include "datasets/rotations.h"
#include "datasets/union_source.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "episodes/text.h"

namespace fewatoms {
namespace {

const DatasetEntry& find_entry(const std::string& name) {
  for (const DatasetEntry& entry : dataset_registry())
    if (entry.name == name) return entry;
  throw UsageError(unknown_name("data set", name, dataset_names()));
}

void require_one_of(const std::string& what, const std::string& given, const std::vector<std::string>& valid) {
  if (std::find(valid.begin(), valid.end(), given) == valid.end()) throw UsageError(unknown_name(what, given, valid));
}

/// Names are UTF-8 from here on. Sources of ours escape what is not; one that a program registers may not.
void require_utf8(const ImageSource& source) {
  for (int c = 0; c < source.classes(); ++c)
    if (!is_utf8(source.class_name(c)) || !is_utf8(source.class_group(c)))
      throw DataError("class '" + as_line(source.class_name(c)) + "' of data set '" + source.info().dataset +
                      "' has a name or group that is not UTF-8, expected UTF-8 (prepared_source makes it so)");
}

std::vector<DatasetEntry>& registry() {
  static std::vector<DatasetEntry> registry{
      strokes_entry(), mini_imagenet_entry(),   cub_entry(),           omniglot_entry(), cifar_fs_entry(),
      fc100_entry(),   tiered_imagenet_entry(), fashion_mnist_entry(), folders_entry(),  manifest_entry(),
      plugin_entry(),
  };
  return registry;
}

std::shared_ptr<const ImageSource> open_all(DatasetOptions options) {
  if (options.rotations == "train") options.rotations = "none";
  const bool by_choice = options.split_file.empty() && !is_pack(options.root) && comes_without_splits(options);
  if (by_choice) options.split_fractions = "0,0,1";
  std::vector<std::shared_ptr<const ImageSource>> sources;
  for (const std::string& split : present_splits(options)) sources.push_back(open_dataset(options, split));
  return union_of_classes(std::move(sources), "all", by_choice);
}

}  // namespace

const std::vector<DatasetEntry>& dataset_registry() { return registry(); }

void register_dataset(DatasetEntry entry) {
  const auto names = dataset_names();
  if (std::find(names.begin(), names.end(), entry.name) != names.end())
    throw UsageError("there is a data set '" + entry.name + "' already, expected another name");
  if (entry.name.empty() || !entry.splits || !entry.open)
    throw UsageError("data set '" + entry.name + "' has no name, no splits or no open, expected all three");
  registry().push_back(std::move(entry));
}

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const DatasetEntry& entry : dataset_registry()) names.push_back(entry.name);
  return names;
}

DatasetOptions resolve(DatasetOptions options) {
  const DatasetEntry& entry = find_entry(options.name);
  if (options.image_size == 0) options.image_size = entry.usual_size;
  if (options.channels == 0) options.channels = entry.usual_channels;
  if (options.image_size < 8 || options.image_size > 512)
    throw UsageError("image size is " + std::to_string(options.image_size) + ", expected 8 to 512 pixels");
  if (options.channels != 1 && options.channels != 3)
    throw UsageError("channels is " + std::to_string(options.channels) + ", expected 1 (grey) or 3 (RGB)");
  if (options.cache_mb < 0 || options.cache_mb > (int64_t{1} << 40))
    throw UsageError("cache is " + std::to_string(options.cache_mb) + " MiB, expected 0 or more");
  require_one_of("augmentation", options.augment, {"none", "crop-jitter-flip"});
  require_one_of("crop", options.crop, {"none", "bbox"});
  require_one_of("background", options.background, {"auto", "white", "black"});
  options.strict_decode |= options.skip_bad;
  require_one_of("rotations", options.rotations, {"none", "train", "all"});
  if (options.rotations != "none" && entry.has_rotations)
    throw UsageError("rotations '" + options.rotations + "' does not apply to data set '" + entry.name +
                     "', whose classes are turned already");
  if (entry.name != "plugin" && (!options.plugin.empty() || !options.plugin_options.empty()))
    throw UsageError("plugin and plugin options go with data set 'plugin', the data set is '" + entry.name + "'");
  if (!(options.crop_margin >= 0 && options.crop_margin <= 1))
    throw UsageError("crop margin is " + number_text(options.crop_margin) + ", expected 0 to 1");
  if (options.crop == "bbox" && !entry.has_boxes)
    throw UsageError("crop 'bbox' does not apply to data set '" + entry.name + "', which has no bounding boxes");
  parse_fractions(options.split_fractions);
  require_known_encoding(options.name_encoding);
  if (options.min_images < 0)
    throw UsageError("min images is " + std::to_string(options.min_images) + ", expected 0 or more");
  if (options.split_rule.empty()) {
    if (!entry.split_rules.empty()) options.split_rule = entry.split_rules.front();
  } else if (entry.split_rules.empty()) {
    throw UsageError("split rule '" + options.split_rule + "' does not apply to data set '" + entry.name +
                     "', which has no rules to choose from");
  } else {
    require_one_of("split rule of data set '" + entry.name + "'", options.split_rule, entry.split_rules);
  }
  return options;
}

std::shared_ptr<const ImageSource> open_dataset(const DatasetOptions& options, const std::string& split) {
  const DatasetOptions resolved = resolve(options);
  const DatasetEntry& entry = find_entry(resolved.name);
  require_one_of("split", split, {"train", "val", "test", "all"});
  if (split == "all") return open_all(resolved);
  const ArchivesStayOpen until_the_source_holds_them;
  std::shared_ptr<const ImageSource> source;
  if (is_pack(resolved.root)) {
    source = open_pack(resolved, split);
  } else {
    if (entry.needs_root) open_root(resolved);
    source = entry.open(resolved, split);
    require_utf8(*source);
    if (resolved.skip_bad)
      source = without_bad_images(std::move(source));
    else if (resolved.check_files)
      require_good_files(*source);
  }
  if (resolved.min_images > 0) source = with_min_images(std::move(source), resolved.min_images);
  return with_rotations(std::move(source), resolved.rotations, split);
}

std::vector<std::string> present_splits(const DatasetOptions& options) {
  const DatasetOptions resolved = resolve(options);
  const DatasetEntry& entry = find_entry(resolved.name);
  if (is_pack(resolved.root)) return pack_splits(resolved);
  const ArchivesStayOpen while_looking;
  if (entry.needs_root) open_root(resolved);
  return entry.splits(resolved);
}

bool comes_without_splits(const DatasetOptions& options) {
  const DatasetOptions resolved = resolve(options);
  const DatasetEntry& entry = find_entry(resolved.name);
  if (is_pack(resolved.root))
    return open_pack(resolved, pack_splits(resolved).at(0))->info().split_rule == seed_rule(DatasetOptions{});
  if (!entry.comes_without_splits) return false;
  if (entry.needs_root) open_root(resolved);
  return entry.comes_without_splits(resolved);
}

std::vector<SplitSummary> summarise(const DatasetOptions& options) {
  const ArchivesStayOpen over_all_splits;
  std::vector<SplitSummary> summaries;
  for (const auto& split : present_splits(options)) {
    const auto source = open_dataset(options, split);
    std::vector<int> sizes;
    SplitSummary summary{.split = split, .classes = source->classes()};
    for (int c = 0; c < source->classes(); ++c) {
      sizes.push_back(source->class_size(c));
      summary.images += sizes.back();
    }
    std::sort(sizes.begin(), sizes.end());
    if (!sizes.empty()) {
      summary.fewest = sizes.front();
      summary.median = sizes[sizes.size() / 2];
      summary.most = sizes.back();
    }
    summaries.push_back(summary);
  }
  return summaries;
}

}  // namespace fewatoms
