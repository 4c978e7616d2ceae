#pragma once

#include <cstdint>
#include <string>
#include <vector>

// The inner loops of the kernels on plain memory. They are compiled once per instruction set (loops_level.cpp) and
// chosen at run time. Images are [n, h, w, c], channels innermost; pooled maps are [n, h/2, w/2, c] (rounded down).
// Sums over pixels leave as double, so that they do not depend on the image's size.

namespace fewatoms::loops {

struct Shape {
  int64_t n, h, w, c;
};

/// The stem: 3x3 convolution of images that have few channels. `padded` images are [n, h+2, w+2, in], zeros around.
struct StemShape {
  int64_t n, h, w, in, out;
  int64_t taps() const { return 9 * in; }
};

/// Atoms on maps: y [n, h, w, c] from maps [n, atoms, h+2, w+2, c] whose border is zero.
struct AtomShape {
  int64_t n, h, w, atoms, c;
};

constexpr int64_t kLeastChannels = 16;  // the widest register's

/// 3x3 convolution, stride 1, zero padding 1: x [n, h, w, in] to y [n, h, w, out]; in and out are kLeastChannels or
/// more. It is computed in tiles of 2x2 outputs, some rows of tiles at a time.
struct ConvShape {
  int64_t n, h, w, in, out;

  int64_t tile_rows_at_once() const {
    const int64_t tiles = (w + 1) / 2, wanted = 2048 / (in < out ? out : in);  // their 16 parts fit the second cache
    return wanted > tiles ? wanted / tiles : 1;
  }
  int64_t tiles_at_once() const { return tile_rows_at_once() * ((w + 1) / 2); }
  int64_t kernel_numbers() const { return 16 * in * out; }  // of a transformed kernel
  int64_t scratch_numbers() const { return w * in + 16 * tiles_at_once() * (in + out); }
};
constexpr int64_t kAtomPixels = 9;  // 3x3

/// One instruction set's loops on float or double.
template <class T>
struct Loops {
  // ---- Norm, ReLU, pool (norm_relu_pool.cpp).

  /// sum[c] and square_sum[c] over n*h*w, and of every 2x2 window the largest of sign[c] * x: its value in `pooled` and
  /// its position 0..3 (row-major in the window) in `index`. sign is +1 or -1.
  void (*stats_and_gather)(Shape, const T* x, const T* sign, double* sum, double* square_sum, T* pooled,
                           uint8_t* index);
  /// sum[c] = sum of x - pivot and square_sum[c] = sum of (x - pivot)^2 on [rows, c].
  void (*sums_about)(int64_t rows, int64_t c, const T* x, const T* pivot, double* sum, double* square_sum);
  /// out = a[c] + b[c] * x, plus bu[c] * u unless u is null, plus v at the position that `index` names in each window.
  void (*scatter_affine)(Shape, const T* x, const T* v, const uint8_t* index, const T* a, const T* b, const T* u,
                         const T* bu, T* out);
  /// Of u its elements at the windows' positions, taken[n, h/2, w/2, c], and sum[c] = sum u, product[c] = sum u * x.
  void (*gather_sums)(Shape, const T* u, const T* x, const uint8_t* index, T* taken, double* sum, double* product);
  /// y = max(0, s[c] * p + t[c]) on [rows, c]. NaN stays NaN.
  void (*affine_relu)(int64_t rows, int64_t c, const T* p, const T* s, const T* t, T* y);
  /// For the gradient g of y, where y > 0: gp = s[c] * g, gs[c] = sum g * p, gt[c] = sum g; zero elsewhere.
  void (*affine_relu_backward)(int64_t rows, int64_t c, const T* g, const T* p, const T* y, const T* s, T* gp,
                               double* gs, double* gt);
  /// The backward pass of affine_relu_backward for the gradients up of gp, us[c] of gs, ut[c] of gt; where y > 0:
  /// dg = s * up + us * p + ut, dp = us * g, ds[c] = sum up * g; zero elsewhere.
  void (*affine_relu_double_backward)(int64_t rows, int64_t c, const T* up, const T* us, const T* ut, const T* g,
                                      const T* p, const T* y, const T* s, T* dg, T* dp, double* ds);

