#include "episodes/episode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
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
  for (int i = 0; i < kEpisodes; ++i) forwards.push_back(numbers(draw_episode(source, spec, 5, i, Augmented::kBoth)));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = kEpisodes - 1 - t; i >= 0; i -= 4)
        backwards[i] = numbers(draw_episode(source, spec, 5, i, Augmented::kBoth));
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
  Episode plain = draw_episode(source, {}, 1, 4), augmented = draw_episode(source, {}, 1, 4, Augmented::kBoth);
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

/// Classes in groups "a" and so on, as many as the sizes say, then one class in none.
class Grouped : public NoPixels {
 public:
  explicit Grouped(std::vector<int> sizes)
      : NoPixels(static_cast<int>(std::accumulate(sizes.begin(), sizes.end(), 1)), 30, 8) {
    for (size_t g = 0; g < sizes.size(); ++g)
      for (int c = 0; c < sizes[g]; ++c) groups_.emplace_back(1, static_cast<char>('a' + g));
    groups_.emplace_back();
  }
  const std::string& class_group(int c) const override { return groups_.at(c); }

 private:
  std::vector<std::string> groups_;
};

std::vector<int> shots_by_class(const Episode& episode) {
  std::vector<int> shots(episode.spec.ways);
  for (const EpisodeImage& image : episode.support) ++shots.at(image.label);
  return shots;
}

TEST(EpisodeOfChangingSize, DrawsWaysAndShotsEvenlyFromTheirRanges) {
  const NoPixels source(12, 30, 8);
  const EpisodeSpec spec{.ways = 9, .shots = 4, .queries = 2, .fewest_ways = 5, .fewest_shots = 1};
  std::vector<int> ways(5), shots(4);
  for (uint64_t index = 0; index < 10000; ++index) {
    const Episode episode = draw_episode(source, spec, 3, index);
    ASSERT_EQ(episode.classes.size(), static_cast<size_t>(episode.spec.ways));
    ASSERT_EQ(episode.query.size(), static_cast<size_t>(2 * episode.spec.ways));
    ASSERT_EQ(shots_by_class(episode), std::vector<int>(episode.spec.ways, episode.spec.shots));
    ++ways.at(episode.spec.ways - 5);
    ++shots.at(episode.spec.shots - 1);
    if (index < 20) {
      EXPECT_EQ(numbers(draw_episode(source, spec, 3, index)), numbers(episode));
    }
  }
  EXPECT_LT(chi_square(ways), 23.5);   // 4 degrees of freedom, p = 1e-4
  EXPECT_LT(chi_square(shots), 21.1);  // 3
}

TEST(EpisodeOfChangingSize, ImbalancedShotsAreEachClassesOwn) {
  const NoPixels source(12, 30, 8);
  const EpisodeSpec spec{.ways = 5, .shots = 6, .queries = 2, .fewest_shots = 2, .imbalanced = true};
  std::vector<int> counts(5);
  bool differ = false;
  for (uint64_t index = 0; index < 2000; ++index) {
    const Episode episode = draw_episode(source, spec, 3, index);
    const auto shots = shots_by_class(episode);
    for (const int own : shots) ++counts.at(own - 2);
    EXPECT_EQ(episode.spec.shots, *std::max_element(shots.begin(), shots.end()));
    differ = differ || std::set(shots.begin(), shots.end()).size() > 1;
    EXPECT_TRUE(std::is_sorted(episode.support.begin(), episode.support.end(),
                               [](const auto& a, const auto& b) { return a.label < b.label; }));
  }
  EXPECT_TRUE(differ);
  EXPECT_LT(chi_square(counts), 23.5);
}

std::vector<int> queries_by_class(const Episode& episode) {
  std::vector<int> queries(episode.classes.size());
  for (const EpisodeImage& image : episode.query) ++queries.at(image.label);
  return queries;
}

