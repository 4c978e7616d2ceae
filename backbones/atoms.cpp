#include "backbones/atoms.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "episodes/errors.h"

namespace fewatoms {
namespace {

struct BesselZero {
  int order;     // q of J_q
  double value;  // z with J_q(z) = 0
};

/// All positive zeros of J_0 .. J_max_order below `limit`, ascending. Zeros of one order lie more than 2.4 apart.
std::vector<BesselZero> bessel_zeros(int max_order, double limit) {
  std::vector<BesselZero> zeros;
  for (int q = 0; q <= max_order; ++q) {
    const auto j = [q](double x) { return std::cyl_bessel_j(static_cast<double>(q), x); };
    constexpr double kStep = 0.25;
    for (double low = std::max(0.5, static_cast<double>(q)); low < limit; low += kStep) {  // z_q1 > q
      double a = low, b = low + kStep;
      if (j(a) * j(b) > 0) continue;
      for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (a + b);
        (j(a) * j(middle) <= 0 ? b : a) = middle;
      }
      zeros.push_back({q, 0.5 * (a + b)});
    }
  }
  std::sort(zeros.begin(), zeros.end(), [](const auto& a, const auto& b) { return a.value < b.value; });
  return zeros;
}

using Grid = std::vector<double>;  // one atom, row-major

double dot(const Grid& a, const Grid& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void scale_to_unit(Grid& atom) {
  const double norm = std::sqrt(dot(atom, atom));
  for (double& x : atom) x /= norm;
}

/// J_q(z r / R) cos(q t), or sin.
Grid sample(const BesselZero& zero, int size, bool sine) {
  const double radius = 0.5 * size;
  const int half = size / 2;
  Grid atom;
  for (int row = -half; row <= half; ++row)
    for (int column = -half; column <= half; ++column) {
      const double r = std::hypot(row, column), angle = std::atan2(column, row);
      const double angular = sine ? std::sin(zero.order * angle) : std::cos(zero.order * angle);
      atom.push_back(
          r >= radius ? 0.0 : std::cyl_bessel_j(static_cast<double>(zero.order), zero.value * r / radius) * angular);
    }
  return atom;
}

}  // namespace

torch::Tensor fourier_bessel_atoms(int count, int size) {
  if (size < 3 || size > 11 || size % 2 == 0)
    throw UsageError("atom size is " + std::to_string(size) + ", an odd number from 3 to 11 is needed");
  if (count < 1 || count > size * size)
    throw UsageError("atoms is " + std::to_string(count) + ", 1 to " + std::to_string(size * size) +
                     " fit kernels of " + std::to_string(size) + "x" + std::to_string(size));

  constexpr size_t kPublished = 6;       // used as they are; later atoms are made orthogonal
  constexpr double kDependent = 1e-6;    // residual of a unit vector that adds nothing new
  std::vector<Grid> atoms, orthonormal;  // `orthonormal` spans the same space as `atoms`
  const auto add = [&](Grid atom) {
    if (static_cast<int>(atoms.size()) == count || dot(atom, atom) < kDependent * kDependent) return;
    scale_to_unit(atom);
    Grid residual = atom;
    for (int pass = 0; pass < 2; ++pass)  // twice is enough (Kahan)
      for (const Grid& other : orthonormal) {
        const double along = dot(residual, other);
        for (size_t i = 0; i < residual.size(); ++i) residual[i] -= along * other[i];
      }
    if (std::sqrt(dot(residual, residual)) < kDependent) return;
    scale_to_unit(residual);
    atoms.push_back(atoms.size() < kPublished ? atom : residual);
    orthonormal.push_back(residual);
  };
  const int max_order = 4 * size;  // more than enough for every point inside the disc
  for (const BesselZero& zero : bessel_zeros(max_order, 8.0 * size)) {
    if (static_cast<int>(atoms.size()) == count) break;
    add(sample(zero, size, /*sine=*/false));
    if (zero.order > 0) add(sample(zero, size, /*sine=*/true));
  }
  for (int pixel = 0; pixel < size * size; ++pixel) {  // from 5x5 on, the corners lie outside the disc
    Grid single(static_cast<size_t>(size) * size, 0.0);
    single[pixel] = 1;
    add(std::move(single));
  }
  TORCH_CHECK(static_cast<int>(atoms.size()) == count, "only ", atoms.size(), " independent atoms found");

  auto result = torch::empty({count, size, size}, torch::kDouble);
  for (int m = 0; m < count; ++m)
    std::copy(atoms[m].begin(), atoms[m].end(), result.data_ptr<double>() + m * size * size);
  return result;
}

}  // namespace fewatoms
