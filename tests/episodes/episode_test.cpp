#include "episodes/episode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <thread>

#include "episodes/errors.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::SyntheticSource;
using testing::HasSubstr;

/// The sampler needs numbers only: an image asked for is a mistake.
class NoPixels : public SyntheticSource {
 public:
  using SyntheticSource::SyntheticSource;
  ImageView image(const ImageRef&) const override { throw std::logic_error("pixels were asked for"); }
};

/// Everything of an episode as numbers, to compare.
std::vector<uint64_t> numbers(const Episode& episode) {
  std::vector<uint64_t> all(episode.classes.begin(), episode.classes.end());
  for (const auto* part : {&episode.support, &episode.query})
    for (const EpisodeImage& image : *part)
      all.insert(all.end(), {static_cast<uint64_t>(image.ref.class_index), static_cast<uint64_t>(image.ref.image_index),
                             image.ref.augment_key, static_cast<uint64_t>(image.label)});
  return all;
}

double chi_square(const std::vector<int>& counts) {
  double total = 0, chi2 = 0;
  for (const int count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  for (const int count : counts) chi2 += std::pow(count - expected, 2) / expected;
  return chi2;
}

TEST(Episode, IsBalancedAndLabelMajor) {
  const NoPixels source(12, 9, 8);
  const EpisodeSpec spec{.ways = 5, .shots = 2, .queries = 3};
  const Episode episode = draw_episode(source, spec, 1, 0);
  EXPECT_EQ(episode.spec, spec);
  ASSERT_EQ(episode.classes.size(), 5u);
  ASSERT_EQ(episode.support.size(), 10u);
  ASSERT_EQ(episode.query.size(), 15u);
  for (size_t i = 0; i < episode.support.size(); ++i) EXPECT_EQ(episode.support[i].label, static_cast<int>(i / 2));
  for (size_t i = 0; i < episode.query.size(); ++i) EXPECT_EQ(episode.query[i].label, static_cast<int>(i / 3));
  for (const auto* part : {&episode.support, &episode.query})
    for (const EpisodeImage& image : *part) EXPECT_EQ(image.ref.class_index, episode.classes[image.label]);
}

TEST(Episode, ClassesAreDistinctAndSupportAndQueryNeverOverlap) {
  const NoPixels source(7, 6, 8);
  for (uint64_t index = 0; index < 500; ++index) {
    const Episode episode = draw_episode(source, {.ways = 5, .shots = 2, .queries = 4}, 3, index);
    EXPECT_EQ(std::set(episode.classes.begin(), episode.classes.end()).size(), 5u);
    std::set<std::pair<int, int>> images;
    for (const auto* part : {&episode.support, &episode.query})
      for (const EpisodeImage& image : *part) images.emplace(image.ref.class_index, image.ref.image_index);
    EXPECT_EQ(images.size(), episode.support.size() + episode.query.size());
  }
}

TEST(Episode, IsTheSameFromAnyThreadInAnyOrder) {
  const NoPixels source(20, 30, 8);
  const EpisodeSpec spec;
  constexpr int kEpisodes = 64;
  std::vector<std::vector<uint64_t>> forwards, backwards(kEpisodes);
  for (int i = 0; i < kEpisodes; ++i) forwards.push_back(numbers(draw_episode(source, spec, 5, i, true)));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = kEpisodes - 1 - t; i >= 0; i -= 4) backwards[i] = numbers(draw_episode(source, spec, 5, i, true));
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(forwards, backwards);
}

TEST(Episode, DependsOnSplitSpecificationSeedAndIndex) {
  const NoPixels train(20, 30, 8), val(20, 30, 8, 1, "val");
  std::set<std::vector<int>> classes;
  classes.insert(draw_episode(train, {}, 1, 0).classes);
  classes.insert(draw_episode(val, {}, 1, 0).classes);
  classes.insert(draw_episode(train, {}, 2, 0).classes);
  classes.insert(draw_episode(train, {}, 1, 1).classes);
  classes.insert(draw_episode(train, {.shots = 5}, 1, 0).classes);
  EXPECT_EQ(classes.size(), 5u);
}

TEST(Episode, AugmentationChangesTheKeysAlone) {
  const NoPixels source(20, 30, 8);
  Episode plain = draw_episode(source, {}, 1, 4), augmented = draw_episode(source, {}, 1, 4, true);
  std::set<uint64_t> keys;
  for (auto* part : {&augmented.support, &augmented.query})
    for (EpisodeImage& image : *part) {
      EXPECT_NE(image.ref.augment_key, 0u);
      keys.insert(image.ref.augment_key);
      image.ref.augment_key = 0;
    }
  EXPECT_EQ(keys.size(), 80u);
  EXPECT_EQ(numbers(plain), numbers(augmented));
}

TEST(Episode, ClassesImagesAndLabelsAreUniform) {
  const NoPixels source(10, 20, 8);
  std::vector<int> by_class(10), by_image(20), by_label(10), query_by_image(20);
  for (uint64_t index = 0; index < 20000; ++index) {
    const Episode episode = draw_episode(source, {.ways = 5, .shots = 1, .queries = 1}, 7, index);
    for (const int c : episode.classes) ++by_class[c];
    ++by_label[episode.classes[0]];  // which class gets label 0
    ++by_image[episode.support[2].ref.image_index];
    ++query_by_image[episode.query[2].ref.image_index];
  }
  EXPECT_LT(chi_square(by_class), 33.7);  // 9 degrees of freedom, p = 1e-4
  EXPECT_LT(chi_square(by_label), 33.7);
  EXPECT_LT(chi_square(by_image), 50.8);  // 19 degrees of freedom
  EXPECT_LT(chi_square(query_by_image), 50.8);
}

