#pragma once

#include <string>
#include <vector>

#include "backbones/parameter_set.h"

namespace fewatoms {

/// What turns features into class scores.
enum class HeadKind {
  kLinear,     // weight [ways, features] and bias [ways], role head
  kPrototype,  // no parameters: minus the squared distance to the class means (Snell et al. 2017, eq. 1 and 2)
};
/// "linear" or "prototype". Throws UsageError on anything else.
HeadKind head_from_string(const std::string& name);

/// Class means [ways, d] of features [n, d] with labels [n].
Tensor prototypes(const Tensor& features, const Tensor& labels, int64_t ways);

/// Minus squared Euclidean distances [n, ways] from features [n, d] to centres [ways, d], written out so that they can be
/// differentiated twice.
Tensor prototype_logits(const Tensor& features, const Tensor& centres);

/// Scores [n, ways] of every support image against prototypes that leave it out. Each class needs two images or more.
Tensor leave_one_out_logits(const Tensor& features, const Tensor& labels, int64_t ways);

}  // namespace fewatoms
