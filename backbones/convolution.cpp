#include "backbones/convolution.h"

#include <algorithm>

#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "episodes/random.h"

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

}  // namespace

std::string ConvLayer::torch_script(const std::string& x) const {
  const std::string s = number_text(stride), p = number_text(padding);
  return "torch.conv2d(" + x + ", self." + name + ".weight, None, [" + s + ", " + s + "], [" + p + ", " + p + "])";
}

std::vector<std::string> convolution_kinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

std::vector<std::unique_ptr<Convolution>> make_convolutions(const std::vector<ConvLayer>& layers,
                                                            const ConvOptions& options, uint64_t seed,
                                                            ParameterSet& parameters) {
  require_one_of("convolution", options.kind, convolution_kinds());
  require_one_of("sharing", options.sharing, {"layer", "block", "stage", "net"});
  require_one_of("computation", options.compute, {"composed", "two-stage"});
  for (const Kind& kind : kKinds)
    if (options.kind == kind.name) return kind.make(layers, options, seed, parameters);
  return {};
}

Tensor normal_tensor(at::IntArrayRef shape, double deviation, uint64_t seed, const std::string& name) {
  uint64_t key = name.size();
  for (const char c : name) key = mix_key({key, static_cast<unsigned char>(c)});
  Random random{seed, stream(Stream::kParameters), key};
  Tensor t = at::empty(shape, at::kFloat);
  float* values = t.data_ptr<float>();
  for (int64_t i = 0; i < t.numel(); ++i) values[i] = static_cast<float>(deviation * random.normal());
  return t;
}

}  // namespace fewatoms
