#include "datasets/rotations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/dataset.h"
#include "datasets/prepared_source.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::pixels;
using test::SyntheticSource;
using testing::HasSubstr;

TEST(Rotations, MakeEachClassFour) {
  const auto source = std::make_shared<SyntheticSource>(std::vector<int>{2, 3}, 8);
  const auto turned = rotated_classes(source);
  EXPECT_THAT(test::class_names(*turned),
              testing::ElementsAre("class0/rot000", "class0/rot090", "class0/rot180", "class0/rot270", "class1/rot000",
                                   "class1/rot090", "class1/rot180", "class1/rot270"));
  EXPECT_EQ(turned->class_size(3), 2);
  EXPECT_EQ(turned->class_size(4), 3);
  EXPECT_EQ(turned->image_name({5, 2, 0}), "class1/2");
}

TEST(Rotations, TurnCounterClockwiseAndBackAfterFour) {
  const auto source = std::make_shared<SyntheticSource>(2, 3, 5, 3);
  const auto turned = rotated_classes(source);
  const auto original = pixels(*source, 1, 2), quarter = pixels(*turned, 5, 2), half = pixels(*turned, 6, 2),
             last = pixels(*turned, 7, 2);
  EXPECT_EQ(pixels(*turned, 4, 2), original);
  const auto at = [](const std::vector<uint8_t>& image, int y, int x) { return image[(y * 5 + x) * 3 + 1]; };
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 5; ++x) {
      EXPECT_EQ(at(quarter, 4 - x, y), at(original, y, x));
      EXPECT_EQ(at(half, 4 - y, 4 - x), at(original, y, x));
      EXPECT_EQ(at(last, x, 4 - y), at(original, y, x));
    }
}

TEST(DerivedSources, SayOfGroupsAndNamesWhatTheirSourceSays) {
  const auto source = std::make_shared<SyntheticSource>(std::vector<int>{3, 2}, 8);
  source->set_groups({{7, 8, 7}, {9, 8}});
  const auto groups = [](const ImageSource& of, int c) {
    return std::vector<int>(of.image_groups(c).begin(), of.image_groups(c).end());
  };
  const auto expect = [&](const std::shared_ptr<const ImageSource>& of, int c) {
    EXPECT_EQ(groups(*of, c), (std::vector<int>{9, 8}));
    EXPECT_EQ(of->image_name({c, 1, 0}), "class1/1");
  };
  expect(rotated_classes(source), 6);
  expect(subset_of_classes(source, {1}, "val"), 0);
  expect(prepared_source(source, {.image_size = 16, .channels = 1}), 1);
}

TEST(Rotations, ApplyToTheSplitsAskedFor) {
  const auto classes = [](const std::string& rotations, const std::string& split) {
    return open_dataset({.name = "strokes", .rotations = rotations}, split)->classes();
  };
  EXPECT_EQ(classes("none", "train"), 160);
  EXPECT_EQ(classes("train", "train"), 640);
  EXPECT_EQ(classes("train", "test"), 60);
  EXPECT_EQ(classes("all", "test"), 240);
  EXPECT_EQ(summarise({.name = "strokes", .rotations = "train"})[0].classes, 640);
  EXPECT_THAT(message_of<UsageError>([] { resolve({.name = "omniglot", .rotations = "train"}); }),
              HasSubstr("turned already"));
  EXPECT_THAT(message_of<UsageError>([] { resolve({.name = "strokes", .rotations = "al"}); }),
              HasSubstr("did you mean 'all'"));
}

}  // namespace
}  // namespace fewatoms
