#pragma once

#include <torch/types.h>

namespace fewatoms {

/// Fourier-Bessel atoms [count, size, size], double, each of unit norm: the eigenfunctions of the Laplacian on the disc
/// of radius size/2, J_q(z_qn r / R) cos(q t) and sin(q t), sampled at the pixel centres, in the order of the zeros
/// z_qn (Qiu, Cheng, Calderbank, Sapiro 2018, "DCFNet", section 3.2). For 3x3 the first six are the published basis.
/// Atoms beyond the sixth are orthogonalised against all before; what depends on the earlier ones is skipped. From
/// 5x5 on, pixels outside the disc come last, each an atom of its own. So size*size atoms are a complete basis.
/// `size` odd, 3..11; `count` 1..size*size. Throws UsageError outside of these.
torch::Tensor fourier_bessel_atoms(int count, int size);

}  // namespace fewatoms
