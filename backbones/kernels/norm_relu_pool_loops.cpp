#include "backbones/kernels/norm_relu_pool_loops.h"

#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define FEWATOMS_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FEWATOMS_CLONES
#endif
#define FEWATOMS_BODY __attribute__((always_inline)) inline

namespace fewatoms::loops {
namespace {

template <typename T>
FEWATOMS_BODY void add_row(const T* __restrict row_sum, double* __restrict total, int64_t c) {
  for (int64_t i = 0; i < c; ++i) total[i] += static_cast<double>(row_sum[i]);
}

template <typename T>
FEWATOMS_BODY void stats_and_gather_body(Shape d, const T* __restrict x, const T* __restrict sign, double* __restrict sum,
                                         double* __restrict square_sum, T* __restrict pooled, uint8_t* __restrict index) {
  const int64_t c = d.c, row = d.w * c, half_w = d.w / 2;
  std::vector<T> sums(3 * c);
  T* __restrict s1 = sums.data();
  T* __restrict s2 = s1 + c;
  T* __restrict at = s2 + c;
  for (int64_t i = 0; i < c; ++i) sum[i] = square_sum[i] = 0;
  for (int64_t image = 0; image < d.n; ++image) {
    for (int64_t y = 0; y < d.h; ++y) {
      const T* __restrict line = x + (image * d.h + y) * row;
      for (int64_t i = 0; i < c; ++i) s1[i] = s2[i] = 0;
      for (int64_t k = 0; k < d.w; ++k)
        for (int64_t i = 0; i < c; ++i) {
          const T value = line[k * c + i];
          s1[i] += value;
          s2[i] += value * value;
        }
      add_row(s1, sum, c);
      add_row(s2, square_sum, c);
      if (y % 2 == 0) continue;
      const T* __restrict above = line - row;
      const int64_t out = (image * (d.h / 2) + y / 2) * half_w * c;
      for (int64_t k = 0; k < half_w; ++k) {
        const T* __restrict p0 = above + 2 * k * c;
        const T* __restrict p1 = line + 2 * k * c;
        T* __restrict value = pooled + out + k * c;
        uint8_t* __restrict where = index + out + k * c;
        for (int64_t i = 0; i < c; ++i) {
          const T g = sign[i];
          const T v0 = g * p0[i], v1 = g * p0[c + i], v2 = g * p1[i], v3 = g * p1[c + i];
          const T top = v1 > v0 ? v1 : v0, bottom = v3 > v2 ? v3 : v2;
          const T top_at = v1 > v0 ? T(1) : T(0), bottom_at = v3 > v2 ? T(3) : T(2);
          value[i] = g * (bottom > top ? bottom : top);
          at[i] = bottom > top ? bottom_at : top_at;  // positions as T: the compiler vectorises choices of one width
        }
        for (int64_t i = 0; i < c; ++i) where[i] = static_cast<uint8_t>(static_cast<int>(at[i]));
      }
    }
  }
}

template <typename T>
FEWATOMS_BODY void scatter_affine_body(Shape d, const T* __restrict x, const T* __restrict v, const uint8_t* __restrict index,
                                       const T* __restrict a, const T* __restrict b, T* __restrict out) {
  const int64_t c = d.c, row = d.w * c, half_w = d.w / 2, half_h = d.h / 2;
  for (int64_t image = 0; image < d.n; ++image)
    for (int64_t y = 0; y < d.h; ++y) {
      const int64_t line = (image * d.h + y) * row;
      const int64_t windows = y / 2 < half_h ? half_w : 0;
      const int64_t pooled = (image * half_h + y / 2) * half_w * c;
      const int at = y % 2 == 0 ? 0 : 2;
      for (int64_t k = 0; k < windows; ++k) {
        const T* __restrict from = x + line + 2 * k * c;
        T* __restrict to = out + line + 2 * k * c;
        const T* __restrict value = v + pooled + k * c;
        const uint8_t* __restrict where = index + pooled + k * c;
        for (int64_t i = 0; i < c; ++i) {
          to[i] = a[i] + b[i] * from[i] + (where[i] == at ? value[i] : T(0));
          to[c + i] = a[i] + b[i] * from[c + i] + (where[i] == at + 1 ? value[i] : T(0));
        }
      }
      for (int64_t k = 2 * windows; k < d.w; ++k)
        for (int64_t i = 0; i < c; ++i) out[line + k * c + i] = a[i] + b[i] * x[line + k * c + i];
    }
}

template <typename T>
FEWATOMS_BODY void scatter_affine_backward_body(Shape d, const T* __restrict u, const T* __restrict x,
                                                const uint8_t* __restrict index, const T* __restrict b, T* __restrict dv,
                                                double* __restrict da, double* __restrict db, T* __restrict dx) {
  const int64_t c = d.c, row = d.w * c, half_w = d.w / 2;
  std::vector<T> sums(2 * c);
  T* __restrict s1 = sums.data();
  T* __restrict s2 = s1 + c;
  for (int64_t i = 0; i < c; ++i) da[i] = db[i] = 0;
  for (int64_t image = 0; image < d.n; ++image)
    for (int64_t y = 0; y < d.h; ++y) {
      const int64_t line = (image * d.h + y) * row;
      for (int64_t i = 0; i < c; ++i) s1[i] = s2[i] = 0;
      for (int64_t k = 0; k < d.w; ++k) {
        const T* __restrict up = u + line + k * c;
        const T* __restrict xp = x + line + k * c;
        T* __restrict dp = dx + line + k * c;
        for (int64_t i = 0; i < c; ++i) {
          s1[i] += up[i];
          s2[i] += up[i] * xp[i];
          dp[i] = b[i] * up[i];
        }
      }
      add_row(s1, da, c);
      add_row(s2, db, c);
      if (y % 2 == 0) continue;
      const int64_t pooled = (image * (d.h / 2) + y / 2) * half_w * c;
      for (int64_t k = 0; k < half_w; ++k) {
        const T* __restrict p0 = u + line - row + 2 * k * c;
        const T* __restrict p1 = u + line + 2 * k * c;
        T* __restrict value = dv + pooled + k * c;
        const uint8_t* __restrict where = index + pooled + k * c;
        for (int64_t i = 0; i < c; ++i) {
          const T top = where[i] == 0 ? p0[i] : p0[c + i], bottom = where[i] == 2 ? p1[i] : p1[c + i];
          value[i] = where[i] < 2 ? top : bottom;
        }
      }
    }
}

template <typename T>
FEWATOMS_BODY void affine_relu_body(int64_t rows, int64_t c, const T* __restrict p, const T* __restrict s, const T* __restrict t,
                                    T* __restrict y) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < c; ++i) {
      const T z = s[i] * p[r * c + i] + t[i];
      y[r * c + i] = z < T(0) ? T(0) : z;
    }
}

