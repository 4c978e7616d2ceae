#include "backbones/decomposition.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

constexpr int kMostSweeps = 100;
constexpr double kSmallGain = 1e-7;  // of the squared error: alternation ends there

/// A kernel as a matrix for each pair of channels: [out, in, k*k], double.
Tensor rows_of(const Tensor& kernel) { return kernel.detach().to(at::kDouble).flatten(2); }

/// The m orthonormal columns [n, m] that span most of a symmetric matrix [n, n]; zeros beyond n.
Tensor leading_vectors(const Tensor& symmetric, int64_t m) {
  const int64_t n = symmetric.size(0), found = std::min(m, n);
  const Tensor vectors = std::get<1>(at::linalg_eigh(symmetric)).narrow(1, n - found, found).flip(1);
  return found == m ? vectors : at::cat({vectors, at::zeros({n, m - found}, at::kDouble)}, 1);
}

/// Solves symmetric systems [..., m, m] x = b [..., m, n]; directions that say nothing get zeros, all but.
Tensor solved(const Tensor& symmetric, const Tensor& b) {
  const int64_t m = symmetric.size(-1);
  const Tensor trace = symmetric.diagonal(0, -2, -1).sum(-1).clamp_min(1e-300);
  const Tensor ridge = at::eye(m, at::kDouble) * (1e-12 * trace).unsqueeze(-1).unsqueeze(-1);
  return at::linalg_solve(symmetric + ridge, b);
}

struct JointFit {
  std::vector<Tensor> targets;  // [out, in, k*k]
  Tensor coefficients;          // [O, I, M]
  std::vector<Tensor> atoms;    // [M, k*k]

  Tensor corner(size_t i) const {
    return coefficients.narrow(0, 0, targets[i].size(0)).narrow(1, 0, targets[i].size(1));
  }

  double squared_error() const {
    double sum = 0;
    for (size_t i = 0; i < targets.size(); ++i)
      sum += (targets[i] - at::matmul(corner(i), atoms[i])).pow(2).sum().item<double>();
    return sum;
  }

  /// The best coefficients for these atoms: at each pair of channels over the kernels that have it.
  void fit_coefficients() {
    const int64_t m = coefficients.size(2);
    Tensor normal = at::zeros({coefficients.size(0), coefficients.size(1), m, m}, at::kDouble),
           right = at::zeros_like(coefficients);
    for (size_t i = 0; i < targets.size(); ++i) {
      const int64_t out = targets[i].size(0), in = targets[i].size(1);
      normal.narrow(0, 0, out).narrow(1, 0, in).add_(at::mm(atoms[i], atoms[i].t()));
      right.narrow(0, 0, out).narrow(1, 0, in).add_(at::matmul(targets[i], atoms[i].t()));
    }
    coefficients = solved(normal, right.unsqueeze(3)).squeeze(3);
  }

  /// The best atoms for these coefficients, kernel by kernel.
  void fit_atoms() {
    for (size_t i = 0; i < targets.size(); ++i) {
      const Tensor a = corner(i).flatten(0, 1), w = targets[i].flatten(0, 1);
      atoms[i] = solved(at::mm(a.t(), a), at::mm(a.t(), w));
    }
  }
};

}  // namespace

DecomposedKernels decompose_kernels(const std::vector<Tensor>& kernels, int64_t atoms) {
  TORCH_CHECK(!kernels.empty() && atoms >= 1, "kernels and a number of atoms were expected");
  JointFit fit;
  int64_t outs = 0, ins = 0, columns = 0;
  for (const Tensor& kernel : kernels) {
    fit.targets.push_back(rows_of(kernel));
    outs = std::max(outs, kernel.size(0));
    ins = std::max(ins, kernel.size(1));
    columns += fit.targets.back().size(2);
  }
  // All kernels side by side [O * I, columns], never stored: its Gram matrix on the smaller side is enough.
  const auto padded = [&](const Tensor& w) {
    return at::constant_pad_nd(w, {0, 0, 0, ins - w.size(1), 0, outs - w.size(0)}).flatten(0, 1);
  };
  fit.coefficients = at::zeros({outs, ins, atoms}, at::kDouble);
  if (outs * ins <= columns) {
    Tensor gram = at::zeros({outs * ins, outs * ins}, at::kDouble);
    for (const Tensor& w : fit.targets) gram.addmm_(padded(w), padded(w).t());
    fit.coefficients = leading_vectors(gram, atoms).view({outs, ins, atoms});
    fit.atoms.resize(kernels.size());
    fit.fit_atoms();
  } else {
    std::vector<Tensor> all;
    for (const Tensor& w : fit.targets) all.push_back(padded(w));
    const Tensor matrix = at::cat(all, 1), vectors = leading_vectors(at::mm(matrix.t(), matrix), atoms);
    int64_t first = 0;
    for (const Tensor& w : fit.targets) {
      fit.atoms.push_back(vectors.narrow(0, first, w.size(2)).t().contiguous());
      first += w.size(2);
    }
    fit.fit_coefficients();
    fit.fit_atoms();
  }
  double error = fit.squared_error();
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    fit.fit_coefficients();
    fit.fit_atoms();
    const double now = fit.squared_error();
    if (!(now < error * (1 - kSmallGain))) break;
    error = now;
  }

  const double usual = std::sqrt(2.0 / static_cast<double>(ins * atoms));
  const Tensor scale = usual / fit.coefficients.pow(2).mean(at::IntArrayRef{0, 1}).sqrt().clamp_min(1e-30);  // [M]
  DecomposedKernels result{(fit.coefficients * scale).to(at::kFloat), {}};
  for (size_t i = 0; i < kernels.size(); ++i)
    result.atoms.push_back(
        (fit.atoms[i] / scale.unsqueeze(1)).view({atoms, kernels[i].size(2), kernels[i].size(3)}).to(at::kFloat));
  return result;
}

