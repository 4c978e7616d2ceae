// Atom-coefficient decomposed convolution (ACDC): Wang, Cheng, Sapiro, Qiu 2020, on DCFNet, Qiu et al. 2018.

#include <algorithm>
#include <cmath>
#include <map>

#include "backbones/atoms.h"
#include "backbones/convolution.h"
#include "backbones/kernels/atom_maps.h"
#include "backbones/kernels/conv2d.h"
#include "episodes/errors.h"
#include "episodes/numbers.h"
#include "episodes/random.h"

namespace fewatoms {
namespace {

/// The mixed maps of a fixed input.
struct PreparedMaps final : Prepared {
  AtomMaps maps;
};

class AcdcConvolution final : public Convolution {
 public:
  AcdcConvolution(const ConvLayer& layer, size_t coefficients, size_t atoms, const ConvOptions& options)
      : Convolution(layer),
        coefficients_(coefficients),
        atoms_(atoms),
        options_(options),
        grouped_(options.group > 0),
        two_stage_(options.compute == "two-stage") {}

  Tensor forward(const Tensor& x, const Context& context) const override {
    if (two_stage_)
      return two_stage_convolution(x, coefficients(context.parameters), atoms(context), shape().stride,
                                   shape().padding);
    return conv2d(x, kernel(context), shape().stride, shape().padding);
  }
  Tensor kernel(const Context& context) const override {
    return compose_kernel(coefficients(context.parameters), atoms(context));
  }
  PreparedPtr prepare(const Tensor& x, const Context& context, const std::vector<size_t>& changing) const override {
    const auto changes = [&](size_t index) {
      return std::find(changing.begin(), changing.end(), index) != changing.end();
    };
    if (!shape().keeps_size_3x3() || grouped_ || two_stage_ || changes(coefficients_) || !changes(atoms_))
      return nullptr;
    auto prepared = std::make_shared<PreparedMaps>();
    prepared->maps = make_atom_maps(x, coefficients(context.parameters));
    return prepared;
  }
  Tensor forward_prepared(const Prepared& prepared, const Context& context) const override {
    return apply_atoms(static_cast<const PreparedMaps&>(prepared).maps, atoms(context));
  }
  std::vector<size_t> parameters() const override { return {coefficients_, atoms_}; }
  /// In two stages: the atoms on every input channel, then the mix (for each group of outputs anew).
  void describe(std::vector<LayerInfo>& layers) const override {
    LayerInfo own = info("acdc");
    const int64_t pixels = int64_t{own.out_size} * own.out_size, groups = grouped_ ? own.out / options_.group : 1;
    own.fewest_multiply_adds =
        pixels * options_.atoms * (groups * own.in * shape().kernel * shape().kernel + int64_t{own.out} * own.in);
    layers.push_back(std::move(own));
  }

 private:
  /// A narrower layer reads the leading slice of the shared tensor; groups all read the whole.
  Tensor coefficients(const ParameterSet& parameters) const {
    if (grouped_) return parameters.tensor(coefficients_);
    return parameters.tensor(coefficients_).narrow(0, 0, shape().out).narrow(1, 0, shape().in);
  }

  /// The atoms, in training with some of them dropped (Wang, Cheng, Sapiro, Qiu 2020, section 3.3): each with the rate
  /// as its probability, the same in all passes of a task, the rest scaled up.
  Tensor atoms(const Context& context) const {
    const Tensor& all = context.parameters.tensor(atoms_);
    if (options_.atom_drop_rate == 0 || context.pass.task_key == 0) return all;
    Random random{context.pass.task_key, stream(Stream::kDrop), static_cast<uint64_t>(atoms_)};
    std::vector<double> kept(options_.atoms);
    for (double& scale : kept) scale = random.uniform() < options_.atom_drop_rate ? 0 : 1;
    const auto left = std::count(kept.begin(), kept.end(), 1.0);
    if (left == 0) return all;  // a layer of zeros would stop every gradient
    for (double& scale : kept) scale *= static_cast<double>(options_.atoms) / static_cast<double>(left);
    const Tensor mask = at::tensor(kept, all.options().requires_grad(false));
    return all * (grouped_ ? mask.view({1, 1, -1, 1, 1}) : mask.view({-1, 1, 1}));
  }

