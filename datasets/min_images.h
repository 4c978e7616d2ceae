#pragma once

#include <memory>

#include "episodes/image_source.h"

namespace fewatoms {

/// The source without the classes that have fewer images, which a notice counts; the source itself if all have enough.
/// Throws UsageError if no class is left.
std::shared_ptr<const ImageSource> with_min_images(std::shared_ptr<const ImageSource> source, int min_images);

}  // namespace fewatoms
