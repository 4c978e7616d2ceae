// Norm, ReLU and 2x2 pooling: part of loops_level.cpp.

namespace fewatoms::loops {
namespace {

template <class T>
void stats_and_gather(Shape d, const T* x, const T* sign, double* sum, double* square_sum, T* pooled, uint8_t* index) {
  const int64_t c = d.c, row = d.w * c, half_h = d.h / 2, half_w = d.w / 2;
  for (int64_t i = 0; i < c; ++i) sum[i] = square_sum[i] = 0;
  for (int64_t image = 0; image < d.n; ++image)
    for (int64_t wy = 0; wy < half_h + d.h % 2; ++wy) {
      const T* line = x + (image * d.h + 2 * wy) * row;
      const int64_t out = (image * half_h + wy) * half_w * c;
      const int64_t lines = wy < half_h ? 2 : 1, windows = wy < half_h ? half_w : 0;
      for_registers<T>(c, [&](int64_t i, int64_t count, auto full) {
        constexpr bool kFull = decltype(full)::value;
        const V<T> g = load<kFull>(sign + i, count);
        V<T> s1{}, s2{};
        for (int64_t k = 0; k < windows; ++k) {
          const T* p = line + 2 * k * c + i;
          const V<T> v[4] = {load<kFull>(p, count), load<kFull>(p + c, count), load<kFull>(p + row, count),
                             load<kFull>(p + row + c, count)};
          s1 += (v[0] + v[1]) + (v[2] + v[3]);
          s2 += (v[0] * v[0] + v[1] * v[1]) + (v[2] * v[2] + v[3] * v[3]);
          V<T> value;
          Mask<T> at;
          largest<T>({g * v[0], g * v[1], g * v[2], g * v[3]}, value, at);
          store<kFull>(pooled + out + k * c + i, g * value, count);
          store_index<kFull, T>(index + out + k * c + i, at, count);
        }
        for (int64_t l = 0; l < lines; ++l)  // what no window takes still counts for the statistics
          for (int64_t k = 2 * windows; k < d.w; ++k) {
            const V<T> v = load<kFull>(line + l * row + k * c + i, count);
            s1 += v;
            s2 += v * v;
          }
        add_to<kFull, T>(sum + i, s1, count);
        add_to<kFull, T>(square_sum + i, s2, count);
      });
    }
}

template <class T>
void scatter_affine(Shape d, const T* x, const T* v, const uint8_t* index, const T* a, const T* b, const T* u,
                    const T* bu, T* out) {
  const int64_t c = d.c, row = d.w * c, half_h = d.h / 2, half_w = d.w / 2;
  const auto run = [&](auto with_u) {
    for (int64_t image = 0; image < d.n; ++image)
      for (int64_t wy = 0; wy < half_h + d.h % 2; ++wy) {
        const int64_t line = (image * d.h + 2 * wy) * row, pooled = (image * half_h + wy) * half_w * c;
        const int64_t lines = wy < half_h ? 2 : 1, windows = wy < half_h ? half_w : 0;
        for_registers<T>(c, [&](int64_t i, int64_t count, auto full) {
          constexpr bool kFull = decltype(full)::value;
          const V<T> va = load<kFull>(a + i, count), vb = load<kFull>(b + i, count);
          V<T> vbu{};
          if constexpr (decltype(with_u)::value) vbu = load<kFull>(bu + i, count);
          const auto dense = [&](int64_t p) {
            V<T> value = va + vb * load<kFull>(x + p, count);
            if constexpr (decltype(with_u)::value) value += vbu * load<kFull>(u + p, count);
            return value;
          };
          for (int64_t k = 0; k < windows; ++k) {
            const V<T> value = load<kFull>(v + pooled + k * c + i, count);
            const Mask<T> at = load_index<kFull, T>(index + pooled + k * c + i, count);
            for (int j = 0; j < 4; ++j) {
              const int64_t p = line + (j / 2) * row + (2 * k + j % 2) * c + i;
              const V<T> here = dense(p);
              store<kFull>(out + p, at == j ? here + value : here, count);
            }
          }
          for (int64_t l = 0; l < lines; ++l)
            for (int64_t k = 2 * windows; k < d.w; ++k) {
              const int64_t p = line + l * row + k * c + i;
              store<kFull>(out + p, dense(p), count);
            }
        });
      }
  };
  if (u)
    run(Number<1>{});
  else
    run(Number<0>{});
}

template <class T>
void gather_sums(Shape d, const T* u, const T* x, const uint8_t* index, T* taken, double* sum, double* product) {
  const int64_t c = d.c, row = d.w * c, half_h = d.h / 2, half_w = d.w / 2;
  for (int64_t i = 0; i < c; ++i) sum[i] = product[i] = 0;
  for (int64_t image = 0; image < d.n; ++image)
    for (int64_t wy = 0; wy < half_h + d.h % 2; ++wy) {
      const int64_t line = (image * d.h + 2 * wy) * row, pooled = (image * half_h + wy) * half_w * c;
      const int64_t lines = wy < half_h ? 2 : 1, windows = wy < half_h ? half_w : 0;
      for_registers<T>(c, [&](int64_t i, int64_t count, auto full) {
        constexpr bool kFull = decltype(full)::value;
        V<T> s1{}, s2{};
        const auto one = [&](int64_t p) {
          const V<T> up = load<kFull>(u + p, count);
          s1 += up;
          s2 += up * load<kFull>(x + p, count);
          return up;
        };
        for (int64_t k = 0; k < windows; ++k) {
          const Mask<T> at = load_index<kFull, T>(index + pooled + k * c + i, count);
          V<T> here{};
          for (int j = 0; j < 4; ++j) {
            const V<T> up = one(line + (j / 2) * row + (2 * k + j % 2) * c + i);
            here = at == j ? up : here;
          }
          store<kFull>(taken + pooled + k * c + i, here, count);
        }
        for (int64_t l = 0; l < lines; ++l)
          for (int64_t k = 2 * windows; k < d.w; ++k) one(line + l * row + k * c + i);
        add_to<kFull, T>(sum + i, s1, count);
        add_to<kFull, T>(product + i, s2, count);
      });
    }
}

constexpr int64_t kRowsPerSum = 64;  // rows summed in T before they join the double; they stay in the first cache

/// Calls f(first row, last row, channel, count, full) for pieces of [rows, c].
template <class T, class F>
FEWATOMS_BODY void for_pieces(int64_t rows, int64_t c, F&& f) {
  for (int64_t first = 0; first < rows; first += kRowsPerSum) {
    const int64_t last = first + kRowsPerSum < rows ? first + kRowsPerSum : rows;
    for_registers<T>(c, [&](int64_t i, int64_t count, auto full) { f(first, last, i, count, full); });
  }
}

template <class T>
void sums_about(int64_t rows, int64_t c, const T* x, const T* pivot, double* sum, double* square_sum) {
  for (int64_t i = 0; i < c; ++i) sum[i] = square_sum[i] = 0;
  for_pieces<T>(rows, c, [&](int64_t first, int64_t last, int64_t i, int64_t count, auto full) {
    constexpr bool kFull = decltype(full)::value;
    const V<T> about = load<kFull>(pivot + i, count);
    V<T> s1{}, s2{};
    for (int64_t at = first * c + i; at < last * c; at += c) {
      const V<T> v = load<kFull>(x + at, count) - about;
      s1 += v;
      s2 += v * v;
    }
    add_to<kFull, T>(sum + i, s1, count);
    add_to<kFull, T>(square_sum + i, s2, count);
  });
}

template <class T>
void affine_relu(int64_t rows, int64_t c, const T* p, const T* s, const T* t, T* y) {
  for_pieces<T>(rows, c, [&](int64_t first, int64_t last, int64_t i, int64_t count, auto full) {
    constexpr bool kFull = decltype(full)::value;
    const V<T> vs = load<kFull>(s + i, count), vt = load<kFull>(t + i, count);
    for (int64_t at = first * c + i; at < last * c; at += c) {
      const V<T> z = vs * load<kFull>(p + at, count) + vt;
      store<kFull>(y + at, z < T(0) ? V<T>{} : z, count);
    }
  });
}

template <class T>
void affine_relu_backward(int64_t rows, int64_t c, const T* g, const T* p, const T* y, const T* s, T* gp, double* gs,
                          double* gt) {
  for (int64_t i = 0; i < c; ++i) gs[i] = gt[i] = 0;
  for_pieces<T>(rows, c, [&](int64_t first, int64_t last, int64_t i, int64_t count, auto full) {
    constexpr bool kFull = decltype(full)::value;
    const V<T> vs = load<kFull>(s + i, count);
    V<T> s1{}, s2{};
    for (int64_t at = first * c + i; at < last * c; at += c) {
      const V<T> live = load<kFull>(y + at, count) > T(0) ? load<kFull>(g + at, count) : V<T>{};
      store<kFull>(gp + at, vs * live, count);
      s1 += live * load<kFull>(p + at, count);
      s2 += live;
    }
    add_to<kFull, T>(gs + i, s1, count);
    add_to<kFull, T>(gt + i, s2, count);
  });
}

template <class T>
void affine_relu_double_backward(int64_t rows, int64_t c, const T* up, const T* us, const T* ut, const T* g, const T* p,
                                 const T* y, const T* s, T* dg, T* dp, double* ds) {
  for (int64_t i = 0; i < c; ++i) ds[i] = 0;
  for_pieces<T>(rows, c, [&](int64_t first, int64_t last, int64_t i, int64_t count, auto full) {
    constexpr bool kFull = decltype(full)::value;
    const V<T> vs = load<kFull>(s + i, count), vus = load<kFull>(us + i, count), vut = load<kFull>(ut + i, count),
               zero{};
    V<T> s1{};
    for (int64_t at = first * c + i; at < last * c; at += c) {
      const Mask<T> live = load<kFull>(y + at, count) > T(0);
      const V<T> vup = load<kFull>(up + at, count), vg = load<kFull>(g + at, count);
      store<kFull>(dg + at, live ? vs * vup + vus * load<kFull>(p + at, count) + vut : zero, count);
      store<kFull>(dp + at, live ? vus * vg : zero, count);
      s1 += live ? vup * vg : zero;
    }
    add_to<kFull, T>(ds + i, s1, count);
  });
}

}  // namespace
}  // namespace fewatoms::loops
