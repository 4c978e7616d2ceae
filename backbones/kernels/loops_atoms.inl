// Atoms on maps: part of loops_level.cpp.

namespace fewatoms::loops {
namespace {

constexpr int kAtomBlock = kManyRegisters ? 6 : 3;  // pixels side by side

/// Calls f(image, row, first pixel, pixels as a type) over [n, h, w].
template <class F>
FEWATOMS_BODY void for_pixel_blocks(const AtomShape& d, int64_t image, int64_t y, F&& f) {
  int64_t x = 0;
  for (; x + kAtomBlock <= d.w; x += kAtomBlock) f(image, y, x, Number<kAtomBlock>{});
  for (; x < d.w; ++x) f(image, y, x, Number<1>{});
}

/// Asks for numbers of kPixels pixels that the next row will need: steps this long escape the processor's own prefetching.
template <int kPixels, class T>
FEWATOMS_BODY void prefetch_pixels(const T* from, int64_t pixel) {
#pragma GCC unroll 8
  for (int k = 0; k < kPixels; ++k) __builtin_prefetch(from + k * pixel);
}

template <class T>
void apply_atoms(AtomShape d, const T* maps, const T* psi, T* y_out) {
  const int64_t pixel = d.atoms * d.c, row = (d.w + 2) * pixel;
  const auto block = [&](int64_t image, int64_t y, int64_t x, auto pixels) {
    constexpr int kPixels = decltype(pixels)::value;
    const T* corner = maps + (image * (d.h + 2) + y) * row + x * pixel;
    T* to = y_out + ((image * d.h + y) * d.w + x) * d.c;
    for_registers<T>(d.c, [&](int64_t i, int64_t count, auto full) {
      constexpr bool kFull = decltype(full)::value;
      V<T> acc[kPixels] = {};
      for (int64_t m = 0; m < d.atoms; ++m)
        for (int ty = 0; ty < 3; ++ty) {
          const T* from = corner + ty * row + m * d.c + i;
          const T* atom = psi + (m * 3 + ty) * 3;
          if (ty == 2) prefetch_pixels<kPixels>(from + row, pixel);
          V<T> v[kPixels + 2];
#pragma GCC unroll 8
          for (int k = 0; k < kPixels + 2; ++k) v[k] = load<kFull>(from + k * pixel, count);
#pragma GCC unroll 3
          for (int tx = 0; tx < 3; ++tx)
#pragma GCC unroll 8
            for (int k = 0; k < kPixels; ++k) acc[k] += atom[tx] * v[k + tx];
        }
#pragma GCC unroll 8
      for (int k = 0; k < kPixels; ++k) store<kFull>(to + k * d.c + i, acc[k], count);
    });
  };
  for (int64_t image = 0; image < d.n; ++image)
    for (int64_t y = 0; y < d.h; ++y) for_pixel_blocks(d, image, y, block);
}

template <class T>
void atoms_gradient(AtomShape d, const T* maps, const T* g, double* psi) {
  const int64_t pixel = d.atoms * d.c, row = (d.w + 2) * pixel, taps = d.atoms * kAtomPixels;
  constexpr int64_t kMostTaps = kAtomPixels * kAtomPixels;
  V<T> sums[kMostTaps];  // of one row of pixels, over all channels
  double lanes[kMostTaps * kLanes<T>];
  for (int64_t t = 0; t < taps * kLanes<T>; ++t) lanes[t] = 0;
  const auto block = [&](int64_t image, int64_t y, int64_t x, auto pixels) {
    constexpr int kPixels = decltype(pixels)::value;
    const T* corner = maps + (image * (d.h + 2) + y) * row + x * pixel;
    const T* from_g = g + ((image * d.h + y) * d.w + x) * d.c;
    for_registers<T>(d.c, [&](int64_t i, int64_t count, auto full) {
      constexpr bool kFull = decltype(full)::value;
      V<T> vg[kPixels];
#pragma GCC unroll 8
      for (int k = 0; k < kPixels; ++k) vg[k] = load<kFull>(from_g + k * d.c + i, count);
      for (int64_t m = 0; m < d.atoms; ++m)
        for (int ty = 0; ty < 3; ++ty) {
          const T* from = corner + ty * row + m * d.c + i;
          V<T>* sum = sums + (m * 3 + ty) * 3;
          if (ty == 2) prefetch_pixels<kPixels>(from + row, pixel);
          V<T> v[kPixels + 2];
#pragma GCC unroll 8
          for (int k = 0; k < kPixels + 2; ++k) v[k] = load<kFull>(from + k * pixel, count);
#pragma GCC unroll 3
          for (int tx = 0; tx < 3; ++tx) {
            V<T> acc = sum[tx];
#pragma GCC unroll 8
            for (int k = 0; k < kPixels; ++k) acc += vg[k] * v[k + tx];
            sum[tx] = acc;
          }
        }
    });
  };
  for (int64_t image = 0; image < d.n; ++image)
    for (int64_t y = 0; y < d.h; ++y) {
      for (int64_t t = 0; t < taps; ++t) sums[t] = V<T>{};
      for_pixel_blocks(d, image, y, block);
      for (int64_t t = 0; t < taps; ++t) add_to<true, T>(lanes + t * kLanes<T>, sums[t], 0);
    }
  for (int64_t t = 0; t < taps; ++t) {
    psi[t] = 0;
    for (int64_t lane = 0; lane < kLanes<T>; ++lane) psi[t] += lanes[t * kLanes<T> + lane];
  }
}

template <class T>
void maps_gradient(AtomShape d, int64_t pairs, const T* const* padded_g, const T* const* psi, T* maps) {
  const int64_t pixel = d.atoms * d.c, row = (d.w + 2) * pixel, g_row = (d.w + 2) * d.c;
  const auto block = [&](int64_t image, int64_t y, int64_t x, auto pixels) {
    constexpr int kPixels = decltype(pixels)::value;
    const int64_t corner = (image * (d.h + 2) + y) * g_row + x * d.c;
    T* to = maps + (image * (d.h + 2) + y + 1) * row + (x + 1) * pixel;
    for_registers<T>(d.c, [&](int64_t i, int64_t count, auto full) {
      constexpr bool kFull = decltype(full)::value;
      const auto sum = [&](int64_t m, auto atoms) {
        constexpr int kAtoms = decltype(atoms)::value;
        V<T> acc[kAtoms][kPixels] = {};
        for (int64_t pair = 0; pair < pairs; ++pair)
          for (int ty = 0; ty < 3; ++ty) {
            const T* from = padded_g[pair] + corner + ty * g_row + i;
            const T* atom = psi[pair] + (m * 3 + 2 - ty) * 3;
            V<T> v[kPixels + 2];
#pragma GCC unroll 8
            for (int k = 0; k < kPixels + 2; ++k) v[k] = load<kFull>(from + k * d.c, count);
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
          for (int k = 0; k < kPixels; ++k) store<kFull>(to + k * pixel + (m + a) * d.c + i, acc[a][k], count);
      };
      constexpr int kAtOnce = kManyRegisters ? 3 : 2;
      int64_t m = 0;
      for (; m + kAtOnce <= d.atoms; m += kAtOnce) sum(m, Number<kAtOnce>{});
      for (; m < d.atoms; ++m) sum(m, Number<1>{});
    });
  };
  for (int64_t image = 0; image < d.n; ++image) {
    T* first = maps + image * (d.h + 2) * row;
    for (int64_t k = 0; k < row; ++k) first[k] = first[(d.h + 1) * row + k] = 0;
    for (int64_t y = 0; y < d.h; ++y) {
      T* line = first + (y + 1) * row;
      for (int64_t k = 0; k < pixel; ++k) line[k] = line[(d.w + 1) * pixel + k] = 0;
      for_pixel_blocks(d, image, y, block);
    }
  }
}

}  // namespace
}  // namespace fewatoms::loops
