#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backbones/layer.h"

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
  std::string sharing = {};       // one of sharing_rules(): which layers use the same tensor; empty: default_sharing
  int atoms = 6;                  // acdc: M, 1..121; more than k*k are dependent
  std::string atom_start = "bessel";  // acdc: bessel or random
  double atom_drop_rate = 0;          // acdc: share of the atoms that are dropped in training, 0..0.9
  int group = 0;  // acdc: channels of a group, each pair of groups with atoms of its own; 0: no groups
  std::string compute = "composed";  // acdc: composed or two-stage, equal up to rounding
  bool decompose_stem = false;       // kinds other than standard leave the stem and 1x1 convolutions plain unless told
  bool decompose_pointwise = false;

  bool operator==(const ConvOptions&) const = default;
};

/// Whether a layer stays a plain convolution under every kind.
inline bool stays_plain(const ConvLayer& layer, const ConvOptions& options) {
  return (layer.stem && !options.decompose_stem) || (layer.pointwise && !options.decompose_pointwise);
}

/// Which layers use the same tensor. layer: none; block, stage, net: those of one block, of one stage, or all.
/// sandwich: the first and the last layer have their own, those between them one in common (Reid, Marrese-Taylor,
/// Matsuo 2021).
std::vector<std::string> sharing_rules();
/// What an empty rule means: net for acdc, layer for the other kinds.
std::string default_sharing(const std::string& kind);
/// The group of each layer under a rule, from 0 on in the order in which they come: layers of one group share. -1:
/// layers that have nothing to share, as they stay plain under a kind that decomposes.
std::vector<int> sharing_groups(const std::vector<ConvLayer>& layers, const ConvOptions& options);
/// acdc: the name of the coefficients that each layer uses, empty for layers that stay plain.
std::vector<std::string> coefficients_names(const std::vector<ConvLayer>& layers, const ConvOptions& options);

/// One convolution.
class Convolution : public Layer {
 public:
  explicit Convolution(const ConvLayer& shape) : shape_(shape) {}
  const ConvLayer& shape() const { return shape_; }

  /// The dense kernel [out, in, k, k] that forward convolves with; undefined if there is none that does not depend on
  /// the image.
  virtual Tensor kernel(const Context&) const { return {}; }

  std::string torch_script(const std::string& x, NormMode) const override { return shape_.torch_script(x); }

 protected:
  /// What every convolution says of itself.
  LayerInfo info(const std::string& kind) const;

 private:
  ConvLayer shape_;
};
using ConvolutionPtr = std::shared_ptr<const Convolution>;

/// Makes all convolutions of a network at once, so that layers may share parameters, and adds their parameters to
/// `schema` (He variance 2 / (k^2 in) of the dense kernel at the start).
using ConvolutionFactory = std::vector<ConvolutionPtr> (*)(const std::vector<ConvLayer>&, const ConvOptions&,
                                                           Schema& schema);

/// The registry: adding a kind is one file and one line in convolution.cpp.
std::vector<std::string> convolution_kinds();

/// Throws UsageError on an unknown kind, sharing rule or computation, or other options out of range.
std::vector<ConvolutionPtr> make_convolutions(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                              Schema& schema);
/// The same, with the first values of a seed.
std::vector<ConvolutionPtr> make_convolutions(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                              uint64_t seed, ParameterSet& parameters);

// The kinds.
std::vector<ConvolutionPtr> make_standard(const std::vector<ConvLayer>&, const ConvOptions&, Schema&);
std::vector<ConvolutionPtr> make_acdc(const std::vector<ConvLayer>&, const ConvOptions&, Schema&);
std::vector<ConvolutionPtr> make_separable(const std::vector<ConvLayer>&, const ConvOptions&, Schema&);

/// The index of a layer's tensor, which layers of one sharing group and of equal shape have in common: it has the name
/// of the first of them. `seen` remembers what was added.
class SharedTensors {
 public:
  SharedTensors(const std::vector<ConvLayer>& layers, const ConvOptions& options)
      : groups_(sharing_groups(layers, options)) {}
  /// `spec` is that of layer number `layer`, as if it did not share.
  size_t add(size_t layer, ParameterSpec spec, Schema& schema);

 private:
  std::vector<int> groups_;
  std::map<std::pair<int, std::vector<int64_t>>, size_t> indices_;
};

/// A plain convolution with the kernel at `index`; also what layers of other kinds are that stay plain.
ConvolutionPtr make_plain(const ConvLayer& layer, size_t index);
/// What a plain convolution's own kernel is.
ParameterSpec plain_kernel(const ConvLayer& layer);

/// K[o,i] = sum_m A[o,i,m] psi[m]: coefficients [out, in, M], atoms [M, k, k] -> kernel [out, in, k, k]
/// (Wang, Cheng, Sapiro, Qiu 2020, eq. 2). With atoms [P, Q, M, k, k] of pairs of channel groups the kernel is
/// [P out, Q in, k, k], and coefficients serve every pair.
Tensor compose_kernel(const Tensor& coefficients, const Tensor& atoms);

/// The same convolution in two stages: M atom maps per input channel, then a 1x1 mix. x [N, in, H, W].
Tensor two_stage_convolution(const Tensor& x, const Tensor& coefficients, const Tensor& atoms, int stride, int padding);

}  // namespace fewatoms
