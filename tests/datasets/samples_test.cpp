#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "datasets/dataset.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

// The real samples, where they are: what the loaders make of data sets as they come.

namespace fewatoms {
namespace {

using testing::Contains;
using testing::HasSubstr;

/// Every image of one episode can be read, and the images differ.
void read_an_episode(const ImageSource& source) {
  const Episode episode = draw_episode(source, {.ways = std::min(5, source.classes()), .shots = 1, .queries = 5}, 1, 0);
  std::set<std::string> distinct;
  for (const auto* part : {&episode.support, &episode.query})
    for (const EpisodeImage& image : *part) {
      const ImageView view = source.image(image.ref);
      distinct.emplace(view.pixels, view.pixels + view.bytes());
    }
  EXPECT_EQ(distinct.size(), episode.support.size() + episode.query.size());
}

TEST(Samples, MiniImagenet) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "mini-imagenet");
  const DatasetOptions options{.name = "mini-imagenet", .root = folder};
  const auto train = open_dataset(options, "train"), val = open_dataset(options, "val");
  EXPECT_EQ(train->classes(), 64);
  EXPECT_EQ(train->class_name(0), "n01532829");
  EXPECT_EQ(val->classes(), 16);
  EXPECT_EQ(val->class_size(15), 300);
  EXPECT_THAT(val->info().notices, Contains("split 'val' has 16 of 16 classes, 300 of 600 images each"));
  EXPECT_THROW(open_dataset(options, "test"), UsageError);
  read_an_episode(*train);
}

TEST(Samples, CubCrops) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "cub-crops");
  DatasetOptions options{.name = "cub", .root = folder};
  const auto splits = summarise(options);
  ASSERT_EQ(splits.size(), 2u);
  EXPECT_EQ(splits[0].classes, 44);
  EXPECT_EQ(splits[1].classes, 28);
  EXPECT_EQ(splits[0].images + splits[1].images, 4239);
  read_an_episode(*open_dataset(options, "val"));
  options.crop = "bbox";
  EXPECT_THROW(open_dataset(options, "val"), UsageError);
}

TEST(Samples, CubOfficialLayout) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "CUB_200_2011");
  DatasetOptions options{.name = "cub", .root = folder};
  const auto splits = summarise(options);
  ASSERT_EQ(splits.size(), 3u);
  EXPECT_EQ(splits[0].classes, 5);
  EXPECT_EQ(splits[1].classes, 3);
  EXPECT_EQ(splits[2].classes, 2);
  EXPECT_EQ(splits[1].images, 30);
  const auto whole = open_dataset(options, "val");
  options.crop = "bbox";
  const auto cropped = open_dataset(options, "val");
  EXPECT_EQ(whole->class_name(0), "002.Laysan_Albatross");
  EXPECT_NE(test::pixels(*whole, 0, 0), test::pixels(*cropped, 0, 0));
  read_an_episode(*cropped);
}

TEST(Samples, Omniglot) {
  FEWATOMS_SAMPLE_OR_SKIP(folder, "omniglot");
  const DatasetOptions options{.name = "omniglot", .root = folder};
  const auto train = open_dataset(options, "train"), val = open_dataset(options, "val");
  EXPECT_EQ(train->classes(), 792 * 4);
  EXPECT_EQ(val->classes(), 688);
  EXPECT_EQ(val->class_size(0), 20);
  EXPECT_TRUE(val->info().notices.empty());
  EXPECT_THROW(open_dataset(options, "test"), UsageError);
  read_an_episode(*val);
  // White strokes on black: most pixels are dark.
  const auto image = test::pixels(*val, 0, 0);
  EXPECT_GT(std::count_if(image.begin(), image.end(), [](uint8_t v) { return v < 50; }), 28 * 28 / 2);
}

}  // namespace
}  // namespace fewatoms
