#include "backbones/torch_names.h"

#include <algorithm>
#include <set>

#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

/// PyTorch's names of a convolution and of the norm behind it.
struct Modules {
  std::string conv, norm;
};
using Naming = Modules (*)(const ConvLayer& layer);

struct Convention {
  const char* source;
  const char* names;
  std::vector<std::string> backbones;  // to choose from; the first whose layers are all there, the longest first
  Naming modules;
};

/// layer2.0.conv1, bn1 and downsample.0, .1: torchvision and what is derived from it. Stages count from 1, blocks in
/// them from 0.
Modules torchvision(const ConvLayer& layer, int stage, int block_in_stage) {
  const std::string block = "layer" + std::to_string(stage) + "." + std::to_string(block_in_stage) + ".";
  if (layer.pointwise) return {block + "downsample.0", block + "downsample.1"};
  return {block + "conv" + layer.name.back(), block + "bn" + layer.name.back()};
}

/// The i of "stage2.block<i>.conv1", from 1.
int block_in_stage(const ConvLayer& layer) {
  const size_t at = layer.name.find(".block");
  return at == std::string::npos ? 0 : layer.name[at + 6] - '0';
}

Modules torchvision_resnet(const ConvLayer& layer) {
  if (layer.stem) return {"conv1", "bn1"};
  return torchvision(layer, layer.stage + 1, block_in_stage(layer) - 1);
}
Modules feat_resnet(const ConvLayer& layer) { return torchvision(layer, layer.block + 1, 0); }

Modules closerlook_resnet(const ConvLayer& layer) {
  if (layer.stem) return {"trunk.0", "trunk.1"};
  const std::string block =
      "trunk." + std::to_string(3 + layer.block) + ".";  // behind convolution, norm, ReLU and pooling
  if (layer.pointwise) return {block + "shortcut", block + "BNshortcut"};
  return {block + "C" + layer.name.back(), block + "BN" + layer.name.back()};
}

const std::vector<Convention>& conventions() {
  static const std::vector<Convention> all = {
      {"torch-conv4",
       "closerlook (trunk.0.C, trunk.0.BN)",
       {"conv6", "conv4"},
       [](const ConvLayer& l) {
         const std::string b = "trunk." + std::to_string(l.block);
         return Modules{b + ".C", b + ".BN"};
       }},
      {"torch-conv4",
       "learn2learn (0.conv, 0.normalize)",
       {"conv6", "conv4"},
       [](const ConvLayer& l) {
         const std::string b = std::to_string(l.block);
         return Modules{b + ".conv", b + ".normalize"};
       }},
      {"torch-conv4",
       "torchmeta (layer1.conv, layer1.norm)",
       {"conv6", "conv4"},
       [](const ConvLayer& l) {
         const std::string b = "layer" + std::to_string(l.block + 1);
         return Modules{b + ".conv", b + ".norm"};
       }},
      {"torch-conv4",
       "nested Sequential (0.0, 0.1)",
       {"conv6", "conv4"},
       [](const ConvLayer& l) {
         const std::string b = std::to_string(l.block);
         return Modules{b + ".0", b + ".1"};
       }},
      {"torch-resnet10", "closerlook (trunk.4.C1)", {"resnet10"}, closerlook_resnet},
      {"torch-resnet18", "closerlook (trunk.4.C1)", {"resnet18"}, closerlook_resnet},
      {"torchvision-resnet18", "torchvision (layer1.0.conv1)", {"resnet18"}, torchvision_resnet},
      {"easyfsl-resnet12", "easyfsl resnet12 (layer1.0.conv1, stem conv1)", {"resnet12-basic"}, torchvision_resnet},
      {"feat-resnet12", "FEAT resnet12 (layer1.0.conv3, no stem)", {"resnet12"}, feat_resnet},
  };
  return all;
}

std::vector<ConvLayer> layers_of(const std::string& backbone) {
  NetworkOptions options;
  options.backbone = backbone;
  options.width = 2;
  Schema schema;
  return make_backbone(options, schema)->layers();
}

/// The prefix ("encoder.") with which all layers' kernels have their names in the file; false if there is none.
bool find_prefix(const SafeTensors& file, const Convention& convention, const std::vector<ConvLayer>& layers,
                 std::string& prefix) {
  const std::string first = convention.modules(layers.front()).conv + ".weight";
  for (const auto& [name, tensor] : file.tensors) {
    if (tensor.dim() != 4 || !name.ends_with(first)) continue;
    prefix = name.substr(0, name.size() - first.size());
    if (!prefix.empty() && !prefix.ends_with('.')) continue;
    const bool all = std::all_of(layers.begin(), layers.end(), [&](const ConvLayer& layer) {
      const auto found = file.tensors.find(prefix + convention.modules(layer).conv + ".weight");
      return found != file.tensors.end() && found->second.dim() == 4 && found->second.size(2) == layer.kernel;
    });
    if (all) return true;
  }
  return false;
}

struct Match {
  const Convention* convention = nullptr;
  std::string backbone, prefix;
};

