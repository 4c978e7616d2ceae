#include "meta/transfer.h"

#include <algorithm>

#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
ParameterSet with_body(const ParameterSet& to, const ParameterSet& from, const std::string& where) {
  const std::string later = ".later";
  std::vector<Tensor> values;
  for (const Parameter& p : to) {
    Tensor value = p.tensor;
    if (p.role.of_the_body) {
      const Tensor* source = from.find(p.name);
      const bool of_later_step = source == nullptr && p.name.ends_with(later);
      if (of_later_step) source = from.find(p.name.substr(0, p.name.size() - later.size()));
      if (source != nullptr) {
        const Tensor given = of_later_step ? source->repeat({p.tensor.size(0), 1}) : *source;
        if (given.sizes() != p.tensor.sizes()) {
          throw UsageError(where + " has another body: tensor '" + p.name + "' is " + shape_text(given.sizes()) +
                           " there, " + shape_text(p.tensor.sizes()) + " was expected");
        }
        value = given.detach().clone();
      } else if (p.role.trainable) {
        throw UsageError(where + " has another body: there is no tensor '" + p.name +
                         "'; backbone, convolutions and norm must be the same");
      }
    }
    values.push_back(value);
  }
  return {to.schema(), std::move(values)};
}

ParameterSet with_feature_mean(const Learner& learner, const ParameterSet& parameters, const ImageSource& source,
                               PixelNorm pixel_norm, int most_images) {
  TORCH_CHECK(learner.feature_mean(), "this learner subtracts no mean feature");
  const int each = std::max(1, most_images / source.classes());
  std::vector<ImageRef> images;
  for (int c = 0; c < source.classes(); ++c) {
    const int count = std::min(each, source.class_size(c));
    for (int i = 0; i < count; ++i)
      images.push_back({c, static_cast<int>(int64_t{i} * source.class_size(c) / count), 0});
  }
  const Tensor mean = embed_images(learner, parameters, source, images, pixel_norm).mean(0);
  return parameters.with({*learner.feature_mean()}, {mean});
}

}  // namespace fewatoms
