#pragma once

#include <vector>

#include "backbones/backbone.h"

namespace fewatoms {

/// Dense kernels [out, in, k, k] and the atoms [M, k, k] that go with shared coefficients.
struct DecomposedKernels {
  Tensor coefficients;  // [O, I, M], O and I the largest of all kernels; a kernel [out, in, k, k] reads the corner
                        // [out, in, M]
  std::vector<Tensor> atoms;  // one for each kernel, [M, k, k]
};

/// The coefficients and atoms that come nearest to all kernels together, in the sum of squared differences. From the
/// singular vectors of all kernels side by side (zeros where one is smaller), then by alternating least squares, each
/// step of which can only come nearer; for one kernel, or kernels of one size, the former is the best there is (Eckart,
/// Young 1936). Kernels may differ in k. Coefficients have the mean square 2 / (I M) of initial ones, so that rates
/// mean what they mean there. M >= 1; computed in float64, returned in float32.
DecomposedKernels decompose_kernels(const std::vector<Tensor>& kernels, int64_t atoms);

/// One layer of a decomposed network.
struct LayerError {
  std::string layer;
  double relative = 0;  // |W - A psi| / |W|, Frobenius norms
};

/// `initial`, the parameters of a network of acdc convolutions, with the nearest values to a standard network of the
/// same backbone: what is not decomposed is taken as it is, by name. Roles head and meta that `standard` does not have
/// stay as they are. `errors` gets a line for each decomposed layer. Throws UsageError if the networks do not fit each
/// other.
ParameterSet decomposed(const ParameterSet& initial, const ParameterSet& standard, const Backbone& backbone,
                        const ConvOptions& options, std::vector<LayerError>& errors);

}  // namespace fewatoms
