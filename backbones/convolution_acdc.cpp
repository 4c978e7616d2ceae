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
  AcdcConvolution(const ConvLayer& layer, size_t coefficients, size_t atoms, const ConvOptions& options)
      : layer_(layer),
        coefficients_(coefficients),
        atoms_(atoms),
        grouped_(options.group > 0),
        two_stage_(options.compute == "two-stage") {}

  Tensor forward(const Tensor& x, const ParameterSet& parameters) const override {
    if (two_stage_)
      return two_stage_convolution(x, coefficients(parameters), parameters.tensor(atoms_), layer_.stride,
                                   layer_.padding);
    return conv2d(x, kernel(parameters), layer_.stride, layer_.padding);
  }
  Tensor kernel(const ParameterSet& parameters) const override {
    return compose_kernel(coefficients(parameters), parameters.tensor(atoms_));
  }
  AtomMaps prepare(const Tensor& x, const ParameterSet& parameters, const std::vector<size_t>& adapted) const override {
    const auto adapts = [&](size_t index) { return std::find(adapted.begin(), adapted.end(), index) != adapted.end(); };
    if (!layer_.keeps_size_3x3() || grouped_ || two_stage_ || adapts(coefficients_) || !adapts(atoms_)) return {};
    return make_atom_maps(x, coefficients(parameters));
  }
  Tensor forward(const AtomMaps& maps, const ParameterSet& parameters) const override {
    return apply_atoms(maps, parameters.tensor(atoms_));
  }
  std::vector<size_t> parameters() const override { return {coefficients_, atoms_}; }

 private:
  /// A narrower layer reads the leading slice of the shared tensor; groups all read the whole.
  Tensor coefficients(const ParameterSet& parameters) const {
    if (grouped_) return parameters.tensor(coefficients_);
    return parameters.tensor(coefficients_).narrow(0, 0, layer_.out).narrow(1, 0, layer_.in);
  }

  ConvLayer layer_;
  size_t coefficients_;
  size_t atoms_;
  bool grouped_, two_stage_;
};

struct Group {
  int out = 0, in = 0;  // the largest of its layers, or the channels of a channel group
  size_t index = 0;     // of the tensor in the parameter set
};

void require_fits(const ConvLayer& layer, const ConvOptions& options) {
  const int most = layer.kernel * layer.kernel;
  if (options.atoms < 1 || (!layer.pointwise && options.atoms > most))
    throw UsageError("atoms is " + std::to_string(options.atoms) + ", 1 to " + std::to_string(most) + " fit the " +
                     std::to_string(layer.kernel) + "x" + std::to_string(layer.kernel) + " kernels of '" + layer.name +
                     "'");
  if (options.group > 0 && (layer.in % options.group != 0 || layer.out % options.group != 0))
    throw UsageError("group is " + std::to_string(options.group) + ", which does not divide the " +
                     std::to_string(layer.in) + " and " + std::to_string(layer.out) + " channels of '" + layer.name +
                     "'");
}

/// A random rotation of m dimensions [m, m], double: Gram-Schmidt of normal numbers.
Tensor random_rotation(int64_t m, uint64_t seed, const std::string& name) {
  Tensor rows = normal_tensor({m, m}, 1, seed, name).to(at::kDouble);
  for (int64_t i = 0; i < m; ++i) {
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t j = 0; j < i; ++j) rows[i] -= rows[j] * (rows[i] * rows[j]).sum();
    rows[i] /= (rows[i] * rows[i]).sum().sqrt();
  }
  return rows;
}

/// First values of a layer's atoms, [M, k, k] or for pairs of channel groups [P, Q, M, k, k], each of norm sqrt(fan /
/// in). A 1x1 kernel mixes the coefficients of its group with equal weights.
Tensor initial_atoms(const ConvLayer& layer, const ConvOptions& options, int fan, uint64_t seed) {
  const double length = std::sqrt(static_cast<double>(fan) / layer.in);
  const Tensor basis = layer.pointwise ? at::ones({options.atoms, 1, 1}, at::kDouble)
                                       : fourier_bessel_atoms(options.atoms, layer.kernel);
  if (options.group == 0) return (basis * length).to(at::kFloat);
  // With equal atoms all groups of outputs would compute the same function, and stay so.
  std::vector<Tensor> pairs;
  const int outs = layer.out / options.group, ins = layer.in / options.group;
  for (int pair = 0; pair < outs * ins; ++pair)
    pairs.push_back(at::mm(random_rotation(options.atoms, seed, layer.name + ".rotation" + std::to_string(pair)),
                           basis.flatten(1)) *
                    length);
  return at::stack(pairs).view({outs, ins, options.atoms, layer.kernel, layer.kernel}).to(at::kFloat);
}

}  // namespace

