// Atom-coefficient decomposed convolution (ACDC): Wang, Cheng, Sapiro, Qiu 2020, on DCFNet, Qiu et al. 2018.

#include <algorithm>
#include <cmath>
#include <map>

#include "backbones/atoms.h"
#include "backbones/convolution.h"
#include "backbones/kernels/conv2d.h"
#include "episodes/errors.h"

namespace fewatoms {
namespace {

class AcdcConvolution final : public Convolution {
 public:
  AcdcConvolution(const ConvLayer& layer, size_t coefficients, size_t atoms, bool two_stage)
      : layer_(layer), coefficients_(coefficients), atoms_(atoms), two_stage_(two_stage) {}

  Tensor forward(const Tensor& x, const ParameterSet& parameters) const override {
    if (two_stage_)
      return two_stage_convolution(x, coefficients(parameters), parameters.tensor(atoms_), layer_.stride, layer_.padding);
    return conv2d(x, kernel(parameters), layer_.stride, layer_.padding);
  }
  Tensor kernel(const ParameterSet& parameters) const override {
    return compose_kernel(coefficients(parameters), parameters.tensor(atoms_));
  }
  AtomMaps prepare(const Tensor& x, const ParameterSet& parameters, const std::vector<size_t>& adapted) const override {
    const auto adapts = [&](size_t index) { return std::find(adapted.begin(), adapted.end(), index) != adapted.end(); };
    const bool fits = layer_.kernel == 3 && layer_.stride == 1 && layer_.padding == 1;
    if (!fits || two_stage_ || adapts(coefficients_) || !adapts(atoms_)) return {};
    return make_atom_maps(x, coefficients(parameters));
  }
  Tensor forward(const AtomMaps& maps, const ParameterSet& parameters) const override {
    return apply_atoms(maps, parameters.tensor(atoms_));
  }
  std::vector<size_t> parameters() const override { return {coefficients_, atoms_}; }

 private:
  /// A narrower layer reads the leading slice of the shared tensor.
  Tensor coefficients(const ParameterSet& parameters) const {
    return parameters.tensor(coefficients_).narrow(0, 0, layer_.out).narrow(1, 0, layer_.in);
  }

  ConvLayer layer_;
  size_t coefficients_;
  size_t atoms_;
  bool two_stage_;
};

/// The sharing group of a layer: layers with equal keys use one coefficient tensor, which carries this name.
std::string group_name(const ConvLayer& layer, const std::string& sharing) {
  if (sharing == "net") return "coefficients";
  if (sharing == "stage") return "stage" + std::to_string(layer.stage + 1) + ".coefficients";
  if (sharing == "block") return "block" + std::to_string(layer.block + 1) + ".coefficients";
  return layer.name + ".coefficients";
}

struct Group {
  int out = 0, in = 0;  // the largest of its layers
  size_t index = 0;     // of the tensor in the parameter set
};

}  // namespace

Tensor compose_kernel(const Tensor& coefficients, const Tensor& atoms) {
  const int64_t out = coefficients.size(0), in = coefficients.size(1), m = coefficients.size(2), k = atoms.size(1);
  return at::mm(coefficients.reshape({out * in, m}), atoms.reshape({m, k * k})).view({out, in, k, k});
}

Tensor two_stage_convolution(const Tensor& x, const Tensor& coefficients, const Tensor& atoms, int stride, int padding) {
  const int64_t n = x.size(0), c = x.size(1), m = atoms.size(0), k = atoms.size(1), out = coefficients.size(0);
  const Tensor single = x.contiguous().view({n * c, 1, x.size(2), x.size(3)});
  const Tensor maps = conv2d(single, atoms.view({m, 1, k, k}), stride, padding).contiguous();  // [n*c, M, H', W']
  return conv2d(maps.view({n, c * m, maps.size(2), maps.size(3)}), coefficients.reshape({out, c * m, 1, 1}), 1, 0);
}

std::vector<std::unique_ptr<Convolution>> make_acdc(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                                    uint64_t seed, ParameterSet& parameters) {
  std::map<std::string, Group> groups;
  for (const ConvLayer& layer : layers) {
    if (layer.plain) continue;
    if (options.atoms < 1 || options.atoms > layer.kernel * layer.kernel)
      throw UsageError("atoms is " + std::to_string(options.atoms) + ", 1 to " + std::to_string(layer.kernel * layer.kernel) +
                       " fit the " + std::to_string(layer.kernel) + "x" + std::to_string(layer.kernel) + " kernels of '" +
                       layer.name + "'");
    Group& group = groups[group_name(layer, options.sharing)];
    group.out = std::max(group.out, layer.out);
    group.in = std::max(group.in, layer.in);
  }
  for (auto& [name, group] : groups) {
    const double deviation = std::sqrt(2.0 / (static_cast<double>(group.in) * options.atoms));
    group.index = parameters.add(name, normal_tensor({group.out, group.in, options.atoms}, deviation, seed, name),
                                 Role::kCoefficient);
  }

  std::vector<std::unique_ptr<Convolution>> made;
  for (const ConvLayer& layer : layers) {
    if (layer.plain) {
      made.push_back(make_plain(layer, seed, parameters));
      continue;
    }
    const Group& group = groups.at(group_name(layer, options.sharing));
    // The coefficients' variance is right for the group's widest fan-in: narrower layers get longer atoms.
    const Tensor atoms = fourier_bessel_atoms(options.atoms, layer.kernel) * std::sqrt(static_cast<double>(group.in) / layer.in);
    const size_t index = parameters.add(layer.name + ".atoms", atoms.to(at::kFloat), Role::kAtom);
    made.push_back(std::make_unique<AcdcConvolution>(layer, group.index, index, options.compute == "two-stage"));
  }
  return made;
}

}  // namespace fewatoms
