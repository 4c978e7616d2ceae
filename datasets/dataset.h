#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "episodes/image_source.h"

namespace fewatoms {

/// Which images to open, and how they are prepared.
struct DatasetOptions {
  std::string name = "strokes";     // one of dataset_names()
  std::filesystem::path root = {};  // folder, archive or pack of the files; `strokes` needs none
  int image_size = 0;               // pixels, square; 0: the data set's usual size
  int channels = 0;                 // 1 grey or 3 RGB; 0: the data set's usual number
  std::string crop = "none";        // "none" or "bbox" (cub in its official layout)
  std::string split_rule = {};      // empty: the data set's default rule
  std::string augment = "none";     // "none" or "crop-jitter-flip" (applies to images with an augmentation key)
  uint64_t split_seed = 0;          // for classes that come without splits: which go where
  int64_t cache_mb = 4096;          // memory for decoded images of each open split, MiB, >= 0; 0: decode every time
  double crop_margin = 0;           // crop "bbox": how far the box grows on each side, as a part of its side, 0..1
  bool exif = true;                 // turn images as the camera's orientation tag says
  std::string background = "auto";  // under transparent pictures: "auto", "white" or "black" (datasets/pixels.h)
  bool allow_outside = false;       // whether paths and links may leave the root
  std::string split_fractions = "0.64,0.16,0.2";  // for classes that come without splits: shares of train, val and test
  std::filesystem::path split_file = {};  // instead of seed and fractions: a table with the columns label and split
  bool skip_bad = false;       // leave out images that cannot be decoded; all are decoded at opening to find them
  bool strict_decode = false;  // damage that decoders make up for makes an image bad too; skip_bad sets it
  bool check_files = false;    // look at the header of every file at opening and refuse what is bad
  bool exact_decode = false;   // decode JPEG photographs at full scale even where they are then made much smaller
  std::string rotations =
      "none";          // "train" or "all": in such splits each class becomes four, turned by 0, 90, 180, 270 degrees
  int min_images = 0;  // classes with fewer are left out, with a notice, 0..1e9
  std::string name_encoding = {};     // of names in archives that do not say theirs, as iconv calls it; empty: see
                                      // open_file_tree
  std::filesystem::path plugin = {};  // data set `plugin`: the shared library
  std::vector<std::string> plugin_options = {};  // data set `plugin`: its own options, "key=value"
};

/// What `dataset inspect` reports of one split.
struct SplitSummary {
  std::string split;
  int classes = 0;
  int64_t images = 0;
  int fewest = 0, median = 0, most = 0;  // images per class
};

/// A data set's fixed facts: one per registry line.
struct DatasetEntry {
  std::string name;
  std::string summary = {};  // one line for help texts
  bool needs_root = true;
  int usual_size = 84;  // pixels
  int usual_channels = 3;
  std::vector<std::string> split_rules = {};  // the first is the default; empty: nothing to choose
  bool has_boxes = false;                     // whether `crop` "bbox" means something
  bool has_rotations = false;  // whether its classes are turned copies already: `rotations` does not apply
  /// The splits that are present, of "train", "val", "test" in this order. Throws UsageError if `root` holds no form of
  /// the data set, or two.
  std::function<std::vector<std::string>(const DatasetOptions&)> splits = {};
  /// Opens one split with options already resolved (no zeros, no empty rule).
  /// Throws UsageError (option that does not apply, split that is not there), DataError (bad files).
  std::function<std::shared_ptr<const ImageSource>(const DatasetOptions&, const std::string& split)> open = {};
  /// Whether what lies under the root leaves open which class is in which split, so that options decide; undefined: it
  /// never does. Throws as `open` does.
  std::function<bool(const DatasetOptions&)> comes_without_splits = {};
};

/// The registry, in the order help texts show it: adding a data set is one file and one line here.
const std::vector<DatasetEntry>& dataset_registry();
std::vector<std::string> dataset_names();

/// Adds a data set of the program's own, which `open_dataset` then knows by its name. `open` gives a source of the size
/// and channels that the options say: prepared_source (datasets/prepared_source.h) makes any source so. Call before
/// other threads use the registry. Throws UsageError if the name is taken, or `splits` or `open` is missing.
void register_dataset(DatasetEntry entry);

/// Options with the data set's usual size, channels and split rule filled in. Throws UsageError on an unknown name,
/// size outside 8..512, channels other than 1 or 3, or an option the data set does not know. Touches no file.
DatasetOptions resolve(DatasetOptions options);

/// Opens a split ("train", "val", "test", or "all" for every class): images decoded on demand in parallel, resized to a
/// square, cached, augmented; a root that is a pack gives what was packed. With skip_bad every image is decoded first,
/// and those that cannot be are left out, counted in SourceInfo::skipped and named in a notice; then classes of fewer
/// than min_images images, counted in a notice. Throws as DatasetEntry::open does, and UsageError if the root is
/// missing or is no folder and no archive, or no class is left. "all" are the classes of every split, sorted by name,
/// and where the data come without splits and no split file is given every class there is; it throws UsageError if two
/// splits have a class of one name.
std::shared_ptr<const ImageSource> open_dataset(const DatasetOptions& options, const std::string& split);

/// The class folders under `options.root` as one source without splits: the support set of a new task. Classes are
/// sorted by name, images by file name; a single folder of folders is looked through. `options.name` and min_images are
/// not looked at. Throws UsageError if the root is missing, holds no class folder with images, or split folders of
/// them.
std::shared_ptr<const ImageSource> open_class_folders(const DatasetOptions& options);

/// Image files as one class named "images", in the order given; `options.root` and `options.name` are not looked at.
/// Throws UsageError if a path does not exist or is a folder.
std::shared_ptr<const ImageSource> open_images(const std::vector<std::filesystem::path>& files,
                                               const DatasetOptions& options);

/// The splits that are present, of "train", "val", "test" in this order. Throws as open_dataset does.
std::vector<std::string> present_splits(const DatasetOptions& options);

/// Whether the data themselves leave open which class is in which split, so that a seed or a list decides: plain class
/// folders, a manifest without a column split, a pack of such data. Throws as open_dataset does.
bool comes_without_splits(const DatasetOptions& options);

/// The splits that are present, summarised, without decoding images. Throws as open_dataset does.
std::vector<SplitSummary> summarise(const DatasetOptions& options);

}  // namespace fewatoms
