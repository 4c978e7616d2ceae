#include "meta/head.h"

#include "episodes/errors.h"

namespace fewatoms {
namespace {

Tensor one_hot(const Tensor& labels, int64_t ways, const Tensor& like) {
  return at::one_hot(labels, ways).to(like.scalar_type());
}

}  // namespace

HeadKind head_from_string(const std::string& name) {
  if (name == "linear") return HeadKind::kLinear;
  if (name == "prototype") return HeadKind::kPrototype;
  throw UsageError(unknown_name("head", name, {"linear", "prototype"}));
}

Tensor prototypes(const Tensor& features, const Tensor& labels, int64_t ways) {
  const Tensor members = one_hot(labels, ways, features);  // [n, ways]
  return at::mm(members.t(), features) / members.sum(0).unsqueeze(1);
}

Tensor prototype_logits(const Tensor& features, const Tensor& centres) {
  const Tensor squares = (features * features).sum(1, /*keepdim=*/true) + (centres * centres).sum(1).unsqueeze(0);
  return 2 * at::mm(features, centres.t()) - squares;
}

Tensor leave_one_out_logits(const Tensor& features, const Tensor& labels, int64_t ways) {
  const Tensor members = one_hot(labels, ways, features);
  const Tensor sizes = members.sum(0);                                       // [ways]
  TORCH_CHECK(sizes.min().item<double>() >= 2, "leaving one out needs two images of every class");
  const Tensor sums = at::mm(members.t(), features);                         // [ways, d]
  const Tensor others = logical_not(members.to(at::kBool)).to(features.scalar_type());
  // The distance to the image's own class uses the mean of the rest; to all others, the plain mean.
  const Tensor own_sizes = sizes.index_select(0, labels).unsqueeze(1);
  const Tensor own = (sums.index_select(0, labels) - features) / (own_sizes - 1);  // [n, d]
  const Tensor difference = features - own;
  const Tensor own_logit = -(difference * difference).sum(1, /*keepdim=*/true);
  return prototype_logits(features, sums / sizes.unsqueeze(1)) * others + own_logit * members;
}

}  // namespace fewatoms