std::string coefficients_name(const ConvLayer& layer, const std::string& sharing) {
  if (sharing == "net") return "coefficients";
  if (sharing == "stage") return "stage" + std::to_string(layer.stage + 1) + ".coefficients";
  if (sharing == "block") return "block" + std::to_string(layer.block + 1) + ".coefficients";
  return layer.name + ".coefficients";
}

Tensor compose_kernel(const Tensor& coefficients, const Tensor& atoms) {
  if (atoms.dim() == 5) {
    const int64_t outs = atoms.size(0), ins = atoms.size(1), m = atoms.size(2), k = atoms.size(3),
                  s = coefficients.size(0);
    const Tensor flat = atoms.permute({2, 0, 1, 3, 4}).reshape({m, outs * ins * k * k});
    return at::mm(coefficients.reshape({s * s, m}), flat)
        .view({s, s, outs, ins, k, k})
        .permute({2, 0, 3, 1, 4, 5})
        .reshape({outs * s, ins * s, k, k});
  }
  const int64_t out = coefficients.size(0), in = coefficients.size(1), m = coefficients.size(2), k = atoms.size(1);
  return at::mm(coefficients.reshape({out * in, m}), atoms.reshape({m, k * k})).view({out, in, k, k});
}

Tensor two_stage_convolution(const Tensor& x, const Tensor& coefficients, const Tensor& atoms, int stride,
                             int padding) {
  const int64_t n = x.size(0), c = x.size(1), m = atoms.size(0), k = atoms.size(1), out = coefficients.size(0);
  const Tensor single = x.contiguous().view({n * c, 1, x.size(2), x.size(3)});
  const Tensor maps = conv2d(single, atoms.view({m, 1, k, k}), stride, padding).contiguous();  // [n*c, M, H', W']
  return conv2d(maps.view({n, c * m, maps.size(2), maps.size(3)}), coefficients.reshape({out, c * m, 1, 1}), 1, 0);
}

std::vector<std::unique_ptr<Convolution>> make_acdc(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                                    uint64_t seed, ParameterSet& parameters) {
  if (options.group < 0)
    throw UsageError("group is " + std::to_string(options.group) + ", 0 (none) or a number of channels was expected");
  if (options.group > 0 && options.compute == "two-stage")
    throw UsageError(
        "computation two-stage does not go with channel groups, whose kernels are composed; group 0 was expected");
  std::map<std::string, Group> groups;
  for (const ConvLayer& layer : layers) {
    if (stays_plain(layer, options)) continue;
    require_fits(layer, options);
    Group& group = groups[coefficients_name(layer, options.sharing)];
    group.out = options.group > 0 ? options.group : std::max(group.out, layer.out);
    group.in = options.group > 0 ? options.group : std::max(group.in, layer.in);
  }
  for (auto& [name, group] : groups) {
    const double deviation = std::sqrt(2.0 / (static_cast<double>(group.in) * options.atoms));
    group.index = parameters.add(name, normal_tensor({group.out, group.in, options.atoms}, deviation, seed, name),
                                 Role::kCoefficient);
  }

  std::vector<std::unique_ptr<Convolution>> made;
  for (const ConvLayer& layer : layers) {
    if (stays_plain(layer, options)) {
      made.push_back(make_plain(layer, seed, parameters));
      continue;
    }
    const Group& group = groups.at(coefficients_name(layer, options.sharing));
    // The coefficients' variance is right for the group's widest fan-in: narrower layers get longer atoms.
    const size_t index =
        parameters.add(layer.name + ".atoms", initial_atoms(layer, options, group.in, seed), Role::kAtom);
    made.push_back(std::make_unique<AcdcConvolution>(layer, group.index, index, options));
  }
  return made;
}

}  // namespace fewatoms
