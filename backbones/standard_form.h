#pragma once

#include <map>
#include <string>

#include "backbones/backbone.h"

namespace fewatoms {

/// A network's parameters as those of plain PyTorch layers: `LAYER.weight` of a convolution is the dense kernel [out,
/// in, k, k] that its atoms and coefficients compose; `NORM.weight`, `.bias`, `.running_mean` and `.running_var` are
/// those of BatchNorm2d. Heads keep their names. Left out is what only training and later inner steps use. `parameters`
/// are those of a backbone with `conv`, and a head.
std::map<std::string, Tensor> standard_form(const Backbone& backbone, const ConvOptions& conv,
                                            const ParameterSet& parameters);

}  // namespace fewatoms
