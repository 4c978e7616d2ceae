#pragma once

#include <cstdint>

// The inner loops of norm_relu_pool.cpp on plain memory: images are [n, h, w, c], channels innermost; pooled maps are
// [n, h/2, w/2, c] (rounded down). Each function exists for float and double and picks its instruction set at run time.
// Sums over pixels are kept in double, so that they do not depend on the image's size.

namespace fewatoms::loops {

struct Shape {
  int64_t n, h, w, c;
};

/// sum[c] and square_sum[c] over n*h*w, and of every 2x2 window the largest of sign[c] * x: its value in `pooled` and its
/// position 0..3 (row-major in the window) in `index`. sign is +1 or -1.
void stats_and_gather(Shape, const float* x, const float* sign, double* sum, double* square_sum, float* pooled, uint8_t* index);
void stats_and_gather(Shape, const double* x, const double* sign, double* sum, double* square_sum, double* pooled, uint8_t* index);

/// out = a[c] + b[c] * x, plus v at the position that `index` names in each window.
void scatter_affine(Shape, const float* x, const float* v, const uint8_t* index, const float* a, const float* b, float* out);
void scatter_affine(Shape, const double* x, const double* v, const uint8_t* index, const double* a, const double* b, double* out);

/// The backward pass of scatter_affine for the gradient u of its output: dv = u at the windows' positions,
/// da[c] = sum u, db[c] = sum u * x, dx = b[c] * u.
void scatter_affine_backward(Shape, const float* u, const float* x, const uint8_t* index, const float* b, float* dv, double* da,
                             double* db, float* dx);
void scatter_affine_backward(Shape, const double* u, const double* x, const uint8_t* index, const double* b, double* dv,
                             double* da, double* db, double* dx);

/// y = max(0, s[c] * p + t[c]) on [rows, c]. NaN stays NaN.
void affine_relu(int64_t rows, int64_t c, const float* p, const float* s, const float* t, float* y);
void affine_relu(int64_t rows, int64_t c, const double* p, const double* s, const double* t, double* y);

/// For the gradient g of y, where y > 0: gp = s[c] * g, gs[c] = sum g * p, gt[c] = sum g; zero elsewhere.
void affine_relu_backward(int64_t rows, int64_t c, const float* g, const float* p, const float* y, const float* s, float* gp,
                          double* gs, double* gt);
void affine_relu_backward(int64_t rows, int64_t c, const double* g, const double* p, const double* y, const double* s,
                          double* gp, double* gs, double* gt);

/// The backward pass of affine_relu_backward for the gradients up of gp, us[c] of gs, ut[c] of gt; where y > 0:
/// dg = s * up + us * p + ut, dp = us * g, ds[c] = sum up * g; zero elsewhere.
void affine_relu_double_backward(int64_t rows, int64_t c, const float* up, const float* us, const float* ut, const float* g,
                                 const float* p, const float* y, const float* s, float* dg, float* dp, double* ds);
void affine_relu_double_backward(int64_t rows, int64_t c, const double* up, const double* us, const double* ut,
                                 const double* g, const double* p, const double* y, const double* s, double* dg, double* dp,
                                 double* ds);

}  // namespace fewatoms::loops
