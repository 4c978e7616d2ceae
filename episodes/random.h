#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <utility>

namespace fewatoms {

/// Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
/// 2011).
///
/// A generator is a pure function of its key, so any thread can make the numbers of any episode in any order, and the
/// same numbers come on every platform: no `std::` distribution, no global state.
class Random {
 public:
  /// `key` names the stream, for instance {seed, purpose, episode}; every element counts, and so does their order.
  explicit Random(std::initializer_list<uint64_t> key);

  uint32_t next_u32();
  uint64_t next_u64();

  /// Uniform on 0 .. n-1, without bias (rejection). n >= 1.
  uint64_t below(uint64_t n);

  /// Uniform on [0, 1), a multiple of 2^-53.
  double uniform();
  /// Uniform on [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Standard normal (Box-Muller). Uses the platform's log and cos, so its last digit may differ between platforms.
  double normal();

  /// Fisher-Yates.
  template <class Container>
  void shuffle(Container& items) {
    for (uint64_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::array<uint32_t, 2> key_{};
  uint64_t counter_ = 0;  // blocks drawn from this stream
  uint64_t stream_ = 0;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;  // numbers of `block_` already given out
};

/// One 64-bit number from several, well mixed (splitmix64 finaliser, chained). Equal input, equal output, everywhere.
uint64_t mix_key(std::initializer_list<uint64_t> key);

/// The random streams in use: the second element of every key, so that no two purposes ever share numbers.
enum class Stream : uint64_t {
  kEpisode = 1,
  kAugment,
  kParameters,
  kStrokes,
  kSplit,
  kValidation,
  kDrop,
  kLabelNoise,
  kCorruption
};
constexpr uint64_t stream(Stream s) { return static_cast<uint64_t>(s); }

}  // namespace fewatoms
