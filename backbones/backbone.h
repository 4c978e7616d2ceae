#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backbones/convolution.h"
#include "backbones/layer.h"
#include "backbones/norm.h"

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

/// A pass through some blocks.
struct Activations {
  Tensor x;                              // [N, C, H, W] between blocks, [N, features] after the last
  std::vector<StatisticUpdate> updates;  // empty unless the network keeps running statistics and used batch ones
};

/// What enters a block, with what its layers computed from it once while some parameters change from step to step.
struct BlockInput {
  Tensor x;              // [N, C, H, W]
  PreparedPtr prepared;  // null: nothing computed
  BlockInput() = default;
  BlockInput(Tensor input) : x(std::move(input)) {}
};

/// A network as a pure function of named parameters: a list of blocks, so that what adaptation cannot change is
/// computed once. Images [N, channels, size, size] enter the first block, features [N, features] leave the last.
class Backbone {
 public:
  /// `convolutions` are all of them in the order in which a pass comes to them; blocks are counted as their layers do.
  Backbone(const NetworkOptions& options, std::vector<Sequence> blocks, std::vector<ConvolutionPtr> convolutions,
           int64_t features);

  int blocks() const { return static_cast<int>(blocks_.size()); }
  int64_t features() const { return features_; }  // numbers per image after the last block
  /// Indices of the parameters that block `block` reads.
  std::vector<size_t> block_parameters(int block) const { return blocks_[block].parameters(); }
  /// x as the input of `block`, when that is run many times by the same pass and only the parameters `changing` change
  /// in between. In the graph of `parameters` where gradient mode is on.
  BlockInput prepare(const Tensor& x, const ParameterSet& parameters, int block, const std::vector<size_t>& changing,
                     const Pass& pass) const;
  /// Blocks first..last-1 on the input of block `first`.
  Activations forward(const BlockInput& input, const ParameterSet& parameters, int first, int last,
                      const Pass& pass) const;
  /// All blocks.
  Activations forward(const Tensor& images, const ParameterSet& parameters, const Pass& pass) const {
    return forward(images, parameters, 0, blocks(), pass);
  }
  /// The first block that reads one of `indices`; blocks() if none does.
  int first_block_with(const std::vector<size_t>& indices) const;

  /// What its weighted layers are, in the order in which a pass comes to them.
  std::vector<LayerInfo> describe() const;
  /// Its convolutions, and where each stands, in the same order.
  const std::vector<ConvolutionPtr>& convolutions() const { return convolutions_; }
  const std::vector<ConvLayer>& layers() const { return layers_; }
  /// All blocks as TorchScript statements, one a line: they turn `x`, images, into features. Parameters are attributes
  /// of `self` under the names of standard_form, norms' statistics among them in mode kRunning.
  std::string torch_script(NormMode norm) const;

 private:
  std::vector<Sequence> blocks_;
  std::vector<ConvolutionPtr> convolutions_;
  std::vector<ConvLayer> layers_;
  int64_t features_;
  bool prepares_;
};

/// The registry: adding a backbone is one file and one line in backbone.cpp.
std::vector<std::string> backbone_names();

/// Builds a backbone and adds its parameters to `schema`. Draws no values.
/// Throws UsageError on an unknown name or an option out of range.
std::unique_ptr<Backbone> make_backbone(const NetworkOptions& options, Schema& schema);
/// The same, with the first values of a seed.
std::unique_ptr<Backbone> make_backbone(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters);

// The backbones.
std::unique_ptr<Backbone> make_conv4(const NetworkOptions&, Schema&);
std::unique_ptr<Backbone> make_conv6(const NetworkOptions&, Schema&);
std::unique_ptr<Backbone> make_resnet10(const NetworkOptions&, Schema&);
std::unique_ptr<Backbone> make_resnet12(const NetworkOptions&, Schema&);
std::unique_ptr<Backbone> make_resnet12_basic(const NetworkOptions&, Schema&);
std::unique_ptr<Backbone> make_resnet18(const NetworkOptions&, Schema&);

}  // namespace fewatoms
