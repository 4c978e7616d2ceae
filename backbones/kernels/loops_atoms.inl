// Atoms on maps: part of loops_level.cpp.

namespace fewatoms::loops {
namespace {

constexpr int kAtomBlock = kManyRegisters ? 6 : 3;  // pixels side by side
// Of them on top of each other: a row of maps is read (rows + 2) / rows times.
constexpr int kAtomRows = kManyRegisters ? 2 : 1;

/// Calls f(channels as a type, or Number<0>) with the usual widths known to the compiler, which then addresses pixels
/// by constants.
template <class F>
FEWATOMS_BODY void with_width(int64_t c, F&& f) {
  if (c == 32)
    f(Number<32>{});
  else if (c == 64)
    f(Number<64>{});
  else
    f(Number<0>{});
}

/// Calls f(first pixel, pixels as a type) over a row of w pixels.
template <class F>
FEWATOMS_BODY void for_pixel_blocks(int64_t w, F&& f) {
  int64_t x = 0;
  for (; x + kAtomBlock <= w; x += kAtomBlock) f(x, Number<kAtomBlock>{});
  for (; x + 3 <= w; x += 3) f(x, Number<3>{});
  for (; x < w; ++x) f(x, Number<1>{});
}

/// Calls f(image, first row, rows as a type) over [n, h].
template <class F>
FEWATOMS_BODY void for_row_blocks(const AtomShape& d, F&& f) {
  for (int64_t image = 0; image < d.n; ++image) {
    int64_t y = 0;
    for (; y + kAtomRows <= d.h; y += kAtomRows) f(image, y, Number<kAtomRows>{});
    for (; y < d.h; ++y) f(image, y, Number<1>{});
  }
}

/// Loads kPixels + 2 neighbouring pixels of kRows + 2 rows, one row after the other, and calls f(output row, tap,
/// pixels) for each output row and row of taps that reads them; `tap` is 3 times the latter. Asks for the rows that the
/// next rows of output will need: the maps are larger than the caches, and steps this long escape the processor's own
/// prefetching.
template <int kRows, int kPixels, bool kFull, class T, class F>
FEWATOMS_BODY void for_taps(const T* from, int64_t row, int64_t pixel, int64_t count, F&& f) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows + 2; ++r) {
    V<T> v[kPixels + 2];
#pragma GCC unroll 8
    for (int k = 0; k < kPixels + 2; ++k) v[k] = load<kFull>(from + r * row + k * pixel, count);
    if (r >= 2) {
#pragma GCC unroll 8
      for (int k = 0; k < kPixels; ++k) __builtin_prefetch(from + (r + kRows) * row + k * pixel, 0, 2);
    }
#pragma GCC unroll 2
    for (int o = 0; o < kRows; ++o)
      if (r - o >= 0 && r - o < 3) f(o, 3 * (r - o), v);
  }
}

template <int kWidth, class T>
void apply_atoms_of(AtomShape d, const T* maps, const T* psi, T* y_out) {
  const int64_t c = kWidth > 0 ? kWidth : d.c;
  const int64_t row = (d.w + 2) * c, plane = (d.h + 2) * row;
  for_row_blocks(d, [&](int64_t image, int64_t y, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    for (int64_t m = 0; m < d.atoms; ++m) {
      const T* from = maps + (image * d.atoms + m) * plane + y * row;
      T* to = y_out + (image * d.h + y) * d.w * c;
      const T* atom = psi + m * kAtomPixels;
      for_pixel_blocks(d.w, [&](int64_t x, auto pixels) {
        constexpr int kPixels = decltype(pixels)::value;
        for_registers<T>(c, [&](int64_t i, int64_t count, auto full) {
          constexpr bool kFull = decltype(full)::value;
          V<T> acc[kRows][kPixels] = {};
          const auto at = [&](int o, int k) { return to + (o * d.w + x + k) * c + i; };
          if (m > 0) {
#pragma GCC unroll 2
            for (int o = 0; o < kRows; ++o)
#pragma GCC unroll 8
              for (int k = 0; k < kPixels; ++k) acc[o][k] = load<kFull>(at(o, k), count);
          }
          for_taps<kRows, kPixels, kFull>(from + x * c + i, row, c, count, [&](int o, int tap, const auto& v) {
#pragma GCC unroll 3
            for (int tx = 0; tx < 3; ++tx)
#pragma GCC unroll 8
              for (int k = 0; k < kPixels; ++k) acc[o][k] += atom[tap + tx] * v[k + tx];
          });
#pragma GCC unroll 2
          for (int o = 0; o < kRows; ++o)
#pragma GCC unroll 8
            for (int k = 0; k < kPixels; ++k) store<kFull>(at(o, k), acc[o][k], count);
        });
      });
    }
  });
}
template <class T>
void apply_atoms(AtomShape d, const T* maps, const T* psi, T* y_out) {
  with_width(d.c, [&](auto width) { apply_atoms_of<decltype(width)::value>(d, maps, psi, y_out); });
}

