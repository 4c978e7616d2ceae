#include "backbones/convolution.h"

#include <algorithm>

#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

struct Kind {
  const char* name;
  ConvolutionFactory make;
};
constexpr Kind kKinds[] = {
    {"standard", make_standard},
    {"acdc", make_acdc},
    {"separable", make_separable},
};

void require_one_of(const char* what, const std::string& given, const std::vector<std::string>& valid) {
  if (std::find(valid.begin(), valid.end(), given) == valid.end()) throw UsageError(unknown_name(what, given, valid));
}

/// Whether a layer takes part in sharing. Standard kernels do, all of them; other kinds leave some layers plain.
bool takes_part(const ConvLayer& layer, const ConvOptions& options) {
  return options.kind == "standard" ? !layer.stem : !stays_plain(layer, options);
}

/// What a rule calls the group of a layer, of those that take part the `position`-th of `count`; empty: the net's.
std::string group_name(const ConvLayer& layer, const std::string& rule, size_t position, size_t count) {
  if (rule == "net") return "";
  if (rule == "stage") return "stage" + std::to_string(layer.stage + 1);
  if (rule == "block") return "block" + std::to_string(layer.block + 1);
  if (rule == "sandwich" && position > 0 && position + 1 < count) return "";
  return layer.name;
}

/// By layer; nothing for layers that take no part.
std::vector<std::optional<std::string>> group_names(const std::vector<ConvLayer>& layers, const ConvOptions& options) {
  const std::string rule = options.sharing.empty() ? default_sharing(options.kind) : options.sharing;
  const auto count = static_cast<size_t>(
      std::count_if(layers.begin(), layers.end(), [&](const ConvLayer& l) { return takes_part(l, options); }));
  std::vector<std::optional<std::string>> names;
  size_t position = 0;
  for (const ConvLayer& layer : layers)
    names.push_back(takes_part(layer, options) ? std::optional(group_name(layer, rule, position++, count))
                                               : std::nullopt);
  return names;
}

}  // namespace

std::string ConvLayer::torch_script(const std::string& x) const {
  const std::string s = number_text(stride), p = number_text(padding);
  return "torch.conv2d(" + x + ", self." + name + ".weight, None, [" + s + ", " + s + "], [" + p + ", " + p + "])";
}

std::vector<std::string> sharing_rules() { return {"layer", "block", "stage", "net", "sandwich"}; }

std::string default_sharing(const std::string& kind) { return kind == "acdc" ? "net" : "layer"; }

std::vector<int> sharing_groups(const std::vector<ConvLayer>& layers, const ConvOptions& options) {
  std::map<std::string, int> numbers;
  std::vector<int> groups;
  for (const auto& name : group_names(layers, options))
    groups.push_back(name ? numbers.emplace(*name, static_cast<int>(numbers.size())).first->second : -1);
  return groups;
}

std::vector<std::string> coefficients_names(const std::vector<ConvLayer>& layers, const ConvOptions& options) {
  std::vector<std::string> names;
  for (const auto& group : group_names(layers, options))
    names.push_back(!group ? "" : (group->empty() ? "" : *group + ".") + "coefficients");
  return names;
}

size_t SharedTensors::add(size_t layer, ParameterSpec spec, Schema& schema) {
  if (groups_[layer] < 0) return schema.add(std::move(spec));
  const auto [found, is_new] = indices_.emplace(std::pair(groups_[layer], spec.shape), schema.size());
  if (is_new) schema.add(std::move(spec));
  return found->second;
}

LayerInfo Convolution::info(const std::string& kind) const {
  const int64_t dense = shape_.multiply_adds();
  return {.name = shape_.name,
          .kind = kind,
          .block = shape_.block,
          .in = shape_.in,
          .out = shape_.out,
          .size = shape_.size,
          .out_size = shape_.out_size(),
          .weights = parameters(),
          .multiply_adds = dense,
          .fewest_multiply_adds = dense};
}

std::vector<std::string> convolution_kinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

std::vector<ConvolutionPtr> make_convolutions(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                              Schema& schema) {
  require_one_of("convolution", options.kind, convolution_kinds());
  if (!options.sharing.empty()) require_one_of("sharing", options.sharing, sharing_rules());
  require_one_of("computation", options.compute, {"composed", "two-stage"});
  require_one_of("atom start", options.atom_start, {"bessel", "random"});
  for (const Kind& kind : kKinds)
    if (options.kind == kind.name) return kind.make(layers, options, schema);
  return {};
}

std::vector<ConvolutionPtr> make_convolutions(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                              uint64_t seed, ParameterSet& parameters) {
  auto schema = std::make_shared<Schema>();
  auto made = make_convolutions(layers, options, *schema);
  parameters = initialise(std::move(schema), seed);
  return made;
}

}  // namespace fewatoms
