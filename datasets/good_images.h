#pragma once

#include <memory>

#include "episodes/image_source.h"

namespace fewatoms {

/// The source without the images whose reading throws DataError; all are read once, in parallel. They are counted in
/// SourceInfo::skipped, and a notice names the first. Classes stay, with fewer images. The source itself if all are
/// good.
std::shared_ptr<const ImageSource> without_bad_images(std::shared_ptr<const ImageSource> source);

/// A look at the header of every image's file, in parallel, so that a file that cannot be read stops a run when it
/// starts and not when the image is first drawn. Throws DataError, naming the first such file and how many there are.
void require_good_files(const ImageSource& source);

}  // namespace fewatoms