  // ---- Stem (stem.cpp), in = 1 or 3. Kernels are [taps, out]: row, column and input channel of the tap, output
  // channel innermost; `out` is kLeastChannels or more.

  /// For one row of a padded image, w positions of a patch's row of 3*in numbers: their sums [3*in], and the products
  /// [delta][3*in][3*in] of this row's with those of the row `delta` below, delta < deltas <= 3, summed over positions.
  /// Reads up to kLeastChannels numbers beyond the row.
  void (*patch_row_products)(int64_t w, int64_t in, int64_t deltas, const T* row, int64_t row_stride, double* sums,
                             double* products);
  /// Of every 2x2 window of the convolution the largest of sign[out] * z, and its position, as stats_and_gather.
  void (*stem_extremes)(StemShape, const T* padded, const T* kernel, const T* sign, T* pooled, uint8_t* index);
  /// The convolution at the positions that `index` names.
  void (*stem_at)(StemShape, const T* padded, const T* kernel, const uint8_t* index, T* pooled);
  /// Its gradient by the kernel [taps, out] from the gradient g of `pooled`.
  void (*stem_kernel_gradient)(StemShape, const T* padded, const uint8_t* index, const T* g, double* kernel);

  // ---- Convolution by minimal filtering (conv2d.cpp). Kernels are transformed before: [16, in, out]. `scratch` has
  // scratch_numbers().

  /// y from x.
  void (*winograd)(ConvShape, const T* x, const T* kernel, T* y, T* scratch);
  /// The gradient by the transformed kernel from the gradient g of y.
  void (*winograd_kernel_gradient)(ConvShape, const T* x, const T* g, T* kernel, T* scratch);
  /// Kernels k[i, j, tap] = from[i * i_stride + j * j_stride + tap], or [.. + 8 - tap] with `flip`, transformed: to
  /// [16, is, js]; js is kLeastChannels or more.
  void (*winograd_kernel)(int64_t is, int64_t js, const T* from, int64_t i_stride, int64_t j_stride, bool flip, T* to);
  /// Its adjoint, without flip: the gradient by k from the one by the transformed kernel.
  void (*winograd_kernel_adjoint)(int64_t is, int64_t js, const T* from, T* to, int64_t i_stride, int64_t j_stride);

  /// c[i, j] = sum over k < depth of a[i * a_row + k * a_step] * b[k * b_step + j], added to c with `add`; columns, the
  /// number of js, is kLeastChannels or more.
  void (*multiply)(int64_t rows, int64_t columns, int64_t depth, const T* a, int64_t a_row, int64_t a_step, const T* b,
                   int64_t b_step, T* c, int64_t c_row, bool add);

  // ---- Atoms on maps (atom_maps.cpp). psi [atoms, 3, 3].

  /// y[p] = sum over m and taps t of psi[m, t] * maps[m, p + t].
  void (*apply_atoms)(AtomShape, const T* maps, const T* psi, T* y);
  /// psi[m, t] = sum over p and channels of g[p] * maps[m, p + t].
  void (*atoms_gradient)(AtomShape, const T* maps, const T* g, double* psi);
  /// maps[m, p] = sum over pairs (g, psi) and t of psi[m, t] * g[p - t], its border zero. Each g is padded by one pixel
  /// of zeros: [n, h+2, w+2, c].
  void (*maps_gradient)(AtomShape, int64_t pairs, const T* const* padded_g, const T* const* psi, T* maps);
};

/// The best loops that the processor can run; FEWATOMS_CPU_LEVEL=baseline|avx2|avx512 (x86-64) or baseline|neon
/// (aarch64) in the environment, read at the first call, asks for less. Throws std::runtime_error on another name or on
/// one that the processor lacks.
template <class T>
const Loops<T>& loops();

/// The names of the levels that this processor can run, least first.
std::vector<std::string> available_levels();
/// The level in use.
std::string level();
/// Changes the level in use (for tests and measurements; not while loops run). Throws as above.
void set_level(const std::string& name);

}  // namespace fewatoms::loops
