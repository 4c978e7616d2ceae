#pragma once

#include <memory>

#include "datasets/dataset.h"

namespace fewatoms {

/// A source of your own, made fit for training as options say: its images resized to a square, grey or RGB, augmented
/// and cached. The images of `raw` may have any size and are asked for without augmentation keys. Throws DataError if
/// it has no classes, an empty class, two classes of one name, or impossible sizes; its image() then if `raw` gives an
/// image of other sizes than it says.
std::shared_ptr<const ImageSource> prepared_source(std::shared_ptr<const ImageSource> raw,
                                                   const DatasetOptions& options);

}  // namespace fewatoms
