// The loops for one instruction set. CMake compiles this file once per level with the level's options and
// FEWATOMS_LEVEL as its name. Nothing of the standard library is used: an inline function compiled here could be linked
// into code that runs on lesser processors.

#include "backbones/kernels/loops.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define FEWATOMS_BODY __attribute__((always_inline)) inline

namespace fewatoms::loops {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

/// A register of T.
template <class T>
struct Simd;
template <>
struct Simd<float> {
  typedef float V __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
  typedef int32_t Mask __attribute__((vector_size(kVectorBytes)));
};
template <>
struct Simd<double> {
  typedef double V __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
  typedef int64_t Mask __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using V = typename Simd<T>::V;
template <class T>
using Mask = typename Simd<T>::Mask;
template <class T>
constexpr int kLanes = kVectorBytes / sizeof(T);
#if defined(__AVX512F__) || defined(FEWATOMS_MANY_REGISTERS)
constexpr bool kManyRegisters = true;  // 32 of them, otherwise 16
#else
constexpr bool kManyRegisters = false;
#endif

/// The first `count` lanes of a register, 1 to kLanes - 1; loaded, the others are zero.
#if defined(__AVX512F__)
FEWATOMS_BODY V<float> load_some(const float* p, int64_t count) {
  return V<float>(_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p));
}
FEWATOMS_BODY V<double> load_some(const double* p, int64_t count) {
  return V<double>(_mm512_maskz_loadu_pd(__mmask8((1u << count) - 1), p));
}
FEWATOMS_BODY void store_some(float* p, V<float> v, int64_t count) {
  _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), __m512(v));
}
FEWATOMS_BODY void store_some(double* p, V<double> v, int64_t count) {
  _mm512_mask_storeu_pd(p, __mmask8((1u << count) - 1), __m512d(v));
}
#else
template <class T>
FEWATOMS_BODY V<T> load_some(const T* p, int64_t count) {
  V<T> v{};
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
template <class T>
FEWATOMS_BODY void store_some(T* p, V<T> v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
}
#endif

/// Loads or stores a whole register, or without kFull its first `count` lanes.
template <bool kFull, class T>
FEWATOMS_BODY V<T> load(const T* p, int64_t count) {
  if constexpr (kFull)
    return *reinterpret_cast<const V<T>*>(p);
  else
    return load_some(p, count);
}
template <bool kFull, class T>
FEWATOMS_BODY void store(T* p, V<T> v, int64_t count) {
  if constexpr (kFull)
    *reinterpret_cast<V<T>*>(p) = v;
  else
    store_some(p, v, count);
}
template <class T>
FEWATOMS_BODY V<T> broadcast(T x) {
  return x - V<T>{};
}

/// Positions in windows: bytes in memory, as wide as T in registers, to be compared.
template <bool kFull, class T>
FEWATOMS_BODY Mask<T> load_index(const uint8_t* p, int64_t count) {
  typedef uint8_t Bytes __attribute__((vector_size(kLanes<T>), aligned(1), may_alias));
  if constexpr (kFull) return __builtin_convertvector(*reinterpret_cast<const Bytes*>(p), Mask<T>);
  Mask<T> v{};
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
template <bool kFull, class T>
FEWATOMS_BODY void store_index(uint8_t* p, Mask<T> v, int64_t count) {
  typedef uint8_t Bytes __attribute__((vector_size(kLanes<T>), aligned(1), may_alias));
  if constexpr (kFull) {
    *reinterpret_cast<Bytes*>(p) = __builtin_convertvector(v, Bytes);
  } else {
    for (int64_t i = 0; i < count; ++i) p[i] = static_cast<uint8_t>(v[i]);
  }
}

/// Adds a register's lanes to sums in double.
template <bool kFull, class T>
FEWATOMS_BODY void add_to(double* sum, V<T> v, int64_t count) {
  typedef double Doubles __attribute__((vector_size(kLanes<T> * sizeof(double)), aligned(8), may_alias));
  if constexpr (kFull) {
    *reinterpret_cast<Doubles*>(sum) += __builtin_convertvector(v, Doubles);
  } else {
    for (int64_t i = 0; i < count; ++i) sum[i] += static_cast<double>(v[i]);
  }
}

/// Adds a register's lanes from `first` on.
template <class T>
FEWATOMS_BODY void add_from(double* sum, V<T> v, int64_t first) {
  if (first == 0) return add_to<true, T>(sum, v, 0);
  for (int64_t i = first; i < kLanes<T>; ++i) sum[i] += static_cast<double>(v[i]);
}

/// The largest of four values and its position; the first of equal ones.
template <class T>
FEWATOMS_BODY void largest(const V<T> (&v)[4], V<T>& value, Mask<T>& at) {
  const Mask<T> right0 = v[1] > v[0], right1 = v[3] > v[2];
  const V<T> top = right0 ? v[1] : v[0], bottom = right1 ? v[3] : v[2];
  const Mask<T> lower = bottom > top;
  value = lower ? bottom : top;
  at = lower ? 2 - right1 : -right0;  // a comparison that holds is -1
}

/// A number that the compiler knows, as an argument.
template <int kValue>
struct Number {
  static constexpr int value = kValue;
};

/// Where the register of channel `first` begins: there, or earlier if the channels end before it is full; then it has
/// some channels of the register before again. For kLanes<T> channels or more.
template <class T>
FEWATOMS_BODY int64_t whole_register(int64_t first, int64_t channels) {
  return first + kLanes<T> <= channels ? first : channels - kLanes<T>;
}

/// Calls f(whole_register) for the channels, a register at a time; f may see a channel twice.
template <class T, class F>
FEWATOMS_BODY void for_whole_registers(int64_t channels, F&& f) {
  for (int64_t first = 0; first < channels; first += kLanes<T>) f(whole_register<T>(first, channels));
}

/// Calls f(first, count, full) for the channels, a register at a time; full is a Number: 1, or 0 for the rest.
template <class T, class F>
FEWATOMS_BODY void for_registers(int64_t channels, F&& f) {
  int64_t first = 0;
  for (; first + kLanes<T> <= channels; first += kLanes<T>) f(first, int64_t{kLanes<T>}, Number<1>{});
  if (first < channels) f(first, channels - first, Number<0>{});
}

}  // namespace
}  // namespace fewatoms::loops

