#include "datasets/survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/good_images.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::pixels;
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class SurveyTest : public testing::Test {
 protected:
  SurveyTest() {
    write_image(folder / "train/ant/0.png", 30, 20, {1, 2, 3});
    write_image(folder / "train/ant/1.png", 30, 20, {1, 2, 4});
    write_image(folder / "train/ant/2.png", 30, 20, {1, 2, 3});  // repeats the first
    write_image(folder / "train/bee/0.png", 40, 20, {5, 5, 5});
    write_file(folder / "train/bee/1.png", "text");
    write_image(folder / "train/bee/2.png", 40, 20, {6, 7, 6});
    write_image(folder / "test/owl/0.png", 30, 20, {1, 2, 3});  // again
  }
  DatasetOptions options() { return {.name = "folders", .root = folder.path(), .image_size = 8}; }
  TemporaryFolder folder;
};

TEST_F(SurveyTest, TellsSizesGreyBrokenAndRepeatedImages) {
  int64_t last = 0;
  const auto splits = survey(options(), [&](int64_t done, int64_t total) {
    EXPECT_EQ(done, last + 1);
    EXPECT_EQ(total, 7);
    last = done;
  });
  EXPECT_EQ(last, 7);
  ASSERT_EQ(splits.size(), 2u);
  EXPECT_EQ(splits[0].split, "train");
  EXPECT_EQ(splits[0].images, 6);
  EXPECT_THAT(splits[0].sizes, ElementsAre(Pair(Pair(30, 20), 3), Pair(Pair(40, 20), 2)));
  EXPECT_EQ(splits[0].grey, 1);
  ASSERT_EQ(splits[0].bad.size(), 1u);
  EXPECT_EQ(splits[0].bad[0].class_name, "bee");
  EXPECT_EQ(splits[0].bad[0].index, 1);
  EXPECT_THAT(splits[0].bad[0].reason, HasSubstr("train/bee/1.png' cannot be decoded"));
  const Duplicates duplicates = find_duplicates(splits);
  EXPECT_EQ(duplicates.within_splits, 1);
  EXPECT_EQ(duplicates.across_splits, 1);
  ASSERT_EQ(duplicates.examples.size(), 2u);
  EXPECT_EQ(duplicates.examples[0].first, "train class 'ant' image 0");
  EXPECT_EQ(duplicates.examples[0].second, "test class 'owl' image 0");
}

TEST_F(SurveyTest, SkipBadLeavesOutAndCounts) {
  DatasetOptions skipping = options();
  skipping.skip_bad = true;
  const auto whole = open_dataset(options(), "train"), good = open_dataset(skipping, "train");
  EXPECT_EQ(whole->class_size(1), 3);
  EXPECT_EQ(good->class_size(1), 2);
  EXPECT_EQ(good->class_size(0), 3);
  EXPECT_EQ(pixels(*good, 1, 0), pixels(*whole, 1, 0));
  EXPECT_EQ(pixels(*good, 1, 1), pixels(*whole, 1, 2));
  EXPECT_EQ(good->info().skipped, 1);
  EXPECT_EQ(whole->info().skipped, 0);
  EXPECT_THAT(good->info().notices, testing::Contains(HasSubstr("left out 1 bad image (--skip-bad): '")));
  require_servable(*good, {2, 1, 1});
  EXPECT_THAT(message_of<DataError>([&] {
                require_servable(*good, {2, 1, 2});
              }),
              HasSubstr("class 'bee' has 2 images, 3 are needed"));
  EXPECT_EQ(open_dataset(skipping, "test")->info().skipped, 0);
}

TEST_F(SurveyTest, SkipBadTakesMissingFilesOfAManifestForBad) {
  write_file(folder / "m.csv",
             "path,label,split,group\ngone.png,a,train,x\ntrain/ant/0.png,a,train,y\ntrain/ant/1.png,a,train,x\n");
  DatasetOptions skipping{.name = "manifest", .root = folder / "m.csv", .image_size = 8};
  skipping.skip_bad = true;
  const auto good = open_dataset(skipping, "train");
  EXPECT_EQ(good->class_size(0), 2);
  EXPECT_THAT(std::vector<int>(good->image_groups(0).begin(), good->image_groups(0).end()), ElementsAre(1, 0));
}

TEST_F(SurveyTest, DrawsAContactSheet) {
  write_contact_sheet(options(), folder / "sheet.png", 2, 3);
  const cv::Mat sheet = cv::imread((folder / "sheet.png").string());
  EXPECT_EQ(sheet.cols, 3 * 12 + 4);
  EXPECT_EQ(sheet.rows, 3 * 26 + 4);
  EXPECT_EQ(sheet.at<cv::Vec3b>(4 + 14 + 4, 8), cv::Vec3b(3, 2, 1));
  EXPECT_EQ(sheet.at<cv::Vec3b>(4 + 26 + 14 + 3, 4 + 12 + 3), cv::Vec3b(0, 0, 255));  // the broken one
  EXPECT_THAT(message_of<DataError>([&] { write_contact_sheet(options(), folder / "sheet.text"); }),
              HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace fewatoms
