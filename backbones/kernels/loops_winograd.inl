// 3x3 convolution by minimal filtering, F(2x2, 3x3) (Winograd 1980; Lavin, Gray 2016, section 4.1): part of
// loops_level.cpp.

namespace fewatoms::loops {
namespace {

/// One row of 4x4 tiles of x: out[e][tile][channels] = (B^T d B)_e, e = 4 row + column, tiles 2 pixels apart, zeros
/// around the image. `out` is at the row's first tile, its 16 parts `part` numbers apart; `zeros` has w * channels
/// zeros.
template <class T>
FEWATOMS_BODY void input_tiles(int64_t h, int64_t w, int64_t channels, const T* image, int64_t tile_row, const T* zeros,
                               T* out, int64_t part) {
  const int64_t tiles = (w + 1) / 2;
  const T* lines[4];
  for (int k = 0; k < 4; ++k) {
    const int64_t y = 2 * tile_row - 1 + k;
    lines[k] = y < 0 || y >= h ? zeros : image + y * w * channels;
  }
  for_whole_registers<T>(channels, [&](int64_t i) {
    const auto column = [&](int64_t x, V<T>(&t)[4]) {
      if (x < 0 || x >= w) {
        for (auto& v : t) v = V<T>{};
        return;
      }
      const int64_t at = x * channels + i;
      const V<T> d0 = load<true>(lines[0] + at, 0), d1 = load<true>(lines[1] + at, 0),
                 d2 = load<true>(lines[2] + at, 0), d3 = load<true>(lines[3] + at, 0);
      t[0] = d0 - d2;
      t[1] = d1 + d2;
      t[2] = d2 - d1;
      t[3] = d1 - d3;
    };
    V<T> a[4], b[4], c[4], d[4];
    column(-1, a);
    column(0, b);
    T* to = out + i;
    for (int64_t tile = 0; tile < tiles; ++tile, to += channels) {
      column(2 * tile + 1, c);
      column(2 * tile + 2, d);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        store<true>(to + (4 * r) * part, a[r] - c[r], 0);
        store<true>(to + (4 * r + 1) * part, b[r] + c[r], 0);
        store<true>(to + (4 * r + 2) * part, c[r] - b[r], 0);
        store<true>(to + (4 * r + 3) * part, b[r] - d[r], 0);
        a[r] = c[r];
        b[r] = d[r];
      }
    }
  });
}

/// One row of 2x2 tiles of y: y = A^T m A for m[e][tile][channels].
template <class T>
FEWATOMS_BODY void output_tiles(int64_t h, int64_t w, int64_t channels, const T* m, int64_t part, int64_t tile_row,
                                T* image) {
  const int64_t tiles = (w + 1) / 2, row = w * channels;
  const bool two_rows = 2 * tile_row + 1 < h;
  for_whole_registers<T>(channels, [&](int64_t i) {
    const T* from = m + i;
    T* to = image + 2 * tile_row * row + i;
    for (int64_t tile = 0; tile < tiles; ++tile, from += channels, to += 2 * channels) {
      V<T> top[4], bottom[4];
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        const V<T> m0 = load<true>(from + q * part, 0), m1 = load<true>(from + (4 + q) * part, 0),
                   m2 = load<true>(from + (8 + q) * part, 0), m3 = load<true>(from + (12 + q) * part, 0);
        top[q] = m0 + m1 + m2;
        bottom[q] = m1 - m2 - m3;
      }
      const bool two_columns = 2 * tile + 1 < w;
      store<true>(to, top[0] + top[1] + top[2], 0);
      if (two_columns) store<true>(to + channels, top[1] - top[2] - top[3], 0);
      if (!two_rows) continue;
      store<true>(to + row, bottom[0] + bottom[1] + bottom[2], 0);
      if (two_columns) store<true>(to + row + channels, bottom[1] - bottom[2] - bottom[3], 0);
    }
  });
}

/// The adjoint of output_tiles: out[e][tile][channels] = (A g A^T)_e.
template <class T>
FEWATOMS_BODY void gradient_tiles(int64_t h, int64_t w, int64_t channels, const T* image, int64_t tile_row, T* out,
                                  int64_t part) {
  const int64_t tiles = (w + 1) / 2, row = w * channels;
  const bool two_rows = 2 * tile_row + 1 < h;
  for_whole_registers<T>(channels, [&](int64_t i) {
    const T* from = image + 2 * tile_row * row + i;
    T* to = out + i;
    for (int64_t tile = 0; tile < tiles; ++tile, from += 2 * channels, to += channels) {
      const bool two_columns = 2 * tile + 1 < w;
      const V<T> zero{};
      const V<T> g[2][2] = {{load<true>(from, 0), two_columns ? load<true>(from + channels, 0) : zero},
                            {two_rows ? load<true>(from + row, 0) : zero,
                             two_rows && two_columns ? load<true>(from + row + channels, 0) : zero}};
      V<T> t[4][2];
#pragma GCC unroll 2
      for (int q = 0; q < 2; ++q) {
        t[0][q] = g[0][q];
        t[1][q] = g[0][q] + g[1][q];
        t[2][q] = g[0][q] - g[1][q];
        t[3][q] = -g[1][q];
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        store<true>(to + (4 * r) * part, t[r][0], 0);
        store<true>(to + (4 * r + 1) * part, t[r][0] + t[r][1], 0);
        store<true>(to + (4 * r + 2) * part, t[r][0] - t[r][1], 0);
        store<true>(to + (4 * r + 3) * part, -t[r][1], 0);
      }
    }
  });
}

