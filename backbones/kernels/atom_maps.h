#pragma once

#include <torch/custom_class.h>
#include <torch/types.h>

namespace fewatoms {

/// A decomposed 3x3 convolution of a fixed input, ready for many sets of atoms. The mix by the coefficients commutes
/// with the atoms: y = sum_m psi[m] * (A[:, :, m] x). While only atoms change, the mixed maps A_m x stay, and a
/// convolution or its gradient by the atoms is 9 M multiply-adds per output number instead of 9 times the input
/// channels.
struct AtomMaps {
  torch::Tensor maps;  // [n, M, h+2, w+2, out], the border zero
  bool defined() const { return maps.defined(); }

  c10::intrusive_ptr<torch::CustomClassHolder> pending;  // gradients by the maps that have not been summed yet
};

/// x [n, in, h, w], coefficients [out, in, M]. In the graph of both; float or double.
AtomMaps make_atom_maps(const torch::Tensor& x, const torch::Tensor& coefficients);

/// The convolution with atoms [M, 3, 3], stride 1, padding 1: [n, out, h, w], channels last. Differentiable to any
/// order by atoms and, through the maps, by x and coefficients. The gradients by the maps of all convolutions of one
/// backward pass are summed in one sweep at its end: one backward pass through the maps per make_atom_maps.
torch::Tensor apply_atoms(const AtomMaps& maps, const torch::Tensor& atoms);

}  // namespace fewatoms
