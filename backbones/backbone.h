#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backbones/convolution.h"
#include "backbones/kernels/norm_relu_pool.h"
#include "backbones/kernels/stem.h"
#include "backbones/parameter_set.h"

namespace fewatoms {

/// What defines a network up to its head. All of it is part of a checkpoint's identity.
struct NetworkOptions {
  std::string backbone = "conv4";   // one of backbone_names()
  int width = 32;                   // channels of the first stage, 1..1024
  int image_size = 84;              // pixels, 28..224
  int channels = 3;                 // 1 or 3
  std::string pool = "flatten";     // flatten or mean (over the last map), before the head
  std::string norm = "batch";       // batch, group (Wu, He 2018: groups of 16 channels or more), layer or none
  bool running_statistics = false;  // batch norm keeps running statistics (--norm running)
  double drop_rate = 0;             // of DropBlock, in backbones that have it; 0..0.9
  ConvOptions conv;
  /// "fused" for everything that people run; "reference" (plain LibTorch operations) and "smooth" (softplus and mean
  /// pooling) exist for tests of the first.
  std::string kernels = "fused";

  bool operator==(const NetworkOptions&) const = default;
};

/// Which statistics normalise the activations.
enum class NormMode {
  kBatch,    // each pass by its own images
  kRunning,  // the running statistics among the parameters
};

/// Statistics that one pass found, to be merged into the running ones by the caller.
struct StatisticUpdate {
  size_t mean_index, variance_index;  // in the parameter set
  Tensor mean, variance;              // [channels], variance unbiased
};

/// How a pass runs.
struct Pass {
  NormMode norm = NormMode::kBatch;
  uint64_t drop_key = 0;  // of the random numbers of DropBlock; 0: nothing is dropped

  Pass(NormMode norm, uint64_t drop_key = 0) : norm(norm), drop_key(drop_key) {}
};

/// A pass through some blocks.
struct Activations {
  Tensor x;                              // [N, C, H, W] between blocks, [N, features] after the last
  std::vector<StatisticUpdate> updates;  // empty unless the network keeps running statistics and used batch ones
};

/// What enters a block, with what can be computed from it once while the block's parameters change from step to step.
struct BlockInput {
  Tensor x;         // [N, C, H, W]
  StemImages stem;  // of images, for the first block
  AtomMaps maps;    // for a decomposed convolution of which only the atoms change
  BlockInput() = default;
  BlockInput(Tensor input) : x(std::move(input)) {}  // nothing computed
};

/// A network as a pure function of named parameters, cut into blocks, so that what adaptation cannot change is computed
/// once: blocks before the first adapted parameter.
class Backbone {
 public:
  virtual ~Backbone() = default;

  virtual int blocks() const = 0;
  virtual int64_t features() const = 0;  // numbers per image after the last block
  /// Indices of the parameters that block `block` reads.
  virtual std::vector<size_t> block_parameters(int block) const = 0;
  /// x as the input of `block`, when that is run many times and only the parameters `adapted` change in between. In the
  /// graph of `parameters` where gradient mode is on.
  virtual BlockInput prepare(const Tensor& x, const ParameterSet&, int /*block*/,
                             const std::vector<size_t>& /*adapted*/) const {
    return x;
  }
  /// Blocks first..last-1 on the input of block `first`: [N, channels, size, size] for block 0.
  virtual Activations forward(const BlockInput& input, const ParameterSet& parameters, int first, int last,
                              const Pass& pass) const = 0;
  /// Its convolutions, in the order in which a pass comes to them.
  virtual const std::vector<ConvLayer>& layers() const = 0;
  /// All blocks as TorchScript statements, one a line: they turn `x`, images [N, channels, size, size], into features.
  /// Parameters are attributes of `self` under the names of standard_form, norms' statistics among them in mode
  /// kRunning.
  virtual std::string torch_script(NormMode norm) const = 0;

  /// All blocks.
  Activations forward(const Tensor& images, const ParameterSet& parameters, const Pass& pass) const {
    return forward(images, parameters, 0, blocks(), pass);
  }
  /// The first block that reads one of `indices`; blocks() if none does.
  int first_block_with(const std::vector<size_t>& indices) const;
};

/// The registry: adding a backbone is one file and one line in backbone.cpp.
std::vector<std::string> backbone_names();

/// Builds a backbone and adds its initial parameters (float32, a pure function of `seed`).
/// Throws UsageError on an unknown name or an option out of range.
std::unique_ptr<Backbone> make_backbone(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters);

// The backbones.
std::unique_ptr<Backbone> make_conv4(const NetworkOptions&, uint64_t seed, ParameterSet&);
std::unique_ptr<Backbone> make_conv6(const NetworkOptions&, uint64_t seed, ParameterSet&);
std::unique_ptr<Backbone> make_resnet10(const NetworkOptions&, uint64_t seed, ParameterSet&);
std::unique_ptr<Backbone> make_resnet12(const NetworkOptions&, uint64_t seed, ParameterSet&);
std::unique_ptr<Backbone> make_resnet12_basic(const NetworkOptions&, uint64_t seed, ParameterSet&);
std::unique_ptr<Backbone> make_resnet18(const NetworkOptions&, uint64_t seed, ParameterSet&);

/// One norm layer: scale, shift and, if kept, running statistics.
class Norm {
 public:
  Norm(const std::string& name, int channels, const NetworkOptions& options, ParameterSet& parameters);
  /// The norm alone.
  Tensor apply(const Tensor& x, const ParameterSet& parameters, NormMode mode,
               std::vector<StatisticUpdate>& updates) const;
  /// Norm, non-linearity and 2x2 pooling of x [N, C, H, W]. Adds what it found to `updates`.
  Tensor relu_pool(const Tensor& x, const ParameterSet& parameters, NormMode mode,
                   std::vector<StatisticUpdate>& updates) const;
  /// The same of the convolution of images with a kernel [C, in, 3, 3]. Batch norm only.
  Tensor relu_pool(const StemImages& images, const Tensor& kernel, const ParameterSet& parameters, NormMode mode,
                   std::vector<StatisticUpdate>& updates) const;
  std::vector<size_t> parameters() const { return {scale_, shift_}; }
  /// `apply` of an expression `x` as a TorchScript expression: see Backbone::torch_script.
  std::string torch_script(const std::string& x, NormMode mode) const;

 private:
  /// Calls f(given statistics, own statistics), either of which may be null, and records the own ones of `count`
  /// pixels.
  template <class F>
  Tensor with_statistics(const ParameterSet& parameters, NormMode mode, double count,
                         std::vector<StatisticUpdate>& updates, F&& f) const;

  /// Group, layer or no norm.
  Tensor by_image(const Tensor& x, const ParameterSet& parameters) const;

  size_t scale_, shift_, mean_ = 0, variance_ = 0;
  bool running_;
  int channels_;
  std::string name_, kind_, kernels_;
};

/// Running statistics moved towards what one pass found: (1 - momentum) * old + momentum * new (Ioffe, Szegedy 2015).
ParameterSet merge_statistics(const ParameterSet& parameters, const std::vector<StatisticUpdate>& updates,
                              double momentum = 0.1);

}  // namespace fewatoms