/// c[i, j] (+)= sum over k < depth of a[i * a_row + k * a_step] * b[k * b_step + j], in registers throughout. Without
/// kFull the columns are one register's first `count`; more than these are read of every row of b but the last, and of
/// no use.
template <int kRows, int kRegisters, bool kFull, class T>
FEWATOMS_BODY void multiply_block(int64_t depth, const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_step,
                                  T* c, int64_t c_row, bool add, int64_t count) {
  V<T> acc[kRows][kRegisters] = {};
  if (add) {
#pragma GCC unroll 14
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int r = 0; r < kRegisters; ++r) acc[i][r] = load<kFull>(c + i * c_row + r * kLanes<T>, count);
  }
  const auto add_products = [&](int64_t k, auto whole) __attribute__((always_inline)) {
    V<T> v[kRegisters];
#pragma GCC unroll 2
    for (int r = 0; r < kRegisters; ++r) v[r] = load<decltype(whole)::value>(b + k * b_step + r * kLanes<T>, count);
#pragma GCC unroll 14
    for (int i = 0; i < kRows; ++i) {
      const T x = a[i * a_row + k * a_step];
#pragma GCC unroll 2
      for (int r = 0; r < kRegisters; ++r) acc[i][r] += x * v[r];
    }
  };
  const int64_t whole = kFull ? depth : depth - 1;
  for (int64_t k = 0; k < whole; ++k) add_products(k, Number<1>{});
  if constexpr (!kFull) add_products(whole, Number<0>{});
#pragma GCC unroll 14
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
    for (int r = 0; r < kRegisters; ++r) store<kFull>(c + i * c_row + r * kLanes<T>, acc[i][r], count);
}

constexpr int kMostRows = kManyRegisters ? 14 : 6;

/// multiply_block of `rows` <= kMost rows.
template <int kRegisters, bool kFull, int kMost, class T, class... Arguments>
FEWATOMS_BODY void multiply_rows(int64_t rows, Arguments... arguments) {
  if constexpr (kMost > 0) {
    if (rows == kMost) return multiply_block<kMost, kRegisters, kFull, T>(arguments...);
    multiply_rows<kRegisters, kFull, kMost - 1, T>(rows, arguments...);
  }
}

/// multiply_block of any number of rows, and of a register's columns or more.
template <class T>
void multiply(int64_t rows, int64_t columns, int64_t depth, const T* a, int64_t a_row, int64_t a_step, const T* b,
              int64_t b_step, T* c, int64_t c_row, bool add) {
  const int64_t blocks = (rows + kMostRows - 1) / kMostRows;
  int64_t j = 0;
  const auto column_block = [&](auto registers, auto full) {
    constexpr int kRegisters = decltype(registers)::value;
    for (int64_t block = 0; block < blocks; ++block) {  // of nearly equal size
      const int64_t first = rows * block / blocks, count = rows * (block + 1) / blocks - first;
      multiply_rows<kRegisters, decltype(full)::value, kMostRows, T>(count, depth, a + first * a_row, a_row, a_step,
                                                                     b + j, b_step, c + first * c_row + j, c_row, add,
                                                                     columns - j);
    }
    j += kRegisters * kLanes<T>;
  };
  while (j + 2 * kLanes<T> <= columns) column_block(Number<2>{}, Number<1>{});
  if (j + kLanes<T> <= columns) column_block(Number<1>{}, Number<1>{});
  if (j < columns) column_block(Number<1>{}, Number<0>{});
}

/// Calls f(first row of tiles, number of rows) over all n * ceil(h/2) of them, about kTilesAtOnce tiles at a time.
template <class F>
FEWATOMS_BODY void for_tile_rows(const ConvShape& d, F&& f) {
  const int64_t rows = d.n * ((d.h + 1) / 2), at_once = d.tile_rows_at_once();
  for (int64_t first = 0; first < rows; first += at_once) f(first, rows - first < at_once ? rows - first : at_once);
}

template <class T>
void winograd(ConvShape d, const T* x, const T* kernel, T* y, T* scratch) {
  const int64_t tile_rows = (d.h + 1) / 2, tiles = (d.w + 1) / 2;
  T* zeros = scratch;
  for (int64_t i = 0; i < d.w * d.in; ++i) zeros[i] = 0;
  T* in_tiles = zeros + d.w * d.in;
  T* out_tiles = in_tiles + 16 * d.tiles_at_once() * d.in;
  for_tile_rows(d, [&](int64_t first, int64_t count) {
    const int64_t all = count * tiles, in_part = all * d.in, out_part = all * d.out;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t image = (first + k) / tile_rows, row = (first + k) % tile_rows;
      input_tiles(d.h, d.w, d.in, x + image * d.h * d.w * d.in, row, zeros, in_tiles + k * tiles * d.in, in_part);
    }
    for (int e = 0; e < 16; ++e)
      multiply(all, d.out, d.in, in_tiles + e * in_part, d.in, int64_t{1}, kernel + e * d.in * d.out, d.out,
               out_tiles + e * out_part, d.out, false);
    for (int64_t k = 0; k < count; ++k) {
      const int64_t image = (first + k) / tile_rows, row = (first + k) % tile_rows;
      output_tiles(d.h, d.w, d.out, out_tiles + k * tiles * d.out, out_part, row, y + image * d.h * d.w * d.out);
    }
  });
}