TEST(EpisodeWithShortClasses, TakesTheQueriesThatAClassHasLeft) {
  const SyntheticSource source({30, 6, 9, 17, 30, 7}, 4);
  const EpisodeSpec spec{.ways = 6, .shots = 1, .queries = 15, .fewest_queries = 5};
  require_servable(source, spec);
  for (uint64_t index = 0; index < 50; ++index) {
    const Episode episode = draw_episode(source, spec, 3, index);
    std::set<std::pair<int, int>> images;
    for (const auto* side : {&episode.support, &episode.query})
      for (const EpisodeImage& image : *side) {
        EXPECT_TRUE(images.emplace(image.ref.class_index, image.ref.image_index).second);
        EXPECT_EQ(image.ref.class_index, episode.classes[image.label]);
      }
    const auto queries = queries_by_class(episode);
    for (int label = 0; label < 6; ++label)
      EXPECT_EQ(queries[label], std::min(15, source.class_size(episode.classes[label]) - 1));
    EXPECT_EQ(shots_by_class(episode), std::vector<int>(6, 1));
    EXPECT_EQ(episode.spec.fewest_queries, 5);
  }
  // Imbalanced shots leave each class its own.
  const EpisodeSpec imbalanced{
      .ways = 6, .shots = 5, .queries = 15, .fewest_queries = 1, .fewest_shots = 1, .imbalanced = true};
  require_servable(source, imbalanced);
  for (uint64_t index = 0; index < 50; ++index) {
    const Episode episode = draw_episode(source, imbalanced, 3, index);
    const auto queries = queries_by_class(episode), shots = shots_by_class(episode);
    for (int label = 0; label < 6; ++label)
      EXPECT_EQ(queries[label], std::min(15, source.class_size(episode.classes[label]) - shots[label]));
  }
}

TEST(EpisodeWithShortClasses, IsTheUsualOneWhereNoClassIsShort) {
  const NoPixels source(8, 30, 8);
  for (uint64_t index = 0; index < 50; ++index)
    EXPECT_EQ(numbers(draw_episode(source, {.ways = 5, .queries = 15, .fewest_queries = 3}, 1, index)),
              numbers(draw_episode(source, {.ways = 5, .queries = 15}, 1, index)));
}

TEST(EpisodeWithShortClasses, KeepsGroupsOfImagesApart) {
  SyntheticSource source(3, 6, 4);
  source.set_groups({{0, 0, 0, 0, 1, 1}, {2, 3, 4, 5, 6, 7}, {8, 8, 8, 9, 9, 9}});
  const EpisodeSpec spec{.ways = 3, .shots = 1, .queries = 5, .fewest_queries = 2};
  require_servable(source, spec);
  for (uint64_t index = 0; index < 50; ++index) {
    const Episode episode = draw_episode(source, spec, 1, index);
    std::set<int> support, query;
    for (const EpisodeImage& image : episode.support)
      support.insert(source.image_groups(image.ref.class_index)[image.ref.image_index]);
    for (const EpisodeImage& image : episode.query)
      query.insert(source.image_groups(image.ref.class_index)[image.ref.image_index]);
    for (const int group : support) EXPECT_FALSE(query.contains(group));
    const auto queries = queries_by_class(episode);
    for (int label = 0; label < 3; ++label)
      EXPECT_EQ(queries[label], (std::vector<int>{4, 5, 3})[episode.classes[label]]);
  }
  const EpisodeSpec more{.ways = 3, .shots = 1, .queries = 5, .fewest_queries = 4};
  EXPECT_THAT(message_of<DataError>([&] { require_servable(source, more); }), HasSubstr("1 shot and 4 queries"));
}

TEST(EpisodeWithinGroup, HasClassesOfOneGroupThatIsLargeEnough) {
  const Grouped source({4, 2, 3});
  std::vector<int> groups(3);
  for (uint64_t index = 0; index < 2000; ++index) {
    const Episode episode = draw_episode(source, {.ways = 3, .shots = 1, .queries = 1, .within_group = true}, 1, index);
    std::set<std::string> names;
    for (const int c : episode.classes) names.insert(source.class_group(c));
    ASSERT_EQ(names.size(), 1u);
    ++groups.at(names.begin()->front() - 'a');
    EXPECT_EQ(std::set(episode.classes.begin(), episode.classes.end()).size(), 3u);
  }
  EXPECT_EQ(groups[1], 0);
  EXPECT_LT(std::abs(groups[0] - groups[2]), 200);  // each group alike
}

TEST(EpisodeWithinGroup, VariableWaysEndWithTheGroup) {
  const Grouped source({4, 2, 3});
  std::set<int> ways;
  for (uint64_t index = 0; index < 500; ++index)
    ways.insert(
        draw_episode(source, {.ways = 8, .shots = 1, .queries = 1, .fewest_ways = 3, .within_group = true}, 1, index)
            .spec.ways);
  EXPECT_THAT(ways, testing::ElementsAre(3, 4));
}