#include "backbones/kernels/loops_atoms.inl"
#include "backbones/kernels/loops_norm.inl"
#include "backbones/kernels/loops_stem.inl"
#include "backbones/kernels/loops_winograd.inl"

namespace fewatoms::loops {
namespace {

template <class T>
constexpr Loops<T> kAll = {stats_and_gather<T>,
                           sums_about<T>,
                           scatter_affine<T>,
                           gather_sums<T>,
                           affine_relu<T>,
                           affine_relu_backward<T>,
                           affine_relu_double_backward<T>,
                           patch_row_products<T>,
                           stem_extremes<T>,
                           stem_at<T>,
                           stem_kernel_gradient<T>,
                           winograd<T>,
                           winograd_kernel_gradient<T>,
                           winograd_kernel<T>,
                           winograd_kernel_adjoint<T>,
                           multiply<T>,
                           apply_atoms<T>,
                           atoms_gradient<T>,
                           maps_gradient<T>};

}  // namespace

#define FEWATOMS_JOIN(a, b) FEWATOMS_JOIN_(a, b)
#define FEWATOMS_JOIN_(a, b) a##b
extern const Loops<float> FEWATOMS_JOIN(kFloat, FEWATOMS_LEVEL);
extern const Loops<double> FEWATOMS_JOIN(kDouble, FEWATOMS_LEVEL);
const Loops<float> FEWATOMS_JOIN(kFloat, FEWATOMS_LEVEL) = kAll<float>;
const Loops<double> FEWATOMS_JOIN(kDouble, FEWATOMS_LEVEL) = kAll<double>;

}  // namespace fewatoms::loops
