#pragma once

#include <memory>
#include <string>

#include "episodes/image_source.h"

namespace fewatoms {

/// Each class four times, its images turned by 0, 90, 180 and 270 degrees counter-clockwise: class c becomes classes 4c
/// to 4c+3, named "owl/rot000", "owl/rot090", ... Images must be square. The published Omniglot protocol enlarges its
/// training set so (Santoro et al. 2016).
std::shared_ptr<const ImageSource> rotated_classes(std::shared_ptr<const ImageSource> source);

/// Whether `rotations` ("none", "train" or "all") turns the classes of the split.
bool turns_classes(const std::string& rotations, const std::string& split);
/// The name of a class before it was turned: "owl" of "owl/rot090".
std::string name_before_turning(const std::string& name);

/// That, if `rotations` ("none", "train" or "all") says so of the split; else the source itself.
std::shared_ptr<const ImageSource> with_rotations(std::shared_ptr<const ImageSource> source,
                                                  const std::string& rotations, const std::string& split);

}  // namespace fewatoms
