#pragma once

#include <string>

#include "meta/embedding.h"

namespace fewatoms {

/// `to` with the body of `from`: every tensor but those of roles head and meta, by name. Statistics that `from` does
/// not keep stay as they are; norms of later inner steps start from those of the first. Throws UsageError, calling
/// `from` by `where`, if another tensor is missing there or has another shape.
ParameterSet with_body(const ParameterSet& to, const ParameterSet& from, const std::string& where);

/// `parameters` with the mean feature of a source's images in the place that `feature-norm centred` reads, at most
/// `most_images` of them, taken evenly from all classes. The learner must have that place.
ParameterSet with_feature_mean(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                               PixelNorm pixel_norm, int most_images = 2000);

}  // namespace fewatoms
