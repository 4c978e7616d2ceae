#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backbones/parameter_set.h"

namespace fewatoms {

/// Which statistics normalise the activations.
enum class NormMode {
  kBatch,    // each pass by its own images
  kRunning,  // the running statistics among the parameters
};

/// How a pass runs.
struct Pass {
  NormMode norm = NormMode::kBatch;
  uint64_t drop_key = 0;  // of the random numbers of what is dropped in this pass (DropBlock); 0: nothing is dropped
  uint64_t task_key = 0;  // of what is dropped in all passes of a task alike (atoms); 0: nothing is dropped

  Pass(NormMode norm = NormMode::kBatch, uint64_t drop_key = 0, uint64_t task_key = 0)
      : norm(norm), drop_key(drop_key), task_key(task_key) {}
};

/// Statistics that one pass found, to be merged into the running ones by the caller.
struct StatisticUpdate {
  size_t mean_index, variance_index;  // in the parameter set
  Tensor mean, variance;              // [channels], variance unbiased
};

/// All that a layer may look at beside its input. It refers to the parameters, which must outlive it.
struct Context {
  const ParameterSet& parameters;
  Pass pass;
  std::vector<StatisticUpdate>* updates = nullptr;  // where norms report what they found; null: nobody asks

  Context(const ParameterSet& parameters, const Pass& pass = {}, std::vector<StatisticUpdate>* updates = nullptr)
      : parameters(parameters), pass(pass), updates(updates) {}
};

/// What a layer computed from its input once, while only some parameters change from step to step. Only the layer that
/// made it knows what it is.
struct Prepared {
  virtual ~Prepared() = default;
};
using PreparedPtr = std::shared_ptr<const Prepared>;

/// What a layer with weights is: for whoever counts, prints or exports, and does not run it.
struct LayerInfo {
  std::string name;  // "block2.conv"
  std::string kind;  // "standard", "acdc", "separable"
  int block = 0;
  int in = 0, out = 0;               // channels
  int size = 0, out_size = 0;        // pixels of a side of input and output
  std::vector<size_t> weights;       // indices in the schema of what it multiplies with, shared ones too
  int64_t multiply_adds = 0;         // of one image, as it runs by default
  int64_t fewest_multiply_adds = 0;  // in the cheapest way to compute the same

  int64_t map() const { return int64_t{out} * out_size * out_size; }  // numbers of its output, of one image
};

/// One layer of a network as a pure function of named parameters, its input and the context.
class Layer {
 public:
  virtual ~Layer() = default;

  /// x [N, C, H, W] in, the layer's output out; a layer of features gives [N, features].
  virtual Tensor forward(const Tensor& x, const Context& context) const = 0;

  /// What can be computed from x once, while only the parameters `changing` do: null if nothing. In the graph of the
  /// parameters where gradient mode is on.
  virtual PreparedPtr prepare(const Tensor& /*x*/, const Context&, const std::vector<size_t>& /*changing*/) const {
    return nullptr;
  }
  /// forward(x) from what prepare(x) made, which is not null.
  virtual Tensor forward_prepared(const Prepared&, const Context&) const;

  /// Indices of every parameter it reads that can have a gradient.
  virtual std::vector<size_t> parameters() const { return {}; }
  /// Adds what the weighted layers in it are, in the order in which a pass comes to them.
  virtual void describe(std::vector<LayerInfo>& /*layers*/) const {}
  /// Its result for an expression `x` as a TorchScript expression, see Backbone::torch_script. `x` is a variable where
  /// the layer reads it twice.
  virtual std::string torch_script(const std::string& x, NormMode norm) const = 0;

  /// Whether it reads one of these parameters.
  bool reads(const std::vector<size_t>& indices) const;
};
using LayerPtr = std::shared_ptr<const Layer>;

/// Layers one behind the other.
class Sequence final : public Layer {
 public:
  Sequence() = default;
  explicit Sequence(std::vector<LayerPtr> layers) : layers_(std::move(layers)) {}

  const std::vector<LayerPtr>& layers() const { return layers_; }
  bool empty() const { return layers_.empty(); }

  Tensor forward(const Tensor& x, const Context& context) const override;
  /// The layers in front of the first that reads a changing parameter have run; that one has prepared.
  PreparedPtr prepare(const Tensor& x, const Context& context, const std::vector<size_t>& changing) const override;
  Tensor forward_prepared(const Prepared& prepared, const Context& context) const override;
  std::vector<size_t> parameters() const override;
  void describe(std::vector<LayerInfo>& layers) const override;
  std::string torch_script(const std::string& x, NormMode norm) const override;

 private:
  Tensor forward_from(size_t first, Tensor x, const Context& context) const;

  std::vector<LayerPtr> layers_;
};

}  // namespace fewatoms
