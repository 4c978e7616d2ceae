#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "backbones/kernels/atom_maps.h"
#include "backbones/parameter_set.h"

namespace fewatoms {

/// Where one convolution stands in a network: what a sharing rule needs to know.
struct ConvLayer {
  std::string name;    // "block2.conv"
  int in = 0;          // channels
  int out = 0;
  int kernel = 3;      // k of k x k
  int stride = 1;
  int padding = 1;
  int block = 0;       // layers of one block share under `--sharing block`
  int stage = 0;
  bool plain = false;  // stays a plain convolution under every kind: the stem, 1x1 and shortcuts
};

/// How convolutions are parameterised.
struct ConvOptions {
  std::string kind = "standard";     // one of convolution_kinds()
  std::string sharing = "net";       // acdc: layer, block, stage or net
  int atoms = 6;                     // acdc: M, 1..k*k
  std::string compute = "composed";  // acdc: composed or two-stage, equal up to rounding

  bool operator==(const ConvOptions&) const = default;
};

/// One convolution as a pure function of named parameters.
class Convolution {
 public:
  virtual ~Convolution() = default;
  /// x [N, in, H, W] -> [N, out, H', W'].
  virtual Tensor forward(const Tensor& x, const ParameterSet& parameters) const = 0;
  /// The kernel [out, in, k, k] that forward convolves with.
  virtual Tensor kernel(const ParameterSet& parameters) const = 0;
  /// What can be computed from x once, while only the parameters `adapted` change: undefined if nothing.
  virtual AtomMaps prepare(const Tensor&, const ParameterSet&, const std::vector<size_t>& /*adapted*/) const { return {}; }
  /// forward(x) from what prepare(x) made.
  virtual Tensor forward(const AtomMaps&, const ParameterSet&) const {
    throw std::logic_error("this convolution prepares nothing");
  }
  /// Indices of every parameter it reads.
  virtual std::vector<size_t> parameters() const = 0;
};

/// Makes all convolutions of a network at once, so that a kind may share parameters among them, and adds their initial
/// values to `parameters` (float32; He variance 2 / (k^2 in)). The values are a pure function of `seed`.
using ConvolutionFactory = std::vector<std::unique_ptr<Convolution>> (*)(const std::vector<ConvLayer>&, const ConvOptions&,
                                                                         uint64_t seed, ParameterSet& parameters);

/// The registry: adding a kind is one file and one line in convolution.cpp.
std::vector<std::string> convolution_kinds();

/// Throws UsageError on an unknown kind, sharing rule or computation, or a number of atoms outside 1..k*k.
std::vector<std::unique_ptr<Convolution>> make_convolutions(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                                            uint64_t seed, ParameterSet& parameters);

// The kinds.
std::vector<std::unique_ptr<Convolution>> make_standard(const std::vector<ConvLayer>&, const ConvOptions&, uint64_t seed,
                                                        ParameterSet&);
std::vector<std::unique_ptr<Convolution>> make_acdc(const std::vector<ConvLayer>&, const ConvOptions&, uint64_t seed,
                                                    ParameterSet&);

/// A plain convolution with its own kernel; also what `plain` layers of other kinds are.
std::unique_ptr<Convolution> make_plain(const ConvLayer& layer, uint64_t seed, ParameterSet& parameters);

/// Normal numbers of the given shape and standard deviation, a pure function of (seed, name).
Tensor normal_tensor(at::IntArrayRef shape, double deviation, uint64_t seed, const std::string& name);

/// K[o,i] = sum_m A[o,i,m] psi[m]: coefficients [out, in, M], atoms [M, k, k] -> kernel [out, in, k, k]
/// (Wang, Cheng, Sapiro, Qiu 2020, eq. 2).
Tensor compose_kernel(const Tensor& coefficients, const Tensor& atoms);

/// The same convolution in two stages: M atom maps per input channel, then a 1x1 mix. x [N, in, H, W].
Tensor two_stage_convolution(const Tensor& x, const Tensor& coefficients, const Tensor& atoms, int stride, int padding);

}  // namespace fewatoms