template <int kWidth, class T>
void atoms_gradient_of(AtomShape d, const T* maps, const T* g, double* psi) {
  const int64_t c = kWidth > 0 ? kWidth : d.c;
  const int64_t row = (d.w + 2) * c, plane = (d.h + 2) * row, taps = d.atoms * kAtomPixels;
  constexpr int64_t kMostTaps = kAtomPixels * kAtomPixels;
  double lanes[kMostTaps * kLanes<T>];
  for (int64_t t = 0; t < taps * kLanes<T>; ++t) lanes[t] = 0;
  for_row_blocks(d, [&](int64_t image, int64_t y, auto rows) {
    constexpr int kRows = decltype(rows)::value;
    for (int64_t m = 0; m < d.atoms; ++m) {
      const T* from = maps + (image * d.atoms + m) * plane + y * row;
      const T* from_g = g + (image * d.h + y) * d.w * c;
      V<T> sums[kAtomPixels] = {};  // of these rows, over all channels
      for_pixel_blocks(d.w, [&](int64_t x, auto pixels) {
        constexpr int kPixels = decltype(pixels)::value;
        for_registers<T>(c, [&](int64_t i, int64_t count, auto full) {
          constexpr bool kFull = decltype(full)::value;
          V<T> vg[kRows][kPixels];
#pragma GCC unroll 2
          for (int o = 0; o < kRows; ++o)
#pragma GCC unroll 8
            for (int k = 0; k < kPixels; ++k) vg[o][k] = load<kFull>(from_g + (o * d.w + x + k) * c + i, count);
          V<T> acc[kAtomPixels] = {};
          for_taps<kRows, kPixels, kFull>(from + x * c + i, row, c, count, [&](int o, int tap, const auto& v) {
#pragma GCC unroll 8
            for (int k = 0; k < kPixels; ++k)
#pragma GCC unroll 3
              for (int tx = 0; tx < 3; ++tx) acc[tap + tx] += vg[o][k] * v[k + tx];
          });
#pragma GCC unroll 9
          for (int t = 0; t < kAtomPixels; ++t) sums[t] += acc[t];
        });
      });
#pragma GCC unroll 9
      for (int t = 0; t < kAtomPixels; ++t) add_to<true, T>(lanes + (m * kAtomPixels + t) * kLanes<T>, sums[t], 0);
    }
  });
  for (int64_t t = 0; t < taps; ++t) {
    psi[t] = 0;
    for (int64_t lane = 0; lane < kLanes<T>; ++lane) psi[t] += lanes[t * kLanes<T> + lane];
  }
}
template <class T>
void atoms_gradient(AtomShape d, const T* maps, const T* g, double* psi) {
  with_width(d.c, [&](auto width) { atoms_gradient_of<decltype(width)::value>(d, maps, g, psi); });
}

template <int kWidth, class T>
void maps_gradient_of(AtomShape d, int64_t pairs, const T* const* padded_g, const T* const* psi, T* maps) {
  const int64_t c = kWidth > 0 ? kWidth : d.c;
  const int64_t row = (d.w + 2) * c, plane = (d.h + 2) * row;
  const auto block = [&](int64_t image, int64_t y, int64_t x, auto pixels) {
    constexpr int kPixels = decltype(pixels)::value;
    const int64_t corner = (image * (d.h + 2) + y) * row + x * c;
    T* to = maps + image * d.atoms * plane + (y + 1) * row + (x + 1) * c;
    for_registers<T>(c, [&](int64_t i, int64_t count, auto full) {
      constexpr bool kFull = decltype(full)::value;
      const auto sum = [&](int64_t m, auto atoms) {
        constexpr int kAtoms = decltype(atoms)::value;
        V<T> acc[kAtoms][kPixels] = {};
        for (int64_t pair = 0; pair < pairs; ++pair)
          for (int ty = 0; ty < 3; ++ty) {
            const T* from = padded_g[pair] + corner + ty * row + i;
            const T* atom = psi[pair] + (m * 3 + 2 - ty) * 3;
            V<T> v[kPixels + 2];
#pragma GCC unroll 8
            for (int k = 0; k < kPixels + 2; ++k) v[k] = load<kFull>(from + k * c, count);
#pragma GCC unroll 3
            for (int tx = 0; tx < 3; ++tx)
#pragma GCC unroll 3
              for (int a = 0; a < kAtoms; ++a)
#pragma GCC unroll 8
                for (int k = 0; k < kPixels; ++k) acc[a][k] += atom[a * kAtomPixels + 2 - tx] * v[k + tx];
          }
#pragma GCC unroll 3
        for (int a = 0; a < kAtoms; ++a)
#pragma GCC unroll 8
          for (int k = 0; k < kPixels; ++k) store<kFull>(to + (m + a) * plane + k * c + i, acc[a][k], count);
      };
      constexpr int kAtOnce = kManyRegisters ? 3 : 2;
      int64_t m = 0;
      for (; m + kAtOnce <= d.atoms; m += kAtOnce) sum(m, Number<kAtOnce>{});
      for (; m < d.atoms; ++m) sum(m, Number<1>{});
    });
  };
  for (int64_t image = 0; image < d.n; ++image) {
    for (int64_t m = 0; m < d.atoms; ++m) {
      T* first = maps + (image * d.atoms + m) * plane;
      for (int64_t k = 0; k < row; ++k) first[k] = first[(d.h + 1) * row + k] = 0;
      for (int64_t y = 1; y <= d.h; ++y)
        for (int64_t k = 0; k < c; ++k) first[y * row + k] = first[y * row + (d.w + 1) * c + k] = 0;
    }
    for (int64_t y = 0; y < d.h; ++y)
      for_pixel_blocks(d.w, [&](int64_t x, auto pixels) { block(image, y, x, pixels); });
  }
}
template <class T>
void maps_gradient(AtomShape d, int64_t pairs, const T* const* padded_g, const T* const* psi, T* maps) {
  with_width(d.c, [&](auto width) { maps_gradient_of<decltype(width)::value>(d, pairs, padded_g, psi, maps); });
}

}  // namespace
}  // namespace fewatoms::loops
