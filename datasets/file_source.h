#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/file_tree.h"
#include "datasets/image_set.h"

namespace fewatoms {

/// A box in pixels of the stored picture; fractions are allowed.
struct Box {
  double x = 0, y = 0, width = 0, height = 0;
  bool relative = false;  // in parts of the picture's sides instead, 0..1
};

struct FileImage {
  std::string path;              // of the file in its tree
  std::optional<Box> crop = {};  // the part to use; clipped to the picture
  std::string crop_place =
      {};          // "'photos.csv' line 3": a box that leaves its picture is an error there; empty: is none
  int group = -1;  // ImageSource::image_groups; -1: none of the set's images are in groups
};

struct FileClass {
  std::string name;
  std::vector<FileImage> images = {};
  int quarter_turns = 0;   // rotation of every image, counter-clockwise, 0..3
  std::string group = {};  // what the class belongs to: a superclass, an alphabet; empty without
};

/// Image files as a set. With `inverted`, 255 - value (white strokes on black). Boxes grow by options.crop_margin and
/// are cut before the picture is turned by its orientation tag. Loading an image throws DataError, naming the file, if
/// it is missing, empty, truncated or not an image.
ImageSet file_images(FileTreePtr tree, std::vector<FileClass> classes, const DatasetOptions& options,
                     bool inverted = false);

/// The same as a source.
std::shared_ptr<const ImageSource> file_source(SourceInfo info, FileTreePtr tree, std::vector<FileClass> classes,
                                               const DatasetOptions& options, bool inverted = false);

}  // namespace fewatoms
