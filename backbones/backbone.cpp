#include "backbones/backbone.h"

#include <algorithm>

#include "backbones/fusion.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Backbone> (*make)(const NetworkOptions&, Schema&);
};
constexpr Entry kBackbones[] = {
    {"conv4", make_conv4},
    {"conv6", make_conv6},
    {"resnet10", make_resnet10},
    {"resnet12", make_resnet12},
    {"resnet12-basic", make_resnet12_basic},
    {"resnet18", make_resnet18},
};

void require_range(const char* what, int value, int low, int high) {
  if (value < low || value > high)
    throw UsageError(std::string(what) + " is " + std::to_string(value) + ", " + std::to_string(low) + " to " +
                     std::to_string(high) + " is possible");
}

}  // namespace

std::vector<std::string> backbone_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackbones) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Backbone> make_backbone(const NetworkOptions& options, Schema& schema) {
  require_range("width", options.width, 1, 1024);
  require_range("image size", options.image_size, 28, 224);
  if (options.channels != 1 && options.channels != 3)
    throw UsageError("channels is " + std::to_string(options.channels) + ", 1 (grey) or 3 (RGB) is possible");
  if (options.pool != "flatten" && options.pool != "mean")
    throw UsageError(unknown_name("pool", options.pool, {"flatten", "mean"}));
  if (options.norm != "batch" && options.norm != "group" && options.norm != "layer" && options.norm != "none")
    throw UsageError(unknown_name("norm", options.norm, {"batch", "group", "layer", "none"}));
  if (!(options.drop_rate >= 0 && options.drop_rate <= 0.9))
    throw UsageError("drop rate is " + number_text(options.drop_rate) + ", 0 to 0.9 is possible");
  if (options.drop_rate > 0 && options.backbone != "resnet12")
    throw UsageError("drop rate is " + number_text(options.drop_rate) + ", but backbone '" + options.backbone +
                     "' has no DropBlock; resnet12 has");
  for (const Entry& entry : kBackbones)
    if (options.backbone == entry.name) return entry.make(options, schema);
  throw UsageError(unknown_name("backbone", options.backbone, backbone_names()));
}

std::unique_ptr<Backbone> make_backbone(const NetworkOptions& options, uint64_t seed, ParameterSet& parameters) {
  auto schema = std::make_shared<Schema>();
  auto made = make_backbone(options, *schema);
  parameters = initialise(std::move(schema), seed);
  return made;
}

Backbone::Backbone(const NetworkOptions& options, std::vector<Sequence> blocks,
                   std::vector<ConvolutionPtr> convolutions, int64_t features)
    : blocks_(std::move(blocks)),
      convolutions_(std::move(convolutions)),
      features_(features),
      prepares_(options.kernels != "reference") {
  for (const ConvolutionPtr& convolution : convolutions_) layers_.push_back(convolution->shape());
  if (options.kernels == "fused")
    for (Sequence& block : blocks_) block = fused(block);
}

BlockInput Backbone::prepare(const Tensor& x, const ParameterSet& parameters, int block,
                             const std::vector<size_t>& changing, const Pass& pass) const {
  BlockInput input(x);
  if (block < blocks() && prepares_) input.prepared = blocks_[block].prepare(x, {parameters, pass}, changing);
  return input;
}

Activations Backbone::forward(const BlockInput& input, const ParameterSet& parameters, int first, int last,
                              const Pass& pass) const {
  Activations result{input.x, {}};
  const Context context(parameters, pass, &result.updates);
  for (int block = first; block < last; ++block)
    result.x = block == first && input.prepared ? blocks_[block].forward_prepared(*input.prepared, context)
                                                : blocks_[block].forward(result.x, context);
  return result;
}

int Backbone::first_block_with(const std::vector<size_t>& indices) const {
  for (int block = 0; block < blocks(); ++block)
    if (blocks_[block].reads(indices)) return block;
  return blocks();
}

std::vector<LayerInfo> Backbone::describe() const {
  std::vector<LayerInfo> layers;
  for (const Sequence& block : blocks_) block.describe(layers);
  return layers;
}

std::string Backbone::torch_script(NormMode norm) const {
  std::string text;
  for (const Sequence& block : blocks_) text += "x = " + block.torch_script("x", norm) + "\n";
  return text;
}

}  // namespace fewatoms