Match match(const SafeTensors& file, const std::string& where, const std::string& source) {
  const auto sources = torch_sources();
  if (std::find(sources.begin(), sources.end(), source) == sources.end())
    throw UsageError(unknown_name("source", source, sources));
  std::string tried;
  for (const Convention& convention : conventions()) {
    if (convention.source != source) continue;
    for (const std::string& backbone : convention.backbones) {
      const auto layers = layers_of(backbone);
      Match found{&convention, backbone, ""};
      if (find_prefix(file, convention, layers, found.prefix)) return found;
    }
    tried += (tried.empty() ? "" : ", ") + std::string(convention.names);
  }
  std::string some;
  int shown = 0;
  for (const auto& [name, tensor] : file.tensors)
    if (tensor.dim() == 4 && shown++ < 3) some += (some.empty() ? "" : ", ") + name;
  throw DataError("'" + where + "' has not the names of " + source + ", tried: " + tried + "; its kernels are called " +
                  (some.empty() ? "nothing" : some));
}

}  // namespace

std::vector<std::string> torch_sources() {
  std::vector<std::string> names;
  for (const Convention& convention : conventions())
    if (names.empty() || names.back() != convention.source) names.emplace_back(convention.source);
  return names;
}

NetworkOptions network_of_torch(const SafeTensors& file, const std::string& where, const std::string& source,
                                NetworkOptions options) {
  const Match found = match(file, where, source);
  const auto layers = layers_of(found.backbone);
  const Tensor first = file.tensors.at(found.prefix + found.convention->modules(layers.front()).conv + ".weight");
  options.backbone = found.backbone;
  options.width = static_cast<int>(first.size(0));
  options.channels = static_cast<int>(first.size(1));
  return options;
}

TorchImport import_torch(const SafeTensors& file, const std::string& where, const std::string& source,
                         const Backbone& backbone, const ParameterSet& initial) {
  const Match found = match(file, where, source);
  TorchImport result;
  result.names = found.convention->names;
  std::set<std::string> used;
  std::string missing;
  const auto take = [&](const std::string& name) {
    const auto at = file.tensors.find(name);
    if (at == file.tensors.end()) return Tensor();
    used.insert(name);
    if (!at->second.is_floating_point())
      throw DataError("'" + where + "': tensor '" + name + "' is of type " + at::toString(at->second.scalar_type()) +
                      ", real numbers were expected");
    return at->second.to(at::kFloat);  // half precision, and arithmetic with a bias in it, included
  };
  std::map<std::string, Tensor> values;
  for (const ConvLayer& layer : backbone.layers()) {
    const Modules modules = found.convention->modules(layer);
    const std::string conv = found.prefix + modules.conv, norm = found.prefix + modules.norm;
    std::string ours = layer.name;
    ours.replace(ours.rfind("conv"), 4, "norm");
    const auto need = [&](const std::string& to, const std::string& from) {
      const Tensor value = take(from);
      if (value.defined())
        values[to] = value;
      else
        missing += (missing.empty() ? "" : ", ") + from;
    };
    need(layer.name + ".kernel", conv + ".weight");
    need(ours + ".scale", norm + ".weight");
    need(ours + ".shift", norm + ".bias");
    const Tensor bias = take(conv + ".bias"), mean = take(norm + ".running_mean"),
                 variance = take(norm + ".running_var");
    if (bias.defined()) result.dropped.push_back(conv + ".bias (absorbed by the norm)");
    if (mean.defined()) values[ours + ".mean"] = bias.defined() ? mean - bias : mean;
    if (variance.defined()) values[ours + ".variance"] = variance;
  }
  if (!missing.empty()) throw DataError("'" + where + "' lacks " + missing + ", which " + source + " has");

  std::vector<Tensor> tensors;
  for (const Parameter& p : initial) {
    const bool body = p.role.of_the_body;
    const auto value = values.find(p.name);
    if (!body || value == values.end()) {
      if (body && p.role.trainable)
        throw UsageError("the network has '" + p.name +
                         "', which does not come from a network of standard convolutions");
      if (!p.role.trainable && p.name.find(".norm") != std::string::npos)
        throw DataError("'" + where + "' has no running statistics for '" + p.name + "'; --norm batch needs none");
      tensors.push_back(p.tensor);
      continue;
    }
    if (value->second.sizes() != p.tensor.sizes())
      throw DataError("'" + where + "': the tensor for '" + p.name + "' is " + shape_text(value->second.sizes()) +
                      ", " + shape_text(p.tensor.sizes()) + " was expected");
    tensors.push_back(value->second.to(at::kFloat).clone());
    values.erase(value);
    ++result.taken;
  }
  result.parameters = {initial.schema(), std::move(tensors)};
  for (const auto& [name, value] : values)
    if (name.ends_with(".kernel"))
      throw UsageError("'" + where +
                       "' has a kernel of its own for every layer, but in the network layers share them: '" + name +
                       "' has no place; sharing layer was expected");
  for (const auto& [name, value] : values)
    result.dropped.push_back(name + " (statistics that this norm does not keep)");
  for (const auto& [name, tensor] : file.tensors) {
    if (used.contains(name)) continue;
    const bool copy = std::any_of(used.begin(), used.end(), [&](const std::string& other) {
      const Tensor& t = file.tensors.at(other);
      return t.sizes() == tensor.sizes() && t.scalar_type() == tensor.scalar_type() && t.equal(tensor);
    });
    if (name.ends_with("num_batches_tracked"))
      result.dropped.push_back(name + " (a counter)");
    else if (copy)
      result.dropped.push_back(name + " (a copy)");
    else
      result.left_over.push_back(name + " " + shape_text(tensor.sizes()));
  }
  return result;
}

}  // namespace fewatoms