TEST(Episode, LabelsDoNotFollowTheOrderOfClasses) {
  const NoPixels source(5, 20, 8);  // every episode has all five classes
  std::set<std::vector<int>> orders;
  for (uint64_t index = 0; index < 2000; ++index) orders.insert(draw_episode(source, {}, 1, index).classes);
  EXPECT_EQ(orders.size(), 120u);
}

TEST(Episode, GoldenNumbers) {
  const NoPixels source(20, 30, 8);
  const Episode episode = draw_episode(source, {.ways = 3, .shots = 1, .queries = 2}, 42, 1000, true);
  EXPECT_THAT(episode.classes, testing::ElementsAre(2, 7, 11));
  std::vector<int> images;
  for (const auto* part : {&episode.support, &episode.query})
    for (const EpisodeImage& image : *part) images.push_back(image.ref.image_index);
  EXPECT_THAT(images, testing::ElementsAre(10, 5, 4, 9, 8, 18, 4, 1, 16));
  EXPECT_EQ(episode.query.back().ref.augment_key, 0x2E28DF11B9710B55ULL);
}

TEST(RequireServable, AcceptsTheExactFit) {
  EXPECT_NO_THROW(require_servable(NoPixels(5, 6, 8), {.ways = 5, .shots = 5, .queries = 1}));
}

TEST(RequireServable, NamesTheClassThatIsTooSmall) {
  const NoPixels source(std::vector<int>{9, 4, 9}, 8);
  EXPECT_EQ(message_of<DataError>([&] { require_servable(source, {.ways = 2, .shots = 5, .queries = 1}); }),
            "synthetic split 'train': class 'class1' has 4 images, 6 are needed (5 shots + 1 query)");
}

TEST(RequireServable, CountsFurtherClassesThatAreTooSmall) {
  const NoPixels source(5, 1, 8);
  const auto message = message_of<DataError>([&] { require_servable(source, {.ways = 2, .shots = 1, .queries = 15}); });
  EXPECT_THAT(message, HasSubstr("class 'class0' has 1 image, class 'class1' has 1 image"));
  EXPECT_THAT(message, HasSubstr("and 2 classes more are short, 16 are needed (1 shot + 15 queries)"));
}

TEST(RequireServable, RefusesMoreWaysThanClasses) {
  EXPECT_EQ(message_of<UsageError>([] { require_servable(NoPixels(3, 20, 8), {.ways = 5}); }),
            "synthetic split 'train' has 3 classes, fewer than the 5 ways asked for");
}

TEST(RequireServable, RefusesSpecificationsThatAreNoTask) {
  const NoPixels source(5, 20, 8);
  EXPECT_THAT(message_of<UsageError>([&] { require_servable(source, {.ways = 1}); }), HasSubstr("ways is 1"));
  EXPECT_THAT(message_of<UsageError>([&] { require_servable(source, {.shots = 0}); }), HasSubstr("shots is 0"));
  EXPECT_THAT(message_of<UsageError>([&] { require_servable(source, {.queries = -1}); }), HasSubstr("queries is -1"));
}

TEST(SubsetOfClasses, KeepsTheClassesInTheOrderGiven) {
  const auto whole = std::make_shared<SyntheticSource>(std::vector<int>{3, 4, 5}, 8);
  const auto part = subset_of_classes(whole, {2, 0}, "val");
  EXPECT_EQ(part->classes(), 2);
  EXPECT_EQ(part->class_name(0), "class2");
  EXPECT_EQ(part->class_size(0), 5);
  EXPECT_EQ(part->class_size(1), 3);
  EXPECT_EQ(part->info().split, "val");
  EXPECT_EQ(part->info().dataset, "synthetic");
  EXPECT_EQ(part->height(), 8);
  const ImageView a = part->image({0, 4, 0}), b = whole->image({2, 4, 0});
  EXPECT_TRUE(std::equal(a.pixels, a.pixels + a.bytes(), b.pixels));
}

TEST(SubsetOfClasses, PassesPrefetchOnWithTheInnerNumbers) {
  struct Watching : SyntheticSource {
    using SyntheticSource::SyntheticSource;
    void prefetch(std::span<const ImageRef> refs) const override {
      for (const ImageRef& ref : refs) asked.push_back(ref.class_index);
    }
    mutable std::vector<int> asked;
  };
  const auto whole = std::make_shared<Watching>(4, 5, 8);
  const std::vector<ImageRef> refs{{0, 1, 0}, {1, 2, 0}};
  subset_of_classes(whole, {3, 1}, "val")->prefetch(refs);
  EXPECT_THAT(whole->asked, testing::ElementsAre(3, 1));
}

TEST(SubsetOfClasses, RefusesIndicesOutOfRange) {
  const auto whole = std::make_shared<SyntheticSource>(3, 3, 8);
  EXPECT_THAT(message_of<UsageError>([&] { subset_of_classes(whole, {0, 3}, "val"); }), HasSubstr("outside 0..2"));
  EXPECT_THROW(subset_of_classes(whole, {-1}, "val"), UsageError);
}

}  // namespace
}  // namespace fewatoms
