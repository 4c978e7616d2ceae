// The stem's convolution and pooling in one pass: part of loops_level.cpp.

namespace fewatoms::loops {
namespace {

/// Calls f(number of input channels as a type).
template <class F>
FEWATOMS_BODY void with_channels(int64_t in, F&& f) {
  if (in == 1)
    f(Number<1>{});
  else
    f(Number<3>{});
}

template <class T>
void patch_row_products(int64_t w, int64_t in, int64_t deltas, const T* row, int64_t row_stride, double* sums,
                        double* products) {
  with_channels(in, [&](auto number) {
    constexpr int kIn = decltype(number)::value, kFeatures = 3 * kIn;  // of one row of a patch; they lie side by side
    for (int i = 0; i < 3 * kFeatures * kFeatures; ++i) products[i] = 0;
    for (int i = 0; i < kFeatures; ++i) sums[i] = 0;
    for (int j = 0; j < kFeatures; j += kLanes<T>) {
      const int64_t count = kFeatures - j < kLanes<T> ? kFeatures - j : kLanes<T>;  // lanes beyond hold other pixels
      V<T> sum{};
      for (int64_t x = 0; x < w; ++x) sum += load<true>(row + x * kIn + j, 0);
      add_to<false, T>(sums + j, sum, count);
      for (int64_t delta = 0; delta < deltas; ++delta) {
        const T* other = row + delta * row_stride + j;
        V<T> acc[kFeatures] = {};
        for (int64_t x = 0; x < w; ++x) {
          const V<T> v = load<true>(other + x * kIn, 0);
#pragma GCC unroll 9
          for (int k = 0; k < kFeatures; ++k) acc[k] += row[x * kIn + k] * v;
        }
#pragma GCC unroll 9
        for (int k = 0; k < kFeatures; ++k)
          add_to<false, T>(products + (delta * kFeatures + k) * kFeatures + j, acc[k], count);
      }
    }
  });
}

/// The four values of the convolution in each of kWindows neighbouring windows, for kRegisters registers of channels.
/// `corner` is the first window's first pixel in the padded image; kernel is at the first channel.
template <int kIn, int kWindows, int kRegisters, class T>
FEWATOMS_BODY void convolve_windows(const T* corner, int64_t row_stride, const T* kernel, int64_t out,
                                    V<T> (&z)[kWindows][4][kRegisters]) {
  for (auto& window : z)
    for (auto& position : window)
      for (auto& v : position) v = V<T>{};
  for (int ky = 0; ky < 3; ++ky) {
    const T* top = corner + ky * row_stride;
#pragma GCC unroll 9
    for (int k = 0; k < 3 * kIn; ++k) {
      V<T> weight[kRegisters];
#pragma GCC unroll 4
      for (int r = 0; r < kRegisters; ++r) weight[r] = load<true>(kernel + (ky * 3 * kIn + k) * out + r * kLanes<T>, 0);
#pragma GCC unroll 4
      for (int window = 0; window < kWindows; ++window)
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          const T x = top[(j / 2) * row_stride + (2 * window + j % 2) * kIn + k];
#pragma GCC unroll 4
          for (int r = 0; r < kRegisters; ++r) z[window][j][r] += x * weight[r];
        }
    }
  }
}

/// Calls f(row of windows, pixel of the padded image, first window, number) over all windows; number is a type.
template <int kIn, class T, class F>
FEWATOMS_BODY void for_windows(const StemShape& d, const T* padded, F&& f) {
  constexpr int kWindows = kManyRegisters ? 2 : 1;
  const int64_t half_h = d.h / 2, half_w = d.w / 2, stride = (d.w + 2) * kIn;
  for (int64_t row = 0; row < d.n * half_h; ++row) {
    const T* line = padded + (row / half_h * (d.h + 2) + row % half_h * 2) * stride;
    int64_t k = 0;
    for (; k + kWindows <= half_w; k += kWindows) f(line + 2 * k * kIn, (row * half_w + k) * d.out, Number<kWindows>{});
    for (; k < half_w; ++k) f(line + 2 * k * kIn, (row * half_w + k) * d.out, Number<1>{});
  }
}

/// Calls finish(values of a window, register, place in the pooled map) for all windows of the convolution.
template <int kIn, class T, class F>
FEWATOMS_BODY void convolve_stem(const StemShape& d, const T* padded, const T* kernel, F&& finish) {
  const int64_t stride = (d.w + 2) * kIn, lanes = kLanes<T>;
  for_windows<kIn>(d, padded, [&](const T* corner, int64_t place, auto number) {
    constexpr int kWindows = decltype(number)::value;
    const auto block = [&](int64_t i, auto registers) {
      constexpr int kRegisters = decltype(registers)::value;
      V<T> z[kWindows][4][kRegisters];
      convolve_windows<kIn, kWindows, kRegisters>(corner, stride, kernel + i, d.out, z);
      for (int window = 0; window < kWindows; ++window)
        for (int r = 0; r < kRegisters; ++r) {
          const V<T> values[4] = {z[window][0][r], z[window][1][r], z[window][2][r], z[window][3][r]};
          finish(values, i + r * lanes, place + window * d.out + i + r * lanes);
        }
    };
    int64_t i = 0;
    for (; i + 2 * lanes <= d.out; i += 2 * lanes) block(i, Number<2>{});
    for (; i < d.out; i += lanes) block(whole_register<T>(i, d.out), Number<1>{});
  });
}

template <class T>
void stem_extremes(StemShape d, const T* padded, const T* kernel, const T* sign, T* pooled, uint8_t* index) {
  with_channels(d.in, [&](auto in) {
    convolve_stem<decltype(in)::value>(d, padded, kernel, [&](const V<T>(&z)[4], int64_t i, int64_t place) {
      const V<T> g = load<true>(sign + i, 0);
      V<T> value;
      Mask<T> at;
      largest<T>({g * z[0], g * z[1], g * z[2], g * z[3]}, value, at);
      store<true>(pooled + place, g * value, 0);
      store_index<true, T>(index + place, at, 0);
    });
  });
}

template <class T>
void stem_at(StemShape d, const T* padded, const T* kernel, const uint8_t* index, T* pooled) {
  with_channels(d.in, [&](auto in) {
    convolve_stem<decltype(in)::value>(d, padded, kernel, [&](const V<T>(&z)[4], int64_t, int64_t place) {
      const Mask<T> at = load_index<true, T>(index + place, 0);
      const V<T> top = at == 1 ? z[1] : z[0], bottom = at == 3 ? z[3] : z[2];
      store<true>(pooled + place, at >= 2 ? bottom : top, 0);
    });
  });
}

template <class T>
void stem_kernel_gradient(StemShape d, const T* padded, const uint8_t* index, const T* g, double* kernel) {
  for (int64_t i = 0; i < d.taps() * d.out; ++i) kernel[i] = 0;
  with_channels(d.in, [&](auto in) {
    constexpr int kIn = decltype(in)::value, kTaps = 9 * kIn, kRows = kManyRegisters ? 3 : 1;  // rows of taps at a time
    const int64_t half_h = d.h / 2, half_w = d.w / 2, stride = (d.w + 2) * kIn;
    for (int64_t row = 0; row < d.n * half_h; ++row) {
      const T* line = padded + (row / half_h * (d.h + 2) + row % half_h * 2) * stride;
      for (int64_t first = 0; first < d.out; first += kLanes<T>) {
        const int64_t i = whole_register<T>(first, d.out);
        for (int ky0 = 0; ky0 < 3; ky0 += kRows) {
          constexpr int kAcc = kTaps / 3 * kRows;
          V<T> acc[kAcc] = {};
          for (int64_t k = 0; k < half_w; ++k) {
            const int64_t place = (row * half_w + k) * d.out + i;
            const V<T> value = load<true>(g + place, 0), zero{};
            const Mask<T> at = load_index<true, T>(index + place, 0);
            // The next row's: steps of a pixel escape the processor's own prefetching.
            __builtin_prefetch(g + place + half_w * d.out);
            const T* corner = line + ky0 * stride + 2 * k * kIn;
#pragma GCC unroll 1
            for (int j = 0; j < 4; ++j) {  // unrolled, the many pixels would be kept in registers that there are not
              const V<T> here = at == j ? value : zero;
              const T* x = corner + (j / 2) * stride + (j % 2) * kIn;
#pragma GCC unroll 27
              for (int tap = 0; tap < kAcc; ++tap) acc[tap] += here * x[tap / (3 * kIn) * stride + tap % (3 * kIn)];
            }
          }
#pragma GCC unroll 27
          for (int tap = 0; tap < kAcc; ++tap)
            add_from<T>(kernel + (ky0 * 3 * kIn + tap) * d.out + i, acc[tap], first - i);
        }
      }
    }
  });
}

}  // namespace
}  // namespace fewatoms::loops
