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
  std::string name;  // "block2.conv"
  int in = 0;        // channels
  int out = 0;
  int kernel = 3;  // k of k x k
  int stride = 1;
  int padding = 1;
  int block = 0;  // layers of one block share under `--sharing block`
  int stage = 0;
  int size = 0;            // pixels of a side of its input
  bool stem = false;       // reads the images
  bool pointwise = false;  // a 1x1 convolution

  /// 3x3 of stride 1 that keeps the size: what atom maps are for.
  bool keeps_size_3x3() const { return kernel == 3 && stride == 1 && padding == 1; }
  int out_size() const { return (size + 2 * padding - kernel) / stride + 1; }
  /// Of one image, with a dense kernel: out * in * k * k per output pixel.
  int64_t multiply_adds() const { return int64_t{out} * in * kernel * kernel * out_size() * out_size(); }
  /// The convolution of an expression `x` as a TorchScript expression: see Backbone::torch_script.
  std::string torch_script(const std::string& x) const;
};

/// How convolutions are parameterised.
struct ConvOptions {
  std::string kind = "standard";  // one of convolution_kinds()
  std::string sharing = "net";    // acdc: layer, block, stage or net
  int atoms = 6;                  // acdc: M, 1..k*k
  int group = 0;                  // acdc: channels of a group, each pair of groups with atoms of its own; 0: no groups
  std::string compute = "composed";  // acdc: composed or two-stage, equal up to rounding
  bool decompose_stem = false;       // kinds other than standard leave the stem and 1x1 convolutions plain unless told
  bool decompose_pointwise = false;

  bool operator==(const ConvOptions&) const = default;
};

/// Whether a layer stays a plain convolution under every kind.
inline bool stays_plain(const ConvLayer& layer, const ConvOptions& options) {
  return (layer.stem && !options.decompose_stem) || (layer.pointwise && !options.decompose_pointwise);
}

/// One convolution as a pure function of named parameters.
class Convolution {
 public:
  virtual ~Convolution() = default;
  /// x [N, in, H, W] -> [N, out, H', W'].
  virtual Tensor forward(const Tensor& x, const ParameterSet& parameters) const = 0;
  /// The dense kernel [out, in, k, k] that forward convolves with.
  virtual Tensor kernel(const ParameterSet& parameters) const = 0;
  /// What can be computed from x once, while only the parameters `adapted` change: undefined if nothing.
  virtual AtomMaps prepare(const Tensor&, const ParameterSet&, const std::vector<size_t>& /*adapted*/) const {
    return {};
  }
  /// forward(x) from what prepare(x) made.
  virtual Tensor forward(const AtomMaps&, const ParameterSet&) const {
    throw std::logic_error("this convolution prepares nothing");
  }
  /// Indices of every parameter it reads.
  virtual std::vector<size_t> parameters() const = 0;
};

/// Makes all convolutions of a network at once, so that a kind may share parameters among them, and adds their initial
/// values to `parameters` (float32; He variance 2 / (k^2 in) of the dense kernel). The values are a pure function of
/// `seed`.
using ConvolutionFactory = std::vector<std::unique_ptr<Convolution>> (*)(const std::vector<ConvLayer>&,
                                                                         const ConvOptions&, uint64_t seed,
                                                                         ParameterSet& parameters);

/// The registry: adding a kind is one file and one line in convolution.cpp.
std::vector<std::string> convolution_kinds();

/// Throws UsageError on an unknown kind, sharing rule or computation, or a number of atoms outside 1..k*k.
std::vector<std::unique_ptr<Convolution>> make_convolutions(const std::vector<ConvLayer>& layers,
                                                            const ConvOptions& options, uint64_t seed,
                                                            ParameterSet& parameters);

// The kinds.
std::vector<std::unique_ptr<Convolution>> make_standard(const std::vector<ConvLayer>&, const ConvOptions&,
                                                        uint64_t seed, ParameterSet&);
std::vector<std::unique_ptr<Convolution>> make_acdc(const std::vector<ConvLayer>&, const ConvOptions&, uint64_t seed,
                                                    ParameterSet&);
std::vector<std::unique_ptr<Convolution>> make_separable(const std::vector<ConvLayer>&, const ConvOptions&,
                                                         uint64_t seed, ParameterSet&);

/// A plain convolution with its own kernel; also what layers of other kinds are that stay plain.
std::unique_ptr<Convolution> make_plain(const ConvLayer& layer, uint64_t seed, ParameterSet& parameters);

/// Normal numbers of the given shape and standard deviation, a pure function of (seed, name).
Tensor normal_tensor(at::IntArrayRef shape, double deviation, uint64_t seed, const std::string& name);

/// acdc: the name of the coefficients that a layer uses. Layers of one sharing group have the same.
std::string coefficients_name(const ConvLayer& layer, const std::string& sharing);

/// K[o,i] = sum_m A[o,i,m] psi[m]: coefficients [out, in, M], atoms [M, k, k] -> kernel [out, in, k, k]
/// (Wang, Cheng, Sapiro, Qiu 2020, eq. 2). With atoms [P, Q, M, k, k] of pairs of channel groups the kernel is
/// [P out, Q in, k, k], and coefficients serve every pair.
Tensor compose_kernel(const Tensor& coefficients, const Tensor& atoms);

/// The same convolution in two stages: M atom maps per input channel, then a 1x1 mix. x [N, in, H, W].
Tensor two_stage_convolution(const Tensor& x, const Tensor& coefficients, const Tensor& atoms, int stride, int padding);

}  // namespace fewatoms
