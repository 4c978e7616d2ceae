#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "datasets/dataset.h"
#include "episodes/episode.h"
#include "tests/datasets/images.h"

namespace fewatoms {
namespace {

using test::pixels;

TEST(Strokes, SplitsShareNoClass) {
  std::set<std::string> names;
  size_t classes = 0;
  for (const char* split : {"train", "val", "test"}) {
    const auto source = open_dataset({}, split);
    EXPECT_GE(source->class_size(0), 100);
    classes += source->classes();
    for (const auto& name : test::class_names(*source)) names.insert(name);
  }
  EXPECT_GE(classes, 200u);
  EXPECT_EQ(names.size(), classes);
}

TEST(Strokes, IsAPureFunctionOfClassAndImage) {
  const auto one = open_dataset({}, "train"), other = open_dataset({.cache_mb = 0}, "train");
  std::set<std::vector<uint8_t>> distinct;
  for (int c = 0; c < 5; ++c)
    for (int i = 4; i >= 0; --i) {
      EXPECT_EQ(pixels(*one, c, i), pixels(*other, c, i));
      distinct.insert(pixels(*one, c, i));
    }
  EXPECT_EQ(distinct.size(), 25u);
}

TEST(Strokes, DrawsAnySizeInGreyAndColour) {
  for (const int channels : {1, 3})
    for (const int size : {8, 9, 28, 63, 84, 512}) {
      const auto source = open_dataset({.image_size = size, .channels = channels}, "val");
      const ImageView image = source->image({3, 3, 0});
      EXPECT_EQ(image.height, size);
      EXPECT_EQ(image.width, size);
      EXPECT_EQ(image.channels, channels);
      const auto values = pixels(image);
      const auto [darkest, lightest] = std::minmax_element(values.begin(), values.end());
      EXPECT_GT(*lightest - *darkest, 60) << size << "x" << channels;
    }
}

TEST(Strokes, ColourTellsNothingOfTheClass) {
  // The mean colour of an image varies as much inside a class as between classes.
  const auto source = open_dataset({.image_size = 16, .channels = 3}, "train");
  const int kClasses = 40, kImages = 50;
  double within = 0, between = 0, overall = 0;
  std::vector<double> class_means;
  for (int c = 0; c < kClasses; ++c) {
    std::vector<double> reds;
    for (int i = 0; i < kImages; ++i) {
      const auto values = pixels(*source, c, i);
      double red = 0, green = 0;
      for (size_t k = 0; k < values.size(); k += 3) red += values[k], green += values[k + 1];
      reds.push_back((red - green) / (16.0 * 16.0));
    }
    double mean = 0;
    for (const double r : reds) mean += r / kImages;
    for (const double r : reds) within += (r - mean) * (r - mean) / (kClasses * (kImages - 1.0));
    class_means.push_back(mean);
    overall += mean / kClasses;
  }
  for (const double m : class_means) between += kImages * (m - overall) * (m - overall) / (kClasses - 1.0);
  EXPECT_LT(between / within, 2.0);  // an F statistic with 39 and 1960 degrees of freedom: 2.0 has p = 2e-4
}

TEST(Strokes, ImagesOfOneNumberShareNothingAcrossClasses) {
  const auto source = open_dataset({.image_size = 16, .channels = 3}, "train");
  std::set<std::string> corners;  // background alone
  for (int c = 0; c < 50; ++c) {
    const auto values = pixels(*source, c, 0);
    corners.emplace(values.begin(), values.begin() + 6);
  }
  EXPECT_EQ(corners.size(), 50u);
}

/// Accuracy of nearest prototypes on raw pixels, the floor that learning has to beat.
double pixel_accuracy(const ImageSource& source, const EpisodeSpec& spec) {
  int right = 0, all = 0;
  for (uint64_t index = 0; index < 200; ++index) {
    const Episode episode = draw_episode(source, spec, 1, index);
    const size_t size = source.image(episode.support[0].ref).bytes();
    std::vector<std::vector<double>> prototypes(spec.ways, std::vector<double>(size));
    for (const EpisodeImage& image : episode.support) {
      const ImageView view = source.image(image.ref);
      for (size_t k = 0; k < size; ++k) prototypes[image.label][k] += view.pixels[k] / double(spec.shots);
    }
    for (const EpisodeImage& image : episode.query) {
      const ImageView view = source.image(image.ref);
      std::vector<double> distances(spec.ways);
      for (int label = 0; label < spec.ways; ++label)
        for (size_t k = 0; k < size; ++k) {
          const double d = view.pixels[k] - prototypes[label][k];
          distances[label] += d * d;
        }
      const auto nearest = std::min_element(distances.begin(), distances.end()) - distances.begin();
      right += nearest == image.label ? 1 : 0;
      ++all;
    }
  }
  return static_cast<double>(right) / all;
}

TEST(Strokes, IsNeitherTrivialNorHopelessOnRawPixels) {
  const double accuracy = pixel_accuracy(*open_dataset({}, "test"), {.ways = 5, .shots = 1, .queries = 5});
  EXPECT_GT(accuracy, 0.35);
  EXPECT_LT(accuracy, 0.60);
}

}  // namespace
}  // namespace fewatoms
