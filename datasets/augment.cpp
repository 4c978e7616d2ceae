#include "datasets/augment.h"

#include <array>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "episodes/random.h"

namespace fewatoms {
namespace {

constexpr double kJitter = 0.4;
// ITU-R 601 luma, as PIL's convert("L").
constexpr double kLuma[3] = {0.299, 0.587, 0.114};

cv::Rect random_crop(Random& random, int width, int height) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = width * height * random.uniform(0.08, 1.0);
    const double aspect = std::exp(random.uniform(std::log(3.0 / 4.0), std::log(4.0 / 3.0)));
    const int w = static_cast<int>(std::lround(std::sqrt(area * aspect)));
    const int h = static_cast<int>(std::lround(std::sqrt(area / aspect)));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const int y = static_cast<int>(random.below(height - h + 1));
    const int x = static_cast<int>(random.below(width - w + 1));
    return {x, y, w, h};
  }
  // No draw fitted (a very long picture): the central part nearest in aspect, as torchvision falls back.
  const int w = std::min(width, std::max(1, static_cast<int>(std::lround(height * 4.0 / 3.0))));
  const int h = std::min(height, std::max(1, static_cast<int>(std::lround(width * 4.0 / 3.0))));
  return {(width - w) / 2, (height - h) / 2, w, h};
}

double mean_luma(const cv::Mat& picture) {
  const cv::Scalar mean = cv::mean(picture);
  return picture.channels() == 1 ? mean[0] : kLuma[0] * mean[0] + kLuma[1] * mean[1] + kLuma[2] * mean[2];
}

void scale_saturation(cv::Mat& picture, double factor) {
  if (picture.channels() == 1) return;
  cv::Matx33d mix;  // factor * identity + (1 - factor) * luma in every row
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 3; ++column)
      mix(row, column) = (row == column ? factor : 0.0) + (1.0 - factor) * kLuma[column];
  cv::transform(picture, picture, mix);
}

}  // namespace

cv::Mat resized(const cv::Mat& picture, int width, int height) {
  if (picture.cols == width && picture.rows == height) return picture;
  const bool shrinks = static_cast<int64_t>(width) * height < static_cast<int64_t>(picture.cols) * picture.rows;
  cv::Mat result;
  cv::resize(picture, result, {width, height}, 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
  return result;
}

cv::Mat crop_jitter_flip(const cv::Mat& picture, int size, uint64_t key) {
  Random random{key, stream(Stream::kAugment)};
  const cv::Rect crop = random_crop(random, picture.cols, picture.rows);
  cv::Mat result = resized(picture(crop), size, size).clone();

  std::array<int, 3> order{0, 1, 2};
  random.shuffle(order);
  for (const int step : order) {
    const double factor = random.uniform(1.0 - kJitter, 1.0 + kJitter);
    if (step == 0) result.convertTo(result, -1, factor);
    if (step == 1) result.convertTo(result, -1, factor, (1.0 - factor) * mean_luma(result));
    if (step == 2) scale_saturation(result, factor);
  }
  if (random.below(2) == 1) cv::flip(result, result, 1);
  return result;
}

int size_before_crop(int size) { return static_cast<int>(size * 1.15); }

cv::Mat resize_centre_crop(const cv::Mat& picture, int size) {
  const int larger = size_before_crop(size);
  const int margin = (larger - size) / 2;
  return resized(picture, larger, larger)(cv::Rect(margin, margin, size, size)).clone();
}

}  // namespace fewatoms
