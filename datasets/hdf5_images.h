#pragma once

#include <string>
#include <vector>

#include "datasets/file_tree.h"
#include "datasets/image_set.h"
#include "datasets/pixels.h"

namespace fewatoms {

/// A class whose images are one dataset of an HDF5 file.
struct Hdf5Class {
  std::string name;
  std::string dataset;     // its path in the file: "datasets/n01532829"
  std::string group = {};  // empty: the dataset's attribute "label_general", if it has one
};

/// Names of what lies directly in a group of the file, sorted. Throws DataError.
std::vector<std::string> hdf5_names(const FileTreePtr& tree, const std::string& file, const std::string& group);

/// Images of an HDF5 file: each dataset [n, H, W(, C)] of uint8 or uint16, or [n] of encoded images (variable-length
/// uint8). Uncompressed ones are mapped, the others read image by image; nothing outside the file is followed, no
/// plug-in loaded. Encoded JPEG images are reduced as they are decoded while `enough` pixels remain (reduction_for); 0:
/// never. Throws DataError: no HDF5, truncated, a dataset that is not there or is no images.
ImageSet hdf5_images(const FileTreePtr& tree, const std::string& file, const std::vector<Hdf5Class>& classes,
                     const PixelRules& rules, int enough);

}  // namespace fewatoms
