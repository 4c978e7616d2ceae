#include "meta/statistics.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "meta/adaptation_curve.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

// By hand: the mean of 1, 2, 6 is 3, the deviation sqrt(14 / 2); t(0.975) is 12.7062 with 1 degree of freedom, 4.302653
// with 2, 1.9639322 with 599.
TEST(Statistics, IntervalsAreStudentsOfTheSamplesDeviation) {
  const MeanInterval two = mean_interval({1, 3});  // deviation sqrt(2)
  EXPECT_DOUBLE_EQ(two.mean, 2);
  EXPECT_NEAR(*two.ci95, 12.7062, 1e-3);
  const MeanInterval three = mean_interval({1, 2, 6});
  EXPECT_NEAR(three.mean, 3, 1e-12);
  EXPECT_NEAR(*three.ci95, 4.302653 * std::sqrt(7.0) / std::sqrt(3.0), 1e-5);
  std::vector<double> many;
  for (int i = 0; i < 600; ++i) many.push_back(i % 2);  // sum of squares 150
  EXPECT_NEAR(*mean_interval(many).ci95, 1.9639322 * std::sqrt(150.0 / 599) / std::sqrt(600.0), 1e-8);
}

TEST(Statistics, OneValueHasNoInterval) {
  EXPECT_EQ(mean_interval({5}).mean, 5);
  EXPECT_EQ(mean_interval({5}).ci95, std::nullopt);
  EXPECT_EQ(mean_interval({}).mean, 0);
  EXPECT_EQ(mean_interval({}).ci95, std::nullopt);
  EXPECT_EQ(mean_interval({5, 5}).ci95, 0);
  EXPECT_EQ(interval_text(std::nullopt, 2), " (no interval for one value)");
  EXPECT_EQ(interval_text(0.00834, 2), " ± 0.83");
  EXPECT_EQ(number_or_null(std::nullopt).dump(), "null");
  EXPECT_EQ(number_or_null(0.5).dump(), "0.5");
}

TEST(Statistics, MedianByHand) {
  EXPECT_DOUBLE_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median({4, 1, 2, 3}), 2.5);
}

TEST(Statistics, WhatPairsShareDropsOut) {
  const std::vector<double> a = {0.2, 0.9, 0.5, 0.4}, b = {0.1, 0.8, 0.4, 0.3};
  const MeanInterval d = paired_difference(a, b);
  EXPECT_NEAR(d.mean, 0.1, 1e-12);
  EXPECT_NEAR(*d.ci95, 0, 1e-12);  // although each of them varies
  EXPECT_GT(*mean_interval(a).ci95, 0.2);
  const MeanInterval back = paired_difference(b, a);
  EXPECT_DOUBLE_EQ(back.mean, -d.mean);
  const std::vector<double> none(4, 0.0);
  EXPECT_EQ(paired_difference(a, none).ci95, mean_interval(a).ci95);
}

TEST(Statistics, UnequalSizesAreNoPairs) { EXPECT_THROW(paired_difference({1, 2}, {1}), c10::Error); }

TEST(AdaptationCurve, ByHand) {
  const std::vector<StepAccuracy> curve = {{0, 0.2, 0, 0},  {1, 0.75, 0, 0}, {5, 0.76, 0, 0},
                                           {10, 0.8, 0, 0}, {20, 0.8, 0, 0}, {100, 0.7, 0, 0}};
  const CurveSummary s = summarise_curve(curve, {0.001, 0.002, 0.006, 0.011, 0.021, 0.101});
  EXPECT_EQ(s.best_steps, 10);  // the first of two
  EXPECT_DOUBLE_EQ(s.best_accuracy, 0.8);
  EXPECT_EQ(s.steps_to_95, 5);  // 0.76 is 95 % of 0.8
  EXPECT_DOUBLE_EQ(s.seconds_to_95, 0.006);
  EXPECT_NEAR(s.drop, 0.1, 1e-12);
}

TEST(AdaptationCurve, WithoutAdaptationThereIsOnePoint) {
  const CurveSummary s = summarise_curve({{0, 0.6, 0.01, 1}}, {0.002});
  EXPECT_EQ(s.steps_to_95, 0);
  EXPECT_DOUBLE_EQ(s.drop, 0);
  EXPECT_DOUBLE_EQ(s.seconds_to_95, 0.002);
}

TEST(Statistics, AccuraciesAfterSomeStepsAreThoseOfTheMark) {
  EXPECT_EQ(accuracies_after({{0.1, 0.2}, {0.3, 0.4}}, {0, 5}, 5), (std::vector<double>{0.2, 0.4}));
  EXPECT_EQ(accuracies_after({{0.1}, {0.3}}, {0}, 5), (std::vector<double>{0.1, 0.3}));  // adapts nothing
  EXPECT_THROW(accuracies_after({{0.1, 0.2}}, {0, 5}, 3), std::out_of_range);
}

}  // namespace
}  // namespace fewatoms
