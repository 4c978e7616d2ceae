#include "episodes/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace fewatoms {
namespace {

TEST(Random, GivesTheSameNumbersOnEveryPlatform) {
  Random random{1, 2, 3};
  const std::vector<uint32_t> words{random.next_u32(), random.next_u32(), random.next_u32(), random.next_u32(),
                                    random.next_u32()};
  EXPECT_THAT(words, testing::ElementsAre(3980566604U, 714368624U, 4182749881U, 2192509617U, 559204975U));
  EXPECT_EQ(Random({1, 2, 3}).uniform(), 0x1.54a333876a15p-3);
  EXPECT_EQ(mix_key({7, 8}), 0xB2636A6E316786ACULL);
}

TEST(Random, IsAPureFunctionOfItsKey) {
  Random a{5, 6}, b{5, 6};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next_u64(), b.next_u64());
}

TEST(Random, EveryElementOfTheKeyAndTheirOrderCount) {
  std::set<uint64_t> firsts;
  for (const auto& key : {Random{1, 2}, Random{2, 1}, Random{1, 2, 0}, Random{1}, Random{0, 1, 2}, Random{1, 3}})
    firsts.insert(Random(key).next_u64());
  EXPECT_EQ(firsts.size(), 6u);
}

TEST(Random, BelowIsUniformAndCoversItsRange) {
  constexpr int kCells = 10, kDraws = 100000;
  std::vector<int> counts(kCells);
  Random random{11};
  for (int i = 0; i < kDraws; ++i) ++counts.at(random.below(kCells));
  double chi2 = 0;
  for (const int count : counts) chi2 += std::pow(count - kDraws / kCells, 2) / (kDraws / kCells);
  EXPECT_LT(chi2, 33.7);  // 9 degrees of freedom, p = 1e-4
  EXPECT_EQ(Random{1}.below(1), 0u);
}

TEST(Random, BelowHasNoBiasForLargeRanges) {
  // Without rejection, numbers under 2^62 would come up half as often again as the others.
  const uint64_t n = 3 * (uint64_t{1} << 62);
  Random random{3};
  int low = 0;
  constexpr int kDraws = 30000;
  for (int i = 0; i < kDraws; ++i) {
    const uint64_t x = random.below(n);
    ASSERT_LT(x, n);
    low += x < n / 3 ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(low) / kDraws, 1.0 / 3.0, 0.015);
}

TEST(Random, UniformAndNormalHaveTheirMoments) {
  constexpr int kDraws = 100000;
  Random random{13};
  double sum = 0, normal_sum = 0, normal_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    const double z = random.normal();
    ASSERT_TRUE(std::isfinite(z));
    normal_sum += z;
    normal_squares += z * z;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(normal_sum / kDraws, 0.0, 0.015);
  EXPECT_NEAR(normal_squares / kDraws, 1.0, 0.02);
}

TEST(Random, ShuffleGivesEveryOrderEquallyOften) {
  std::vector<int> counts(6);
  Random random{17};
  for (int i = 0; i < 60000; ++i) {
    std::vector<int> items{0, 1, 2};
    random.shuffle(items);
    ++counts[items[0] * 2 + (items[1] > items[2] ? 1 : 0)];
  }
  double chi2 = 0;
  for (const int count : counts) chi2 += std::pow(count - 10000.0, 2) / 10000.0;
  EXPECT_LT(chi2, 25.7);  // 5 degrees of freedom, p = 1e-4
}

}  // namespace
}  // namespace fewatoms