  size_t coefficients_;
  size_t atoms_;
  ConvOptions options_;
  bool grouped_, two_stage_;
};

constexpr int kMostAtoms = 121;

struct Group {
  int out = 0, in = 0;  // the largest of its layers, or the channels of a channel group
  size_t index = 0;     // of the tensor in the parameter set
};

void require_fits(const ConvLayer& layer, const ConvOptions& options) {
  if (options.atoms < 1 || options.atoms > kMostAtoms)
    throw UsageError("atoms is " + std::to_string(options.atoms) + ", 1 to " + std::to_string(kMostAtoms) +
                     " are possible");
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

std::vector<int64_t> atoms_shape(const ConvLayer& layer, const ConvOptions& options) {
  const int64_t s = options.group, k = layer.kernel;
  if (s == 0) return {options.atoms, k, k};
  return {layer.out / s, layer.in / s, options.atoms, k, k};
}

/// Independent directions of unit length [M, k, k], double.
Tensor random_atoms(int64_t count, const ConvLayer& layer, uint64_t seed) {
  const int64_t k = layer.kernel;
  const Tensor atoms = normal_tensor({count, k, k}, 1, seed, layer.name + ".atoms").to(at::kDouble);
  return atoms / atoms.pow(2).sum(at::IntArrayRef{1, 2}, /*keepdim=*/true).sqrt();
}

/// Atoms of unit length [M, k, k] that a layer starts from, double: Fourier-Bessel ones, of which k*k are a complete
/// basis, and random directions beyond; or random ones alone. Of a 1x1 kernel, ones.
Tensor first_basis(const ConvLayer& layer, const ConvOptions& options, uint64_t seed) {
  if (layer.pointwise) return at::ones({options.atoms, 1, 1}, at::kDouble);
  if (options.atom_start == "random") return random_atoms(options.atoms, layer, seed);
  const int complete = layer.kernel * layer.kernel;
  if (options.atoms <= complete) return fourier_bessel_atoms(options.atoms, layer.kernel);
  return at::cat({fourier_bessel_atoms(complete, layer.kernel), random_atoms(options.atoms - complete, layer, seed)});
}

/// First values of a layer's atoms, [M, k, k] or for pairs of channel groups [P, Q, M, k, k], each of norm sqrt(fan /
/// in). A 1x1 kernel mixes the coefficients of its group with equal weights.
Tensor initial_atoms(const ConvLayer& layer, const ConvOptions& options, int fan, uint64_t seed) {
  const double length = std::sqrt(static_cast<double>(fan) / layer.in);
  const Tensor basis = first_basis(layer, options, seed);
  if (options.group == 0) return (basis * length).to(at::kFloat);
  // With equal atoms all groups of outputs would compute the same function, and stay so.
  std::vector<Tensor> pairs;
  const int pair_count = (layer.out / options.group) * (layer.in / options.group);
  for (int pair = 0; pair < pair_count; ++pair)
    pairs.push_back(at::mm(random_rotation(options.atoms, seed, layer.name + ".rotation" + std::to_string(pair)),
                           basis.flatten(1)) *
                    length);
  return at::stack(pairs).view(atoms_shape(layer, options)).to(at::kFloat);
}

}  // namespace

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

std::vector<ConvolutionPtr> make_acdc(const std::vector<ConvLayer>& layers, const ConvOptions& options,
                                      Schema& schema) {
  if (options.group < 0)
    throw UsageError("group is " + std::to_string(options.group) + ", 0 (none) or a number of channels was expected");
  if (options.group > 0 && options.compute == "two-stage")
    throw UsageError(
        "computation two-stage does not go with channel groups, whose kernels are composed; group 0 was expected");
  if (!(options.atom_drop_rate >= 0 && options.atom_drop_rate <= 0.9))
    throw UsageError("atom drop rate is " + number_text(options.atom_drop_rate) + ", 0 to 0.9 is possible");
  const std::vector<std::string> names = coefficients_names(layers, options);
  std::map<std::string, Group> groups;
  for (size_t l = 0; l < layers.size(); ++l) {
    const ConvLayer& layer = layers[l];
    if (stays_plain(layer, options)) continue;
    require_fits(layer, options);
    Group& group = groups[names[l]];
    group.out = options.group > 0 ? options.group : std::max(group.out, layer.out);
    group.in = options.group > 0 ? options.group : std::max(group.in, layer.in);
  }
  for (auto& [name, group] : groups) {
    const double deviation = std::sqrt(2.0 / (static_cast<double>(group.in) * options.atoms));
    group.index = schema.add({.name = name,
                              .shape = {group.out, group.in, options.atoms},
                              .role = Role::kCoefficient,
                              .start = normal_start(deviation)});
  }

  std::vector<ConvolutionPtr> made;
  for (size_t l = 0; l < layers.size(); ++l) {
    const ConvLayer& layer = layers[l];
    if (stays_plain(layer, options)) {
      made.push_back(make_plain(layer, schema.add(plain_kernel(layer))));
      continue;
    }
    const Group& group = groups.at(names[l]);
    // The coefficients' variance is right for the group's widest fan-in: narrower layers get longer atoms.
    const size_t index = schema.add({.name = layer.name + ".atoms",
                                     .shape = atoms_shape(layer, options),
                                     .role = Role::kAtom,
                                     .start = [layer, options, fan = group.in](const ParameterSpec&, uint64_t seed) {
                                       return initial_atoms(layer, options, fan, seed);
                                     }});
    made.push_back(std::make_shared<AcdcConvolution>(layer, group.index, index, options));
  }
  return made;
}

}  // namespace fewatoms
