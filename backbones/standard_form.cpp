#include "backbones/standard_form.h"

namespace fewatoms {
namespace {

/// PyTorch's name of a norm's parameter, or the same name of anything else.
std::string norm_name(const std::string& name, const std::map<std::string, Tensor>& all) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || all.count(name.substr(0, dot) + ".scale") == 0) return name;
  static const std::map<std::string, std::string> kNames = {
      {".scale", ".weight"}, {".shift", ".bias"}, {".mean", ".running_mean"}, {".variance", ".running_var"}};
  const auto found = kNames.find(name.substr(dot));
  return found == kNames.end() ? name : name.substr(0, dot) + found->second;
}

}  // namespace

std::map<std::string, Tensor> standard_form(const Backbone& backbone, const ConvOptions& conv,
                                            const ParameterSet& parameters) {
  std::map<std::string, Tensor> own;
  for (const Parameter& p : parameters) own[p.name] = p.tensor;
  ParameterSet initial, convolved;
  const auto convolutions = make_convolutions(backbone.layers(), conv, /*seed=*/0, initial);
  for (const Parameter& p : initial) {
    const auto found = own.find(p.name);
    TORCH_CHECK(found != own.end() && found->second.sizes() == p.tensor.sizes(), "no parameter '", p.name,
                "' of this shape");
    convolved.add(p.name, found->second, p.role);
  }
  std::map<std::string, Tensor> form;
  for (size_t i = 0; i < convolutions.size(); ++i)
    form[backbone.layers()[i].name + ".weight"] = convolutions[i]->kernel(convolved).detach();
  std::map<std::string, Tensor> of_convolutions;
  for (const Parameter& p : convolved) of_convolutions[p.name] = p.tensor;
  for (const Parameter& p : parameters)
    if (of_convolutions.count(p.name) == 0 && p.role != Role::kMeta && !p.name.ends_with(".later"))
      form[norm_name(p.name, own)] = p.tensor.detach();
  return form;
}

}  // namespace fewatoms