TEST(Episode, AugmentsSupportOrQueryAlone) {
  const NoPixels source(20, 30, 8);
  const Episode both = draw_episode(source, {}, 1, 4, Augmented::kBoth);
  for (const Augmented which : {Augmented::kSupport, Augmented::kQuery}) {
    const Episode one = draw_episode(source, {}, 1, 4, which);
    const bool support = which == Augmented::kSupport;
    for (size_t i = 0; i < one.support.size(); ++i)
      EXPECT_EQ(one.support[i].ref.augment_key, support ? both.support[i].ref.augment_key : 0);
    for (size_t i = 0; i < one.query.size(); ++i)
      EXPECT_EQ(one.query[i].ref.augment_key, support ? 0 : both.query[i].ref.augment_key);
  }
}

TEST(Episode, AnUnservableSourceThrows) {
  EXPECT_THAT(message_of<UsageError>([] { draw_episode(NoPixels(3, 20, 8), {.ways = 5}, 1, 0); }),
              HasSubstr("has 3 classes, an episode of 5 ways"));
  EXPECT_THROW(draw_episode(NoPixels(std::vector<int>{}, 8), {}, 1, 0), UsageError);
  EXPECT_THROW(draw_episode(NoPixels(5, 20, 8), {.ways = 0}, 1, 0), UsageError);
  EXPECT_THAT(message_of<DataError>([] { draw_episode(NoPixels(5, 15, 8), {}, 1, 0); }),
              HasSubstr("has 15 images, an episode needs 16"));
  EXPECT_THROW(draw_episode(NoPixels(5, 0, 8), {}, 1, 0), DataError);
}

TEST(DrawEpisodesOfUniqueClasses, RepeatsNoSetOfClasses) {
  const NoPixels source(5, 30, 8);
  const auto episodes = draw_episodes_of_unique_classes(source, {.ways = 2}, 1, 10);  // 5 choose 2: all there are
  std::set<std::set<int>> sets;
  for (const Episode& episode : episodes) sets.emplace(episode.classes.begin(), episode.classes.end());
  EXPECT_EQ(sets.size(), 10u);
  EXPECT_EQ(numbers(episodes[0]), numbers(draw_episode(source, {.ways = 2}, 1, 0)));
  EXPECT_THAT(message_of<UsageError>([&] { draw_episodes_of_unique_classes(source, {.ways = 2}, 1, 11); }),
              HasSubstr("about 10 sets of classes"));
}

TEST(RequireServable, RefusesRangesAndGroupsThatCannotBe) {
  const NoPixels source(5, 30, 8);
  const auto refusal = [&](const EpisodeSpec& spec) {
    return message_of<UsageError>([&] { require_servable(source, spec); });
  };
  EXPECT_THAT(refusal({.fewest_ways = 1}), HasSubstr("ways is 1..5, expected 2 or more"));
  EXPECT_THAT(refusal({.fewest_ways = 6}), HasSubstr("ways is 6..5"));
  EXPECT_THAT(refusal({.shots = 3, .fewest_shots = 4}), HasSubstr("shots is 4..3"));
  EXPECT_THAT(refusal({.queries = 3, .fewest_queries = 4}), HasSubstr("queries is 4..3"));
  EXPECT_THAT(message_of<DataError>([] {
                require_servable(SyntheticSource({30, 5}, 4), {.ways = 2, .shots = 1, .fewest_queries = 5});
              }),
              HasSubstr("class 'class1' has 5 images, 6 are needed (1 shot + 5 queries)"));
  EXPECT_THAT(refusal({.imbalanced = true}), HasSubstr("need a range of shots"));
  EXPECT_THAT(refusal({.within_group = true}), HasSubstr("has no groups of classes"));
  EXPECT_THAT(message_of<UsageError>([] {
                require_servable(Grouped({4, 2}), {.ways = 5, .within_group = true});
              }),
              HasSubstr("no group of 5 classes: the largest, 'a', has 4"));
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
  const Episode episode = draw_episode(source, {.ways = 3, .shots = 1, .queries = 2}, 42, 1000, Augmented::kBoth);
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