template <class T>
void winograd_kernel_gradient(ConvShape d, const T* x, const T* g, T* kernel, T* scratch) {
  const int64_t tile_rows = (d.h + 1) / 2, tiles = (d.w + 1) / 2;
  T* zeros = scratch;
  for (int64_t i = 0; i < d.w * d.in; ++i) zeros[i] = 0;
  T* in_tiles = zeros + d.w * d.in;
  T* out_tiles = in_tiles + 16 * d.tiles_at_once() * d.in;
  for_tile_rows(d, [&](int64_t first, int64_t count) {
    const int64_t all = count * tiles, in_part = all * d.in, out_part = all * d.out;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t image = (first + k) / tile_rows, row = (first + k) % tile_rows;
      input_tiles(d.h, d.w, d.in, x + image * d.h * d.w * d.in, row, zeros, in_tiles + k * tiles * d.in, in_part);
      gradient_tiles(d.h, d.w, d.out, g + image * d.h * d.w * d.out, row, out_tiles + k * tiles * d.out, out_part);
    }
    for (int e = 0; e < 16; ++e)
      multiply(d.in, d.out, all, in_tiles + e * in_part, int64_t{1}, d.in, out_tiles + e * out_part, d.out,
               kernel + e * d.in * d.out, d.out, first > 0);
  });
}

/// G k G^T of kernels k[a, b, tap] = from[a * a_stride + b * b_stride + tap] (turned by half a turn with `flip`):
/// [16][a][b].
template <class T>
void winograd_kernel(int64_t a, int64_t b, const T* from, int64_t a_stride, int64_t b_stride, bool flip, T* to) {
  const T half = T(0.5);
  for (int64_t i = 0; i < a; ++i)
    for_whole_registers<T>(b, [&](int64_t j) {
      T taps[9][kLanes<T>];
      for (int64_t lane = 0; lane < kLanes<T>; ++lane) {
        const T* k = from + i * a_stride + (j + lane) * b_stride;
        for (int t = 0; t < 9; ++t) taps[t][lane] = k[flip ? 8 - t : t];
      }
      V<T> rows[4][3];
#pragma GCC unroll 3
      for (int q = 0; q < 3; ++q) {
        const V<T> k0 = load<true>(taps[q], 0), k1 = load<true>(taps[3 + q], 0), k2 = load<true>(taps[6 + q], 0);
        rows[0][q] = k0;
        rows[1][q] = half * (k0 + k1 + k2);
        rows[2][q] = half * (k0 - k1 + k2);
        rows[3][q] = k2;
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
        T* part = to + 4 * r * a * b + i * b + j;
        store<true>(part, rows[r][0], 0);
        store<true>(part + a * b, half * (rows[r][0] + rows[r][1] + rows[r][2]), 0);
        store<true>(part + 2 * a * b, half * (rows[r][0] - rows[r][1] + rows[r][2]), 0);
        store<true>(part + 3 * a * b, rows[r][2], 0);
      }
    });
}

/// The adjoint of winograd_kernel, without flip: to[a * a_stride + b * b_stride + tap] = (G^T u G)_tap.
template <class T>
void winograd_kernel_adjoint(int64_t a, int64_t b, const T* from, T* to, int64_t a_stride, int64_t b_stride) {
  const T half = T(0.5);
  for (int64_t i = 0; i < a; ++i)
    for_whole_registers<T>(b, [&](int64_t j) {
      V<T> rows[3][4];
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        V<T> u[4];
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r) u[r] = load<true>(from + (4 * r + q) * a * b + i * b + j, 0);
        const V<T> sum = half * (u[1] + u[2]);
        rows[0][q] = u[0] + sum;
        rows[1][q] = half * (u[1] - u[2]);
        rows[2][q] = sum + u[3];
      }
      T taps[9][kLanes<T>];
#pragma GCC unroll 3
      for (int r = 0; r < 3; ++r) {
        const V<T> sum = half * (rows[r][1] + rows[r][2]);
        store<true>(taps[3 * r], rows[r][0] + sum, 0);
        store<true>(taps[3 * r + 1], half * (rows[r][1] - rows[r][2]), 0);
        store<true>(taps[3 * r + 2], sum + rows[r][3], 0);
      }
      for (int64_t lane = 0; lane < kLanes<T>; ++lane)
        for (int t = 0; t < 9; ++t) to[i * a_stride + (j + lane) * b_stride + t] = taps[t][lane];
    });
}

}  // namespace
}  // namespace fewatoms::loops
