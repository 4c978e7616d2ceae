#pragma once

#include <string>

#include <torch/types.h>

namespace fewatoms::test {

/// Values of a parameter or of images by a formula of name and index, as tests/golden/make_resnets.py and
/// make_imports.py have them: double.
inline torch::Tensor formula(const std::string& name, at::IntArrayRef shape, double scale, double offset) {
  int64_t phase = 0, numbers = 1;
  for (const unsigned char c : name) phase += c;
  for (const int64_t n : shape) numbers *= n;
  return (offset + scale * at::sin(0.37 * at::arange(numbers, at::kDouble) + static_cast<double>(phase % 97)))
      .view(shape);
}

}  // namespace fewatoms::test
