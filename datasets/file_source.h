#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace fewatoms {

/// A box in pixels of the stored picture; fractions are allowed.
struct Box {
  double x = 0, y = 0, width = 0, height = 0;
};

struct FileImage {
  std::string path;         // of the file
  std::optional<Box> crop;  // the part to use; clipped to the picture
};

struct FileClass {
  std::string name;
  std::vector<FileImage> images;
  int quarter_turns = 0;  // rotation of every image, counter-clockwise, 0..3
};

/// Image files as a source. With `inverted`, 255 - value (white strokes on black).
/// Reading an image throws DataError, naming the file, if it is missing, empty, truncated or not an image.
std::shared_ptr<const ImageSource> file_source(SourceInfo info, std::vector<FileClass> classes,
                                               const DatasetOptions& options, bool inverted = false);

}  // namespace fewatoms
