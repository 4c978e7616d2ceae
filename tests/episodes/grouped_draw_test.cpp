#include "episodes/grouped_draw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::SyntheticSource;
using testing::HasSubstr;

TEST(GroupedDraw, TellsWhatCanBeSplit) {
  EXPECT_EQ(most_queries(std::vector{0, 1, 2, 3}, 2), 2);
  EXPECT_EQ(most_queries(std::vector{0, 0, 0, 0}, 1), 0);  // one group
  EXPECT_EQ(most_queries(std::vector{0, 0, 0, 1}, 1), 3);  // the single image supports
  EXPECT_EQ(most_queries(std::vector{0, 0, 0, 1}, 3), 1);
  EXPECT_EQ(most_queries(std::vector{0, 0, 1, 1}, 1), 2);  // any support takes two
  EXPECT_EQ(most_queries(std::vector{0, 0, 1, 1, 2}, 1), 4);
  EXPECT_EQ(most_queries(std::vector{0, 1, 2}, 4), -1);  // too few
}

/// No group of an episode is on both sides.
void expect_apart(const SyntheticSource& source, const Episode& episode) {
  std::set<int> support, query;
  std::set<std::pair<int, int>> images;
  for (const auto* side : {&episode.support, &episode.query})
    for (const EpisodeImage& image : *side) {
      EXPECT_TRUE(images.insert({image.ref.class_index, image.ref.image_index}).second) << "an image twice";
      EXPECT_EQ(image.ref.class_index, episode.classes[image.label]);
      (side == &episode.support ? support : query)
          .insert(source.image_groups(image.ref.class_index)[image.ref.image_index]);
    }
  for (const int group : support) EXPECT_FALSE(query.contains(group)) << "group " << group;
}

TEST(GroupedDraw, AGroupIsOnOneSide) {
  SyntheticSource source(3, 12, 4);
  source.set_groups({{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2},
                     {3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 5, 5},
                     {6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17}});
  const EpisodeSpec spec{3, 2, 5};
  require_servable(source, spec);
  std::set<int> first_support;
  for (int i = 0; i < 200; ++i) {
    const Episode episode = draw_episode(source, spec, 1, i);
    EXPECT_EQ(episode.support.size(), 6u);
    EXPECT_EQ(episode.query.size(), 15u);
    expect_apart(source, episode);
    for (const EpisodeImage& image : episode.support)
      if (image.ref.class_index == 0) first_support.insert(image.ref.image_index);
  }
  EXPECT_EQ(first_support.size(), 12u);  // every image gets its turn
}

TEST(GroupedDraw, AGroupInSeveralClassesIsOnOneSideOfTheWholeEpisode) {
  SyntheticSource source(4, 6, 4);
  source.set_groups({{0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 0, 1, 1, 2, 2}});
  for (int i = 0; i < 200; ++i) expect_apart(source, draw_episode(source, {3, 2, 2}, 5, i));
}

TEST(GroupedDraw, AClassThatCannotBeSplitIsRefusedByName) {
  SyntheticSource source({6, 6}, 4);
  source.set_groups({{0, 1, 2, 3, 4, 5}, {7, 7, 7, 8, 8, 8}});
  require_servable(source, {2, 3, 3});
  EXPECT_THAT(message_of<DataError>([&] {
                require_servable(source, {2, 1, 4});
              }),
              HasSubstr("the 2 groups of class 'class1' with 6 images cannot serve 1 shot and 4 queries with each "
                        "group on one side"));
}

TEST(GroupedDraw, GroupsThatAlwaysCollideAreRefused) {
  SyntheticSource source(2, 4, 4);  // the second class needs group 0 and group 1 on the other side than the first
  source.set_groups({{0, 0, 0, 1}, {0, 1, 1, 1}});
  require_servable(source, {2, 1, 3});
  EXPECT_THAT(message_of<DataError>([&] {
                draw_episode(source, {2, 1, 3}, 0, 0);
              }),
              HasSubstr("no 2 classes were found"));
}

TEST(GroupedDraw, WithoutGroupsEpisodesAreAsBefore) {
  SyntheticSource plain(5, 8, 4), grouped(5, 8, 4);
  grouped.set_groups(std::vector<std::vector<int>>(5));
  for (int i = 0; i < 5; ++i) {
    const Episode a = draw_episode(plain, {3, 2, 2}, 7, i), b = draw_episode(grouped, {3, 2, 2}, 7, i);
    EXPECT_EQ(a.classes, b.classes);
    for (size_t k = 0; k < a.support.size(); ++k) EXPECT_EQ(a.support[k].ref.image_index, b.support[k].ref.image_index);
  }
}

}  // namespace
}  // namespace fewatoms