constexpr int64_t kRowsPerSum = 64;  // rows summed in T before they join the double

template <typename T>
FEWATOMS_BODY void affine_relu_backward_body(int64_t rows, int64_t c, const T* __restrict g, const T* __restrict p,
                                             const T* __restrict y, const T* __restrict s, T* __restrict gp,
                                             double* __restrict gs, double* __restrict gt) {
  std::vector<T> sums(2 * c);
  T* __restrict s1 = sums.data();
  T* __restrict s2 = s1 + c;
  for (int64_t i = 0; i < c; ++i) gs[i] = gt[i] = 0;
  for (int64_t first = 0; first < rows; first += kRowsPerSum) {
    const int64_t last = first + kRowsPerSum < rows ? first + kRowsPerSum : rows;
    for (int64_t i = 0; i < c; ++i) s1[i] = s2[i] = 0;
    for (int64_t r = first; r < last; ++r)
      for (int64_t i = 0; i < c; ++i) {
        const T live = y[r * c + i] > T(0) ? g[r * c + i] : T(0);
        gp[r * c + i] = s[i] * live;
        s1[i] += live * p[r * c + i];
        s2[i] += live;
      }
    add_row(s1, gs, c);
    add_row(s2, gt, c);
  }
}

template <typename T>
FEWATOMS_BODY void affine_relu_double_backward_body(int64_t rows, int64_t c, const T* __restrict up, const T* __restrict us,
                                                    const T* __restrict ut, const T* __restrict g, const T* __restrict p,
                                                    const T* __restrict y, const T* __restrict s, T* __restrict dg,
                                                    T* __restrict dp, double* __restrict ds) {
  std::vector<T> sums(c);
  T* __restrict s1 = sums.data();
  for (int64_t i = 0; i < c; ++i) ds[i] = 0;
  for (int64_t first = 0; first < rows; first += kRowsPerSum) {
    const int64_t last = first + kRowsPerSum < rows ? first + kRowsPerSum : rows;
    for (int64_t i = 0; i < c; ++i) s1[i] = 0;
    for (int64_t r = first; r < last; ++r)
      for (int64_t i = 0; i < c; ++i) {
        const int64_t at = r * c + i;
        const T live = y[at] > T(0) ? T(1) : T(0);
        dg[at] = live * (s[i] * up[at] + us[i] * p[at] + ut[i]);
        dp[at] = live * us[i] * g[at];
        s1[i] += live * up[at] * g[at];
      }
    add_row(s1, ds, c);
  }
}

}  // namespace

#define FEWATOMS_INSTANTIATE(T)                                                                                               \
  FEWATOMS_CLONES void stats_and_gather(Shape d, const T* x, const T* sign, double* sum, double* square_sum, T* pooled,       \
                                        uint8_t* index) {                                                                     \
    stats_and_gather_body(d, x, sign, sum, square_sum, pooled, index);                                                        \
  }                                                                                                                           \
  FEWATOMS_CLONES void scatter_affine(Shape d, const T* x, const T* v, const uint8_t* index, const T* a, const T* b, T* out) { \
    scatter_affine_body(d, x, v, index, a, b, out);                                                                           \
  }                                                                                                                           \
  FEWATOMS_CLONES void scatter_affine_backward(Shape d, const T* u, const T* x, const uint8_t* index, const T* b, T* dv,      \
                                               double* da, double* db, T* dx) {                                               \
    scatter_affine_backward_body(d, u, x, index, b, dv, da, db, dx);                                                          \
  }                                                                                                                           \
  FEWATOMS_CLONES void affine_relu(int64_t rows, int64_t c, const T* p, const T* s, const T* t, T* y) {                       \
    affine_relu_body(rows, c, p, s, t, y);                                                                                    \
  }                                                                                                                           \
  FEWATOMS_CLONES void affine_relu_backward(int64_t rows, int64_t c, const T* g, const T* p, const T* y, const T* s, T* gp,   \
                                            double* gs, double* gt) {                                                         \
    affine_relu_backward_body(rows, c, g, p, y, s, gp, gs, gt);                                                               \
  }                                                                                                                           \
  FEWATOMS_CLONES void affine_relu_double_backward(int64_t rows, int64_t c, const T* up, const T* us, const T* ut, const T* g, \
                                                   const T* p, const T* y, const T* s, T* dg, T* dp, double* ds) {            \
    affine_relu_double_backward_body(rows, c, up, us, ut, g, p, y, s, dg, dp, ds);                                            \
  }

FEWATOMS_INSTANTIATE(float)
FEWATOMS_INSTANTIATE(double)

}  // namespace fewatoms::loops
