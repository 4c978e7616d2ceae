#include "meta/cost.h"
#include "meta/methods.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

/// Of the convolutions of Conv-4 with width 32 on one 84x84 RGB image: 3 * 32 * 9 * 84^2, then 32 * 32 * 9 times 42^2,
/// 21^2, 10^2.
constexpr int64_t kStem = 6'096'384, kSecond = 16'257'024, kThird = 4'064'256, kFourth = 921'600;
constexpr int64_t kRest = kSecond + kThird + kFourth, kForward = kStem + kRest;
constexpr int64_t kPass = 2 * kForward + kRest;  // forward, by kernels, by inputs but the images

int64_t count(const std::string& method, const std::string& order = {}) {
  LearnerOptions options = find_method(method).preset;
  if (!order.empty()) options.order = order;
  ParameterSet parameters;
  const Learner learner(options, parameters);
  return convolution_multiply_adds(learner, {.ways = 5, .shots = 1, .queries = 15});
}

TEST(Cost, LayersHalveInSize) {
  ParameterSet parameters;
  const auto backbone = make_backbone({}, 0, parameters);
  const std::vector<ConvLayer>& layers = backbone->layers();
  ASSERT_EQ(layers.size(), 4U);
  EXPECT_EQ(layers[0].multiply_adds(), kStem);
  EXPECT_EQ(layers[1].multiply_adds(), kSecond);
  EXPECT_EQ(layers[2].multiply_adds(), kThird);
  EXPECT_EQ(layers[3].multiply_adds(), kFourth);
}

TEST(Cost, TheReferenceJobAsCountedByHand) {
  // Query: 75 images. Support: 5 images in each of 5 steps. Second order adds the backward pass of the forward part
  // (kForward + kRest), of the input gradient (2 kRest) and of the kernel gradient (kForward + kRest).
  const int64_t first = (75 + 25) * kPass, second = first + 25 * (2 * kForward + 4 * kRest);
  EXPECT_EQ(count("fomaml"), first);
  EXPECT_EQ(count("maml", "first"), first);
  EXPECT_EQ(count("maml"), second);
  EXPECT_NEAR(8e-9 * static_cast<double>(count("maml")), 88.7, 0.05);  // GFLOP of a meta-batch of four
  EXPECT_NEAR(8e-9 * static_cast<double>(count("fomaml")), 60.7, 0.05);
}

TEST(Cost, WhatAdaptationCannotChangeCountsOnce) {
  EXPECT_EQ(count("anil"), (75 + 5) * kPass);
  EXPECT_EQ(count("anil", "first"), 75 * kPass + 5 * kForward);
  EXPECT_EQ(count("protonet"), (75 + 5) * kPass);
  // The stem stays plain. The second block needs no input gradient in a step, and so no derivative of one.
  const int64_t step = 3 * kRest - kSecond, outer = 2 * kRest + 2 * (kRest - kSecond) + 2 * kRest;
  EXPECT_EQ(count("acdc-maml"), (75 * kPass) + 5 * 2 * kStem + 25 * (step + outer));
}

}  // namespace
}  // namespace fewatoms
