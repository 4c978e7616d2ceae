#pragma once

#include <memory>
#include <string>
#include <vector>

#include "episodes/image_source.h"

namespace fewatoms {

/// The classes of several splits of a data set as one source, sorted by name; `split` is what it calls itself. With
/// `without_rule` it has no split rule, as no class was told apart by one. Throws UsageError if there is no source, or
/// two have a class of one name.
std::shared_ptr<const ImageSource> union_of_classes(std::vector<std::shared_ptr<const ImageSource>> sources,
                                                    const std::string& split, bool without_rule = false);

}  // namespace fewatoms
