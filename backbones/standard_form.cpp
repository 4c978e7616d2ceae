#include "backbones/standard_form.h"

#include "episodes/errors.h"

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
  auto schema = std::make_shared<Schema>();
  const auto convolutions = make_convolutions(backbone.layers(), conv, *schema);
  std::vector<Tensor> values;
  for (const ParameterSpec& spec : *schema) {
    const Tensor* found = parameters.find(spec.name);
    TORCH_CHECK(found != nullptr, "no parameter '", spec.name, "'");
    values.push_back(*found);
  }
  const ParameterSet convolved(std::move(schema), std::move(values));
  std::map<std::string, Tensor> form;
  for (size_t i = 0; i < convolutions.size(); ++i) {
    const Tensor kernel = convolutions[i]->kernel(convolved);
    const std::string& name = convolutions[i]->shape().name;
    if (!kernel.defined())
      throw UsageError("layer '" + name + "' has no dense kernel, a standard form needs one of each");
    form[name + ".weight"] = kernel.detach();
  }
  for (const Parameter& p : parameters)
    if (convolved.find(p.name) == nullptr && p.role != Role::kMeta && !p.name.ends_with(".later"))
      form[norm_name(p.name, own)] = p.tensor.detach();
  return form;
}

}  // namespace fewatoms