ParameterSet decomposed(const ParameterSet& initial, const ParameterSet& standard, const Backbone& backbone,
                        const ConvOptions& options, std::vector<LayerError>& errors) {
  std::map<std::string, Tensor> values;
  for (const Parameter& p : standard) values[p.name] = p.tensor;
  const auto kernel_of = [&](const ConvLayer& layer) {
    const auto found = values.find(layer.name + ".kernel");
    if (found == values.end() ||
        found->second.sizes() != at::IntArrayRef({layer.out, layer.in, layer.kernel, layer.kernel}))
      throw UsageError("the network to decompose has no standard kernel '" + layer.name + ".kernel' of this backbone");
    return found->second;
  };
  std::map<std::string, std::vector<const ConvLayer*>> sharing;
  const std::vector<std::string> names = coefficients_names(backbone.layers(), options);
  for (size_t l = 0; l < names.size(); ++l)
    if (!names[l].empty()) sharing[names[l]].push_back(&backbone.layers()[l]);
  for (const auto& [name, layers] : sharing) {
    std::vector<Tensor> kernels;
    const int64_t s = options.group;
    for (const ConvLayer* layer : layers) {
      const Tensor kernel = kernel_of(*layer);
      for (int64_t out = 0; s > 0 && out < layer->out; out += s)  // each pair of groups is a kernel of its own
        for (int64_t in = 0; in < layer->in; in += s) kernels.push_back(kernel.narrow(0, out, s).narrow(1, in, s));
      if (s == 0) kernels.push_back(kernel);
    }
    const DecomposedKernels fit = decompose_kernels(kernels, options.atoms);
    values[name] = fit.coefficients;
    auto next = fit.atoms.begin();
    for (const ConvLayer* layer : layers) {
      Tensor atoms = *next, coefficients = fit.coefficients;
      if (s > 0) {
        const int64_t pairs = (layer->out / s) * (layer->in / s);
        atoms = at::stack(std::vector<Tensor>(next, next + pairs))
                    .view({layer->out / s, layer->in / s, options.atoms, layer->kernel, layer->kernel});
        next += pairs;
      } else {
        coefficients = coefficients.narrow(0, 0, layer->out).narrow(1, 0, layer->in);
        ++next;
      }
      values[layer->name + ".atoms"] = atoms;
      const Tensor w = kernel_of(*layer);
      errors.push_back({layer->name, (w - compose_kernel(coefficients, atoms)).norm().item<double>() /
                                         std::max(1e-30, w.norm().item<double>())});
    }
  }
  const auto& order = backbone.layers();
  const auto place = [&](const LayerError& e) {
    return std::find_if(order.begin(), order.end(), [&](const ConvLayer& layer) { return layer.name == e.layer; }) -
           order.begin();
  };
  std::sort(errors.begin(), errors.end(),
            [&](const LayerError& a, const LayerError& b) { return place(a) < place(b); });

  std::vector<Tensor> made;
  for (const Parameter& p : initial) {
    const auto found = values.find(p.name);
    const bool may_lack = !p.role.of_the_body;
    if (found == values.end() && !may_lack) throw UsageError("the network to decompose has no tensor '" + p.name + "'");
    const Tensor value =
        found == values.end() || (may_lack && found->second.sizes() != p.tensor.sizes()) ? p.tensor : found->second;
    if (value.sizes() != p.tensor.sizes())
      throw UsageError("the network to decompose has another shape of '" + p.name + "'");
    made.push_back(value.detach().clone());
  }
  return {initial.schema(), std::move(made)};
}

}  // namespace fewatoms
