#include "datasets/augment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "datasets/dataset.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::pixels;

std::vector<uint8_t> values(const cv::Mat& picture) {
  EXPECT_TRUE(picture.isContinuous());
  return {picture.data, picture.data + picture.total() * picture.elemSize()};
}

/// Red grows to the right, green downwards, blue is even.
cv::Mat ramp(int width, int height) {
  cv::Mat picture(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      picture.at<cv::Vec3b>(y, x) = cv::Vec3b(40 + 160 * x / width, 40 + 160 * y / height, 90);
  return picture;
}

TEST(CropJitterFlip, IsAPureFunctionOfPictureAndKey) {
  const cv::Mat picture = ramp(60, 40);
  std::set<std::vector<uint8_t>> distinct;
  for (uint64_t key = 1; key <= 100; ++key) {
    const auto once = values(crop_jitter_flip(picture, 16, key));
    EXPECT_EQ(once.size(), 16u * 16 * 3);
    EXPECT_EQ(once, values(crop_jitter_flip(picture, 16, key)));
    distinct.insert(once);
  }
  EXPECT_EQ(distinct.size(), 100u);
  EXPECT_EQ(values(picture), values(ramp(60, 40)));  // the cached picture stays as it was
}

TEST(CropJitterFlip, LeavesThePictureAloneWhenNothingIsCutOrResized) {
  const cv::Mat picture = ramp(16, 16);
  for (uint64_t key = 1; key <= 500; ++key) crop_jitter_flip(picture, 16, key);
  EXPECT_EQ(values(picture), values(ramp(16, 16)));
}

TEST(CropJitterFlip, FlipsHalfOfTheTime) {
  const cv::Mat picture = ramp(64, 64);
  int flipped = 0;
  constexpr int kDraws = 2000;
  for (uint64_t key = 1; key <= kDraws; ++key) {
    const cv::Mat result = crop_jitter_flip(picture, 16, key);
    flipped += result.at<cv::Vec3b>(8, 0)[0] > result.at<cv::Vec3b>(8, 15)[0] ? 1 : 0;
  }
  EXPECT_NEAR(flipped, kDraws / 2, 90);  // 4 standard deviations
}

TEST(CropJitterFlip, CropsFromEightPercentToAllOfTheArea) {
  // Stripes of 10 pixels: the number of edges across the result tells the width of the crop, whatever the jitter.
  cv::Mat stripes(200, 200, CV_8U);
  for (int x = 0; x < 200; ++x) stripes.col(x) = x / 10 % 2 == 0 ? 80 : 160;
  int fewest = 1000, most = 0;
  for (uint64_t key = 1; key <= 1000; ++key) {
    const cv::Mat row = crop_jitter_flip(stripes, 200, key).row(100);
    double low = 0, high = 0;
    cv::minMaxLoc(row, &low, &high);
    int edges = 0;
    for (int x = 1; x < 200; ++x)
      edges += (row.at<uint8_t>(x) > (low + high) / 2) != (row.at<uint8_t>(x - 1) > (low + high) / 2) ? 1 : 0;
    fewest = std::min(fewest, edges);
    most = std::max(most, edges);
  }
  EXPECT_GE(fewest, 4);  // sqrt(0.08 * 3/4) of 200 pixels is 49
  EXPECT_LE(fewest, 5);
  EXPECT_GE(most, 18);
}

TEST(CropJitterFlip, BrightnessStaysWithinItsRange) {
  const cv::Mat grey(30, 30, CV_8U, cv::Scalar(100));  // contrast, saturation, crop and flip do not change an even grey
  int least = 255, most = 0;
  for (uint64_t key = 1; key <= 1000; ++key) {
    const int value = crop_jitter_flip(grey, 8, key).at<uint8_t>(4, 4);
    least = std::min(least, value);
    most = std::max(most, value);
  }
  EXPECT_GE(least, 60);
  EXPECT_LE(least, 62);
  EXPECT_LE(most, 140);
  EXPECT_GE(most, 138);
}

TEST(CropJitterFlip, OnlyBrightnessChangesTheLumaOfAnEvenColour) {
  // Contrast and saturation both scale the distance from grey there: by 0.36 to 1.96 together.
  const cv::Mat colour(30, 30, CV_8UC3, cv::Scalar(120, 80, 60));
  constexpr double kLuma = 0.299 * 120 + 0.587 * 80 + 0.114 * 60;
  double least = 10, most = 0;
  for (uint64_t key = 1; key <= 2000; ++key) {
    const auto p = crop_jitter_flip(colour, 8, key).at<cv::Vec3b>(4, 4);
    const double luma = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
    EXPECT_GT(luma, 0.6 * kLuma - 1.5);
    EXPECT_LT(luma, 1.4 * kLuma + 1.5);
    const double chroma = (p[0] - p[2]) / luma / (60.0 / kLuma);
    least = std::min(least, chroma);
    most = std::max(most, chroma);
  }
  EXPECT_NEAR(least, 0.36, 0.06);
  EXPECT_NEAR(most, 1.96, 0.12);
}

TEST(CropJitterFlip, CopesWithExtremeShapes) {
  for (const auto& [width, height] : {std::pair{1, 1}, {400, 3}, {3, 400}, {1, 50}})
    for (uint64_t key = 1; key <= 20; ++key) {
      const cv::Mat result = crop_jitter_flip(cv::Mat(height, width, CV_8UC3, cv::Scalar(1, 2, 3)), 8, key);
      EXPECT_EQ(result.rows, 8);
      EXPECT_EQ(result.cols, 8);
    }
}

TEST(ResizeCentreCrop, KeepsTheMiddle) {
  const cv::Mat result = resize_centre_crop(ramp(115, 230), 100);
  ASSERT_EQ(result.rows, 100);
  ASSERT_EQ(result.cols, 100);
  // 7 of 115 columns are cut on the left: the ramp starts at 40 + 160 * 7 / 115.
  EXPECT_NEAR(result.at<cv::Vec3b>(50, 0)[0], 49, 2);
  EXPECT_NEAR(result.at<cv::Vec3b>(0, 50)[1], 49, 2);
}

TEST(Augment, ThroughASourceKeysTellImagesApart) {
  DatasetOptions options{.image_size = 20, .channels = 3, .augment = "crop-jitter-flip"};
  for (const int64_t cache_mb : {0, 10}) {
    options.cache_mb = cache_mb;
    const auto source = open_dataset(options, "train");
    EXPECT_EQ(pixels(*source, 0, 0, 5), pixels(*source, 0, 0, 5));
    EXPECT_NE(pixels(*source, 0, 0, 5), pixels(*source, 0, 0, 6));
    EXPECT_NE(pixels(*source, 0, 0, 5), pixels(*source, 0, 0, 0));
    EXPECT_EQ(pixels(*source, 0, 0, 0).size(), 20u * 20 * 3);
  }
}

TEST(Augment, DoesNotDependOnTheCache) {
  DatasetOptions options{.image_size = 20, .augment = "crop-jitter-flip"};
  const auto cached = open_dataset(options, "train");
  options.cache_mb = 0;
  const auto uncached = open_dataset(options, "train");
  for (int repeat = 0; repeat < 2; ++repeat) EXPECT_EQ(pixels(*cached, 3, 4, 77), pixels(*uncached, 3, 4, 77));
}

}  // namespace
}  // namespace fewatoms
