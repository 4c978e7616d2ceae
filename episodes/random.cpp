#include "episodes/random.h"

#include <cmath>
#include <numbers>

namespace fewatoms {
namespace {

uint64_t splitmix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53U} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57U} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(a)};
    k[0] += 0x9E3779B9U;
    k[1] += 0xBB67AE85U;
  }
  return c;
}

}  // namespace

uint64_t mix_key(std::initializer_list<uint64_t> key) {
  uint64_t state = key.size();
  for (const uint64_t part : key) state = splitmix(state ^ splitmix(part));
  return state;
}

Random::Random(std::initializer_list<uint64_t> key) {
  const uint64_t k = mix_key(key);
  key_ = {static_cast<uint32_t>(k), static_cast<uint32_t>(k >> 32)};
  stream_ = splitmix(k);
}

uint32_t Random::next_u32() {
  if (used_ == 4) {
    block_ = philox({static_cast<uint32_t>(counter_), static_cast<uint32_t>(counter_ >> 32),
                     static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                    key_);
    ++counter_;
    used_ = 0;
  }
  return block_[used_++];
}

uint64_t Random::next_u64() {
  const uint64_t low = next_u32();
  return low | (uint64_t{next_u32()} << 32);
}

uint64_t Random::below(uint64_t n) {
  const uint64_t reject_under = (0 - n) % n;  // 2^64 mod n
  uint64_t x = next_u64();
  while (x < reject_under) x = next_u64();
  return x % n;
}

double Random::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }

double Random::normal() {
  const double u = 1.0 - uniform();  // (0, 1]
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace fewatoms
